"""Personal fields, whatever the store: a suite to subclass with a fixture named `backend`."""

import base64
import json
from collections.abc import AsyncGenerator, Sequence
from datetime import date
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from hitherto import (
    Aggregate,
    Batch,
    Context,
    Documents,
    Event,
    Personal,
    Projection,
    ProjectionWorker,
    Repository,
    Store,
    SubjectKey,
    on,
)
from hitherto.application.forgetting import forget
from hitherto.application.personal import enclosed
from hitherto.application.ports import Backend
from hitherto.application.verifying import verify
from hitherto.errors import EventSerializationFailed
from hitherto.infrastructure.memory.personal import MemoryPersonal
from hitherto.infrastructure.sealing import Sealing


class PersonJoined(Event, schema=2):
    name: Personal[str]
    born: Personal[date | None] = None
    points: Personal[int] = 0
    town: str = ""


@PersonJoined.upcast(1)
def _(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "name": fields["full_name"]}


class LetterSent(Event, subject="to"):
    to: str
    address: Personal[tuple[str, ...] | None]
    text: str


class Person(Aggregate[PersonJoined | LetterSent]):
    name: str = ""
    born: date | None = None
    points: int = -1
    addresses: tuple[tuple[str, ...] | None, ...] = ()

    def apply(self, event: PersonJoined | LetterSent) -> None:
        match event:
            case PersonJoined():
                self.name, self.born, self.points = event.name, event.born, event.points
            case LetterSent():
                self.addresses = (*self.addresses, event.address)


class Name(msgspec.Struct, frozen=True):
    name: str


class Names(Documents[Name, PersonJoined], name="names"):
    def evolve(self, document: Name | None, recorded: Any) -> Name | None:
        return Name(name=recorded.event.name)


ADA = "Ada Lovelace née Byron"
SECRETS = (ADA, "St James's Square", "1815-12-10")


