"""Strings that want to be more than strings, and the uses that a store's user can make of one."""

from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any

import msgspec

from hitherto import Aggregate, Decider, Event, Metadata, Repository, Store

_FIXED = (
    "'; DROP TABLE canary; --",
    '"; DELETE FROM event_store; --',
    "{schema}",
    "nul\0application_name\0injected",
    "lone \ud800 surrogate",
    "",
    "pg_temp",
    "x" * 255,
    "🦉" * 255,
    "it's",
    '"',
    "\\",
    "line\nbreak\r\n",
    "%s %d %(x)s %",
    "{} {0} {x!r:>{y}}",
    "x" * 256,
    "\u202eright to left\u202c",
    "שלום",
    " ",
    "\t tab ",
    "$1",
    "$hitherto$",
    "\\u0000",
    "e\u0301",
    "\u00e9",
    "\ufeffbom",
    "''",
    "$$",
    "?",
    ":name",
    "@x",
    "#",
    "%41",
    "%00",
    "a/b",
    "../up",
    "*",
    "\x01\x1f\x7f",
    "\u2028\u2029",
    "\uffff",
    "\U0010ffff",
    "😀\u200d💻",
    "NULL",
    "null",
    "true",
    "0",
    "-1",
    "NaN",
    '{"a": 1}',
    "[]",
    "<script>alert(1)</script>",
    "{schema_text}",
    "{filters}",
    "$migration$",
    "public",
    "event_store",
    "store.db-wal",
    "a\\'b",
    "E'\\x41'",
    "U&'\\0041'",
    "/* x */",
    "--",
    ";",
    "\ud83d\ude00",
    "\u0131",
    "\u0130",
    "ß",
    "A",
    "a",
    "a ",
    "ΕΛΛΆΔΑ",
)


def hostile_texts(count: int, random: Random) -> list[str]:
    """So many different ones: first the known, then random mixtures of them."""
    texts = list(_FIXED[:count])
    seen = set(texts)
    while len(texts) < count:
        text = "".join(random.choices(_FIXED, k=random.randint(2, 6)))
        if random.random() < 0.8:
            text = text[: random.randint(1, 255)]
        if text not in seen:
            seen.add(text)
            texts.append(text)
    return texts


class Noted(Event):
    """Somebody wrote something down."""

    note: str


class Note(Aggregate[Noted]):
    """Keeps what was noted last."""

    note: str = ""

    def apply(self, event: Noted) -> None:
        self.note = event.note


class Use(msgspec.Struct, frozen=True):
    """One place for a string.

    Attributes:
        names: What the error calls it.
        try_out: Puts the string there and gets it back; raises if the store refuses it.
            AssertionError says that it came back changed. The number is the string's own.
    """

    name: str
    names: str
    try_out: Callable[[Store, str, int], Awaitable[None]]


async def _aggregate_id(store: Store, text: str, number: int) -> None:
    await _round_trip(store, Note, text, f"note {number}")


async def _looked_up(store: Store, text: str, number: int) -> None:
    """Reading is asked what writing is, and before it is known whether there is such an id."""
    notes = Repository(store, Note)
    assert await notes.exists(text) == (text in await notes.load_many([text]))
    await store.read(text)


async def _aggregate_type(store: Store, text: str, number: int) -> None:
    class Typed(Note, type=text):
        pass

    await _round_trip(store, Typed, f"type-{number}", "typed", aggregate_type=text)


async def _decider(store: Store, text: str, number: int) -> None:
    class Noting(Decider[str, Noted, str], type=text):
        initial = ""

        def decide(self, state: str, command: str) -> list[Noted]:
            return [Noted(note=command)]

        def evolve(self, state: str, event: Noted) -> str:
            return event.note

    notes = Repository(store, Noting(), snapshot_every=1)
    note = Noting()(f"decider-{number}")
    note.execute("decided")
    await notes.save(note)
    assert (await notes.load(note.id)).state == "decided"
    await _found(store, note.id, {"aggregate_type": text or "Noting"})


async def _event_type(store: Store, text: str, number: int) -> None:
    class Named(Event, type=text):
        note: str

    class Naming(Aggregate[Named]):
        note: str = ""

        def apply(self, event: Named) -> None:
            self.note = event.note

    await _round_trip(store, Naming, f"event-{number}", "named", event=Named, event_type=text)


async def _payload(store: Store, text: str, number: int) -> None:
    await _round_trip(store, Note, f"payload-{number}", text)


async def _metadata(store: Store, text: str, number: int) -> None:
    given = Metadata(correlation_id=text, causation_id=text, actor=text, extra={"x" + text: text})
    notes = Repository(store, Note)
    note = Note(f"metadata-{number}")
    note.record(Noted(note="with metadata"))
    await notes.save(note, metadata=given)
    (recorded,) = await notes.history(note.id)
    assert recorded.metadata == given


USES = (
    Use("aggregate id", "aggregate id", _aggregate_id),
    Use("aggregate id to look up", "aggregate id", _looked_up),
    Use("aggregate type", "stored name of Typed", _aggregate_type),
    Use("decider's name", "stored name of Noting", _decider),
    Use("event type", "stored name of event class Named", _event_type),
    Use("payload", "Noted", _payload),
    Use("metadata", "metadata", _metadata),
)


async def _round_trip(
    store: Store, kind: Any, id: str, note: str, *, event: Any = Noted, **columns: str
) -> None:
    """Save, with a snapshot, and load: by fold and by snapshot, alone and among others."""
    notes = Repository(store, kind, snapshot_every=1)
    aggregate = kind(id)
    aggregate.record(event(note=note))
    await notes.save(aggregate)
    whole = Repository(store, kind, snapshot_every=None)
    for loaded in (
        await notes.load(id),
        (await notes.load_many([id]))[id],
        (await whole.load_many([id, "another"]))[id],
        await notes.load(id, version=1),
    ):
        assert (loaded.id, loaded.note, loaded.version) == (id, note, 1)
    snapshot = await store.backend.read_snapshot(id)
    assert snapshot is not None
    assert snapshot.aggregate_id == id
    await _found(store, id, {name: text for name, text in columns.items() if text})


async def _found(store: Store, id: str, columns: Mapping[str, str]) -> None:
    """The stored event has these, and a filter by each of them finds it."""
    (event,) = await store.backend.read(id)
    assert event.aggregate_id == id
    for name, text in columns.items():
        assert getattr(event, name) == text
        page = await store.backend.read_all(
            after=event.position - 1,
            limit=1,
            **{name + "s": [text]},
        )
        assert [found.event_id for found in page.events] == [event.event_id]
