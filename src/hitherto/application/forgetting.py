"""`forget`: a person's data, made unreadable for good; the events stay."""

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import msgspec

from hitherto.application.personal import MARK, envelopes
from hitherto.application.ports import PersonalKeys
from hitherto.application.ports.personal import TextPlace
from hitherto.application.records import StoredEvent
from hitherto.application.refolding import Progress, in_silence
from hitherto.application.selection import PAGE
from hitherto.application.store import Store
from hitherto.domain.identifiers import check_identifier
from hitherto.domain.personal import REDACTED
from hitherto.errors import EventSerializationFailed

_TELLING, _TELLING_NUMBER = 3, 6
"""A shorter text, or number, says nothing about where it stands."""


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    """What was forgotten, and where something may be left.

    Attributes:
        subject: Who.
        keys: How many keys were destroyed; 0 where that was done before.
        elsewhere: How many keys, under which some of it is sealed, this store has never had. They
            were not destroyed, and whoever has them can read on: forget with a store that is
            connected to them.
        events: How many events have fields that are redacted now.
        aggregates: Whose events they are.
        event_types: Of which types.
        snapshots: How many snapshots were removed; they are taken anew from what is left.
        projections: Which projections still hold one of the texts: rebuild them.
        left: Where a text that was forgotten still stands, as it does in a view until it is
            rebuilt, or where it was stored before the field was `Personal`.
        searched: Whether that was looked for. It is not where the keys were gone before: nobody
            knows the texts any more.
    """

    subject: str
    keys: int
    elsewhere: int
    events: int
    aggregates: tuple[str, ...]
    event_types: tuple[str, ...]
    snapshots: int
    projections: tuple[str, ...]
    left: tuple[TextPlace, ...]
    searched: bool


async def forget(
    store: Store,
    subject: str,
    *,
    dry_run: bool = False,
    rebuild: Callable[[], Awaitable[object]] | None = None,
    progress: Progress = in_silence,
) -> Forgotten:
    """Destroy the keys under which the personal fields of a subject are encrypted.

    Events, versions and positions stay; folds go on with redacted values. Snapshots of the
    aggregates concerned are removed. It reads the whole log, to tell what is concerned, and all
    that is stored, to tell where one of the texts still stands. It may be run again.

    A process that has loaded an aggregate before may keep what it knows in memory, and save a
    snapshot with it a moment later: run it again when those have ended.

    Args:
        store: An open store.
        subject: Who.
        dry_run: Only tell what is concerned, and where the texts stand.
        rebuild: Called when the keys are gone, to rebuild views that hold something; not where
            keys are elsewhere, for then they would be redacted for everybody.
        progress: Told of each step.

    Raises:
        EventStoreUnavailable: The store cannot be reached.
        InvalidInput: No subject can be called that.
    """
    check_identifier("the subject", subject)
    concerned = _Concerned(store, subject)
    await concerned.read(progress)
    texts = sorted(concerned.texts)
    shredded = snapshots = 0
    keys: PersonalKeys = getattr(store.backend, "keys", store.backend.personal)
    if not dry_run:
        shredded = await keys.shred(subject)
        await concerned.read(progress)  # What was appended meanwhile.
        snapshots = await _without_snapshots(store, concerned)
    elsewhere = concerned.keys - {each.number for each in await keys.keys([subject])}
    if rebuild is not None and not dry_run and not elsewhere:
        await rebuild()
        snapshots += await _without_snapshots(store, concerned)
    progress("search", 0, None)
    left, projections = await still_told(store, texts)
    return Forgotten(
        subject=subject,
        keys=shredded,
        elsewhere=len(elsewhere),
        events=concerned.events,
        aggregates=tuple(sorted(concerned.aggregates)),
        event_types=tuple(sorted(concerned.event_types)),
        snapshots=snapshots,
        projections=projections,
        left=left,
        searched=bool(texts),
    )


async def still_told(
    store: Store, texts: Sequence[str]
) -> tuple[tuple[TextPlace, ...], tuple[str, ...]]:
    """Where in a store one of these texts stands, and which projections are among the places."""
    left = tuple(await store.backend.personal.find(texts)) if texts else ()
    views = {each.name for each in left if each.table.startswith("projection_")}
    return left, tuple(sorted(views))


async def _without_snapshots(store: Store, concerned: "_Concerned") -> int:
    ids = sorted(concerned.aggregates)
    pages = [ids[start : start + PAGE] for start in range(0, len(ids), PAGE)]
    return sum([await store.backend.personal.drop_snapshots(each) for each in pages])


class _Concerned:
    """The events with fields that are sealed for a subject, as far as the log was read."""

    def __init__(self, store: Store, subject: str) -> None:
        self._store = store
        self._subject = subject
        self._after = 0
        self.keys: set[int] = set()
        self.events = 0
        self.aggregates: set[str] = set()
        self.event_types: set[str] = set()
        self.texts: set[str] = set()

    async def read(self, progress: Progress) -> None:
        """Read on, up to where the log reaches now."""
        end = await self._store.backend.watermark()
        while self._after < end:
            page = await self._store.sealed.read_all(after=self._after, limit=PAGE)
            own = {each.position: names for each in page.events if (names := self._names(each))}
            if own:
                opened = await self._store.backend.read_all(after=self._after, limit=PAGE)
                for event in opened.events:
                    if event.position in own:
                        self._add(event, own[event.position])
            self._after = page.checkpoint
            progress("events", min(self._after, end), end)

    def _names(self, event: StoredEvent) -> Sequence[str]:
        """The fields of a stored event that are about the subject."""
        if MARK not in event.data:
            return ()
        try:
            found = envelopes(event.data).items()
        except EventSerializationFailed:  # Somebody has changed it; nobody can read it.
            return ()
        own = {name: each for name, each in found if each.subject == self._subject}
        self.keys.update(each.key for each in own.values() if each.sealed)
        return list(own)

    def _add(self, event: StoredEvent, names: Sequence[str]) -> None:
        self.events += 1
        self.aggregates.add(event.aggregate_id)
        self.event_types.add(event.event_type)
        if not self._names(event):  # It could be opened.
            fields: dict[str, Any] = msgspec.json.decode(event.data)
            for name in names:
                self.texts.update(telling(fields[name]))


def telling(value: Any) -> Iterator[str]:
    """The texts in a value, as they are, and as they stand in JSON, whoever wrote that."""
    if isinstance(value, str):
        if len(value) >= _TELLING and value != REDACTED:
            yield value  # as in an error, or a key
            yield json.dumps(value)[1:-1]
            yield json.dumps(value, ensure_ascii=False)[1:-1]
        return
    if isinstance(value, int | float):
        if len(number := json.dumps(value)) >= _TELLING_NUMBER:
            yield number
        return
    parts: Iterable[Any] = ()
    if isinstance(value, dict):
        parts = [part for pair in cast("dict[str, Any]", value).items() for part in pair]
    elif isinstance(value, list):
        parts = cast("Any", value)
    for part in parts:
        yield from telling(part)