@pytest.mark.asyncio
class PersonalContract:
    """What is about a person is nowhere to be read, and can be forgotten."""

    @pytest_asyncio.fixture
    async def store(self, backend: Backend) -> AsyncGenerator[Store]:
        """One that seals."""
        async with Store(Sealing(backend)) as store:
            yield store

    async def _filled(self, store: Store) -> Repository[Person]:
        people = Repository(store, Person, snapshot_every=1)
        ada = Person("ada")
        ada.record(PersonJoined(name=ADA, born=date(1815, 12, 10), points=7, town="London"))
        bob = Person("bob")
        bob.record(PersonJoined(name="Robert", town="Paris"))
        bob.record(LetterSent(to="ada", address=("St James's Square", "SW1Y 4LE"), text="Dear"))
        bob.record(LetterSent(to="bob", address=("Rue Cler",), text="me"))
        await people.save_all(ada, bob)
        await people.snapshot(ada)
        await people.snapshot(bob)
        return people

    async def _old_event(self, store: Store) -> dict[str, Any]:
        """An event of Ada's, stored by older code under `old`; its fields, as they are stored."""
        data = enclosed(json.dumps({"full_name": ADA}), ["full_name"], "ada")
        await store.backend.append([_append("old", data)])
        fields: dict[str, Any] = json.loads((await store.sealed.read("old"))[0].data)
        return fields

    async def test_what_is_stored_tells_nothing(self, store: Store) -> None:
        """The rest is stored as it is, and who asks the store is told all."""
        people = await self._filled(store)
        page = await store.sealed.read_all()
        for event in page.events:
            assert not any(secret in event.data for secret in SECRETS), event.data
        assert '"town"' in page.events[0].data
        opened = await store.backend.read_all()
        assert json.loads(opened.events[0].data) == {
            "name": ADA, "born": "1815-12-10", "points": 7, "town": "London",
        }  # fmt: skip
        ada, bob = (await people.load_many(["ada", "bob"])).values()
        assert (ada.name, ada.born, ada.points) == (ADA, date(1815, 12, 10), 7)
        assert bob.addresses == (("St James's Square", "SW1Y 4LE"), ("Rue Cler",))
        assert [each.event async for each in store.read_all()] == [
            each.event for one in ("ada", "bob") for each in await people.history(one)
        ]

    async def test_equal_values_are_stored_differently(self, store: Store) -> None:
        """Nobody can tell that two people have one name, or one has the same again."""
        people = Repository(store, Person)
        for one in ("a", "b"):
            person = Person(one)
            person.record(PersonJoined(name="Same"))
            person.record(PersonJoined(name="Same"))
            await people.save(person)
        stored = [json.loads(each.data)["name"] for each in (await store.sealed.read_all()).events]
        assert len({json.dumps(each, sort_keys=True) for each in stored}) == 4

    async def test_who_is_forgotten_cannot_be_read_any_more(
        self, store: Store, backend: Backend
    ) -> None:
        """Events, versions and others stay; folds go on with what redacted values there are."""
        people = await self._filled(store)
        before = (await store.sealed.read_all()).events
        found = await forget(store, "ada")
        assert (found.keys, found.events, found.aggregates) == (1, 2, ("ada", "bob"))
        assert found.event_types == ("LetterSent", "PersonJoined")
        assert found.snapshots == 2
        assert found.searched
        assert found.left == ()
        assert (await store.sealed.read_all()).events == before
        ada, bob = (await people.load_many(["ada", "bob"])).values()
        assert (ada.name, ada.born, ada.points, ada.version) == ("[redacted]", None, 0, 1)
        assert (bob.name, bob.addresses) == ("Robert", (None, ("Rue Cler",)))
        assert await backend.personal.find([ADA, "James", "1815"]) == []
        assert (await verify(store, [Person])).sound

    async def test_forgetting_again_does_nothing(self, store: Store) -> None:
        """It tells what there is."""
        await self._filled(store)
        await forget(store, "ada")
        found = await forget(store, "ada")
        assert (found.keys, found.events, found.left) == (0, 2, ())
        assert not found.searched
        assert (await forget(store, "nobody")).events == 0

    async def test_a_dry_run_changes_nothing(self, store: Store) -> None:
        """It tells where the texts stand."""
        people = await self._filled(store)
        found = await forget(store, "ada", dry_run=True)
        assert (found.keys, found.events, found.snapshots) == (0, 2, 0)
        assert {(each.table, each.name) for each in found.left} == {
            ("aggregate_snapshots", "ada"), ("aggregate_snapshots", "bob"),
        }  # fmt: skip
        assert (await people.load("ada")).name == ADA

    async def test_who_comes_back_has_a_new_key(self, store: Store) -> None:
        """What was forgotten stays so."""
        people = await self._filled(store)
        await forget(store, "ada")
        await people.update("ada", lambda ada: ada.record(PersonJoined(name="Ada II")))
        assert [each.event.name for each in await people.history("ada")] == ["[redacted]", "Ada II"]
        assert (await forget(store, "ada")).keys == 1
        assert (await people.load("ada")).name == "[redacted]"

    async def test_views_are_told_what_may_be_known(self, store: Store) -> None:
        """A view that holds it is found, and holds it no more when it is rebuilt."""
        await self._filled(store)
        await ProjectionWorker(store, Names()).catch_up()
        assert (await store.documents(Names).get("ada")) == Name(name=ADA)
        found = await forget(store, "ada")
        assert found.projections == ("names",)
        assert [(each.table, each.key) for each in found.left] == [("projection_documents", "ada")]

    async def test_views_are_rebuilt_before_the_search(self, store: Store) -> None:
        """By whoever forgets."""
        await self._filled(store)
        await ProjectionWorker(store, Names()).catch_up()
        found = await forget(
            store, "ada", rebuild=ProjectionWorker(store, Names(), rebuild=True).catch_up
        )
        assert found.left == ()
        assert (await store.documents(Names).get("ada")) == Name(name="[redacted]")
        assert (await store.documents(Names).get("bob")) == Name(name="Robert")

    async def test_inline_projections_are_told_open_values(self, backend: Backend) -> None:
        """In the append's transaction, too."""
        told: list[str] = []

        class Telling(Projection[None], name="telling"):
            @on
            def joined(self, event: PersonJoined, _: Context[None]) -> None:
                told.append(event.name)

        async with Store(Sealing(backend), inline=[Telling()]) as store:
            await self._filled(store)
        assert told == [ADA, "Robert"]

    async def test_upcasters_are_given_open_values(self, store: Store) -> None:
        """Of old events, whose fields bore other names; redacted ones in the end."""
        await self._old_event(store)
        people = Repository(store, Person)
        assert (await people.load("old")).name == ADA
        await forget(store, "ada")
        assert (await people.load("old")).name == "[redacted]"

    async def test_what_was_stored_openly_is_read_and_found(
        self, store: Store, backend: Backend
    ) -> None:
        """Before the field was marked; no key can make it unreadable, so the search tells it."""
        await backend.append([_append("old", json.dumps({"full_name": ADA}))])
        await self._filled(store)
        assert (await Repository(store, Person).load("old")).name == ADA
        found = await forget(store, "ada")
        assert [(each.table, each.name, each.key) for each in found.left] == [
            ("event_store", "old", "1")
        ]

    @pytest.mark.parametrize("part", [0, 5, 13, -1])
    async def test_a_sealed_value_that_was_changed_is_refused(
        self, store: Store, backend: Backend, part: int
    ) -> None:
        """Neither a false value nor a redacted one comes of it."""
        fields = await self._old_event(store)
        envelope = fields["full_name"]["hitherto.personal"]
        changed = bytearray(base64.b64decode(envelope["sealed"]))
        changed[part] ^= 1
        envelope["sealed"] = base64.b64encode(changed).decode()
        await backend.append([_append("changed", json.dumps(fields))])
        with pytest.raises(EventSerializationFailed, match="'ada' cannot be decrypted"):
            await Repository(store, Person).load("changed")

    async def test_a_value_cannot_be_passed_off_as_anothers(
        self, store: Store, backend: Backend
    ) -> None:
        """It is bound to its subject, and to its field."""
        fields = await self._old_event(store)
        moved = {"full_name": "x", "born": fields["full_name"]}
        await backend.append([_append("moved", json.dumps(moved))])
        with pytest.raises(EventSerializationFailed, match="'ada' cannot be decrypted"):
            await Repository(store, Person).load("moved")

        class OneKey(MemoryPersonal):
            """One for all, against what is asked of it."""

            async def keys(self, subjects: Any) -> Sequence[SubjectKey]:
                (key,) = await backend.personal.keys(["ada"])
                return [msgspec.structs.replace(key, subject=each) for each in subjects]

        fields["full_name"]["hitherto.personal"]["subject"] = "bob"
        await backend.append([_append("other", json.dumps(fields))])
        other = Store(Sealing(backend, OneKey({}, lambda: iter(()))))
        with pytest.raises(EventSerializationFailed, match="'bob' cannot be decrypted"):
            await Repository(other, Person).load("other")

    @pytest.mark.parametrize("sealed", ["AAAA", 7])
    async def test_a_value_that_cannot_be_opened_keeps_nobody_from_the_others(
        self, store: Store, backend: Backend, sealed: Any
    ) -> None:
        """Verify tells of that event alone, and its neighbours can be forgotten."""
        fields = await self._old_event(store)
        fields["full_name"]["hitherto.personal"]["sealed"] = sealed
        await backend.append([_append("changed", json.dumps(fields))])
        people = await self._filled(store)
        (found,) = (await verify(store, [Person])).findings
        assert (found.kind, found.places[0].aggregate_id) == ("event-undecodable", "changed")
        with pytest.raises(EventSerializationFailed):
            await people.history("changed")
        forgotten = await forget(store, "ada")
        assert (forgotten.keys, forgotten.left, forgotten.searched) == (1, (), True)

    async def test_who_lacks_keys_keeps_no_snapshot(self, store: Store, backend: Backend) -> None:
        """Others have them, and would be given what is redacted."""
        await self._filled(store)
        for each in ("ada", "bob"):
            await backend.personal.drop_snapshots([each])
        copy = Repository(Store(Sealing(backend, _NoKeys())), Person)
        ada = await copy.load("ada")
        assert ada.name == "[redacted]"
        assert not await copy.snapshot(ada)
        assert await backend.read_snapshot("ada") is None
        assert (await Repository(store, Person).load("ada")).name == ADA

    async def test_keys_that_are_missing_are_told(
        self, store: Store, backend: Backend, caplog: pytest.LogCaptureFixture
    ) -> None:
        """As in a copy that was given none; it is read as redacted."""
        await self._filled(store)
        copy = Store(Sealing(backend, _NoKeys()))
        assert (await Repository(copy, Person, snapshot_every=None).history("ada"))[
            0
        ].event.name == "[redacted]"
        assert "personal_keys_missing keys=1" in caplog.text

    async def test_keys_may_be_kept_elsewhere(self, backend: Backend) -> None:
        """Then none is in the store."""
        from hitherto.infrastructure.memory import MemoryStore

        elsewhere = MemoryStore().personal
        async with Store(Sealing(backend, elsewhere)) as store:
            people = await self._filled(store)
            assert await backend.personal.keys(["ada", "bob"]) == []
            assert len(await elsewhere.keys(["ada", "bob"])) == 2
            without = await forget(Store(Sealing(backend)), "ada", rebuild=_never)
            assert (without.keys, without.elsewhere) == (0, 1)
            assert (await people.load("ada")).name == ADA
            found = await forget(store, "ada")
            assert (found.keys, found.elsewhere) == (1, 0)
            assert (await people.load("ada")).name == "[redacted]"

    async def test_an_append_that_is_repeated_is_stored_once(self, store: Store) -> None:
        """Though it is sealed anew."""
        people = Repository(store, Person)
        ada = Person("ada")
        ada.record(PersonJoined(name=ADA))
        unsaved = ada._unsaved[:]
        await people.save(ada)
        again = Person("ada")
        again._unsaved[:] = unsaved
        await people.save(again)
        assert len(await people.history("ada")) == 1

    async def test_many_ask_for_one_key_at_once(self, backend: Backend) -> None:
        """Each is given one that is there, and all of these are destroyed."""
        import asyncio

        async with Store(Sealing(backend)):
            made = await asyncio.gather(*[backend.personal.make(["s", "t"]) for _ in range(20)])
            assert {each.subject for each in made[0]} == {"s", "t"}
            there = await backend.personal.keys(["s", "t"])
            assert {each for keys in made for each in keys} <= set(there)
            own = [each.number for each in there if each.subject == "s"]
            assert await backend.personal.shred("s") == len(own)
            assert [each.key for each in await backend.personal.keys(["s"])] == [None] * len(own)

    async def test_keys_of_another_store_are_never_taken_for_its_own(
        self, backend: Backend
    ) -> None:
        """As where events were copied without their keys: those stay redacted, new ones are not."""
        from hitherto.infrastructure.memory import MemoryStore

        async with Store(Sealing(backend, MemoryStore().personal)) as store:
            await self._filled(store)
            await store.backend.personal.drop_snapshots(["ada"])
            people = Repository(Store(Sealing(backend)), Person, snapshot_every=None)
            await people.update("ada", lambda ada: ada.record(PersonJoined(name="Ada II")))
            names = [each.event.name for each in await people.history("ada")]
            assert names == ["[redacted]", "Ada II"]

    async def test_relevant_words_are_found_wherever_they_stand(
        self, store: Store, backend: Backend
    ) -> None:
        """In documents' keys, errors and messages, too."""

        class Failing(Projection[Any], name="failing", elsewhere=True):
            def handle(self, events: Any, batch: Batch[Any]) -> Any:
                raise RuntimeError(f"cannot mail {events[0].event.name}")

            @on
            def joined(self, event: PersonJoined, _: Context[Any]) -> None:
                """It is never called."""

        await self._filled(store)
        await ProjectionWorker(store, Failing(), attempts=1).catch_up()
        found = await forget(store, "ada")
        assert {each.table for each in found.left} == {"projection_parked_events"}


async def _never() -> None:
    raise AssertionError("the views would be redacted for everybody")


def _append(id: str, data: str) -> Any:
    from datetime import UTC, datetime
    from uuid import uuid4

    from hitherto.application.records import Append, NewEvent

    event = NewEvent(
        event_id=uuid4(),
        event_type="PersonJoined",
        schema_version=1,
        data=data,
        metadata=None,
        occurred_at=datetime(2024, 1, 1, tzinfo=UTC),
    )
    return Append(aggregate_id=id, aggregate_type="Person", expected_version=0, events=(event,))


class _NoKeys:
    """Has none, and gets none."""

    async def keys(self, subjects: Any) -> Sequence[SubjectKey]:
        return []

    async def make(self, subjects: Any) -> Sequence[SubjectKey]:
        raise AssertionError

    async def shred(self, subject: str) -> int:
        return 0
