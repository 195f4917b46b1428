"""`erase`: fields of one event are replaced, and everything goes on."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hitherto import Aggregate, Event, Metadata, Personal, Repository, connect
from hitherto.application.erasing import Erased, erase
from hitherto.application.ports.erasures import Erasure, Erasures
from hitherto.application.records import StoredEvent
from hitherto.application.verifying import verify
from hitherto.errors import AggregateNotFound, InvalidAggregateState, InvalidInput
from hitherto.infrastructure.memory.erasures import MemoryErasures
from hitherto.infrastructure.sqlite.erasures import SqliteErasures

SLANDER = "what must not be told"


class NoteTaken(Event):
    text: str
    grade: int
    about: str | None = None
    author: Personal[str] = "nobody"
    more: Any = None


class NoteKept(Event):
    days: int


class Note(Aggregate[NoteTaken | NoteKept]):
    texts: tuple[str, ...] = ()
    grades: tuple[int, ...] = ()

    def apply(self, event: NoteTaken | NoteKept) -> None:
        if isinstance(event, NoteTaken):
            if event.grade < 0:
                raise ValueError("a grade is never negative")
            self.texts, self.grades = (*self.texts, event.text), (*self.grades, event.grade)


class NoteKeptOnly(Aggregate[NoteKept]):
    def apply(self, event: NoteKept) -> None:
        pass


@pytest.fixture(params=["memory", "sqlite"])
async def notes(request: Any, tmp_path: Path) -> AsyncIterator[Repository[Note]]:
    url = "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/notes.db"
    async with connect(url, hash_chain=True) as store:
        notes = Repository(store, Note)
        note = Note("note-1")
        note.record(NoteTaken(text="good", grade=1, author="Ada Lovelace"))
        note.record(NoteTaken(text=SLANDER, grade=2, about="Mr Smith"))
        note.record(NoteKept(days=3))
        await notes.save(note, metadata=Metadata(actor="clerk-7", extra={"ip": "10.0.0.7"}))
        await notes.snapshot(note)
        yield notes


async def erased(notes: Repository[Note], *fields: str, **others: Any) -> Erased:
    given = {"reason": "court order 12/34", "erased_by": "ada"} | others
    return await erase(notes, "note-1", given.pop("version", 2), fields, **given)


async def test_the_aggregate_is_folded_without_what_was_erased(notes: Repository[Note]) -> None:
    """A text is redacted, what may be None is redacted too as it is a text; versions stay."""
    result = await erased(notes, "text", "about")
    note = await notes.load("note-1")
    assert (note.texts, note.grades, note.version) == (("good", "[redacted]"), (1, 2), 3)
    assert result.left == ()
    assert result.event_type == "NoteTaken"
    event: Any = (await notes.history("note-1"))[1].event
    assert event.about == "[redacted]"
    assert (await verify(notes.store, [Note])).findings == ()
    assert (await verify(notes.store, [Note])).erasures == 1


async def test_the_chain_tells_of_a_change_that_no_erasure_tells_of(
    notes: Repository[Note],
) -> None:
    """Of another payload than the account's, that is; here the account is forged."""
    await erased(notes, "text")
    backend: Any = notes.store.backend
    while hasattr(backend, "backend"):
        backend = backend.backend
    if not hasattr(backend.erasures, "_erasures"):
        pytest.skip("only in memory can the account be changed")
    (told,) = backend.erasures._erasures
    backend.erasures._erasures[0] = msgspec.structs.replace(told, data="{}")
    assert [each.kind for each in (await verify(notes.store)).findings] == ["hash-mismatch"]


async def test_a_value_may_be_given(notes: Repository[Note]) -> None:
    """As for a number, of which there is no redacted form."""
    with pytest.raises(InvalidInput, match="grade cannot become what it was to: give it another"):
        await erased(notes, "grade")
    await erased(notes, "text", values={"grade": 0})
    note = await notes.load("note-1")
    assert (note.texts, note.grades) == (("good", "[redacted]"), (1, 0))


async def test_metadata_are_erased_by_their_prefix(notes: Repository[Note]) -> None:
    """The rest of them stays."""
    await erased(notes, "metadata.ip", values={"metadata.actor": None})
    told = (await notes.history("note-1"))[1].metadata
    assert (told.actor, told.extra) == (None, {"ip": "[redacted]"})


async def test_a_personal_field_is_erased_and_others_stay_sealed(notes: Repository[Note]) -> None:
    """Without the key's being destroyed."""
    await erased(notes, "text", version=1)
    (sealed,) = await notes.store.sealed.read("note-1", to_version=1)
    assert "Lovelace" not in sealed.data
    event: Any = (await notes.history("note-1"))[0].event
    assert event.author == "Ada Lovelace"
    await erased(notes, "author", version=1)
    event = (await notes.history("note-1"))[0].event
    assert event.author == "[redacted]"


async def test_a_dry_run_changes_nothing_and_tells_where_the_texts_stand(
    notes: Repository[Note],
) -> None:
    """In the event itself, and in the snapshot."""
    result = await erased(notes, "text", dry_run=True)
    assert [(each.table, each.name) for each in result.left] == [
        ("aggregate_snapshots", "note-1"),
        ("event_store", "note-1"),
    ]
    assert (await notes.load("note-1")).texts == ("good", SLANDER)
    assert list(await notes.store.backend.erasures.erasures()) == []


async def test_where_a_text_still_stands_is_told(notes: Repository[Note]) -> None:
    """In another event, here."""
    await notes.update("note-1", lambda note: note.record(NoteTaken(text=f"{SLANDER}!", grade=1)))
    result = await erased(notes, "text")
    assert [(each.table, each.key) for each in result.left] == [("event_store", "4")]


async def test_what_could_not_be_folded_is_not_done(notes: Repository[Note]) -> None:
    """It is tried before anything is written."""
    with pytest.raises(InvalidAggregateState, match="a grade is never negative"):
        await erased(notes, values={"grade": -1})
    assert (await notes.load("note-1")).grades == (1, 2)


async def test_what_is_too_short_to_be_looked_for_is_told(notes: Repository[Note]) -> None:
    """Else that nothing was found would be no news."""
    result = await erased(notes, "text", values={"grade": 1})
    assert result.unsought == ("grade",)


@pytest.mark.parametrize(
    "value", ["a\0b", "\ud800", float("nan"), object(), {"hitherto.personal": 1}]
)
async def test_a_value_that_no_event_could_have_is_refused(
    notes: Repository[Note], value: object
) -> None:
    """Whatever the store would take."""
    with pytest.raises(InvalidInput, match="more cannot become what it was to"):
        await erased(notes, values={"more": value})
    assert list(await notes.store.backend.erasures.erasures()) == []


async def test_bad_input_names_what_to_give(notes: Repository[Note]) -> None:
    """Before anything is written."""
    with pytest.raises(InvalidInput, match="has no field 'txt': name some of text, grade"):
        await erased(notes, "txt")
    with pytest.raises(InvalidInput, match="no field is named"):
        await erased(notes)
    with pytest.raises(InvalidInput, match="reason=' ': say it in plain"):
        await erased(notes, "text", reason=" ")
    with pytest.raises(AggregateNotFound, match="note-1"):
        await erased(notes, "text", version=9)
    with pytest.raises(AggregateNotFound):
        others: Repository[Any] = Repository(notes.store, NoteKeptOnly)
        await erase(others, "note-1", 2, ["text"], reason="x", erased_by="y")
    assert list(await notes.store.backend.erasures.erasures()) == []


async def test_somebody_who_erases_at_the_same_moment_is_not_overwritten(
    notes: Repository[Note], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the other one has erased would come back."""

    async def late(self: Erasures, event: StoredEvent, erasure: Erasure) -> bool:
        monkeypatch.undo()
        await erased(notes, "about")
        return await self.erase(event, erasure)

    for each in (MemoryErasures, SqliteErasures):
        monkeypatch.setattr(each, "erase", late)
    with pytest.raises(InvalidInput, match="was erased by somebody else at this moment"):
        await erased(notes, "text")
    event: Any = (await notes.history("note-1"))[1].event
    assert (event.text, event.about) == (SLANDER, "[redacted]")
