"""What older code has stored, read by today's."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest

from hitherto.application.ports import Backend
from hitherto.application.records import Append, NewEvent
from hitherto.application.store import Store
from hitherto.domain.aggregate import Aggregate
from hitherto.domain.event import Event
from hitherto.domain.recorded import RecordedEvent
from hitherto.errors import EventSerializationFailed
from hitherto.testing.repository_contract.base import RepositoryTests

E = TypeVar("E", bound=Event)


class Joined(Event, schema=3, formerly="SignedUp"):
    """Somebody joined: first with a `mail`, then with a `name` too, at last with an `address`."""

    address: str
    name: str


class Moved(Event, schema=2):
    """Somebody moved; once it told of a telephone, too."""

    town: str


class Called(Event):
    """Somebody has another telephone."""

    number: str


class Member(Aggregate[Joined | Moved | Called]):
    """Somebody whose events have changed again and again."""

    name: str = ""
    told: tuple[str, ...] = ()

    def apply(self, event: Joined | Moved | Called) -> None:
        match event:
            case Joined(name=name, address=address):
                self.name, self.told = name, (*self.told, address)
            case Moved(town=town):
                self.told = (*self.told, town)
            case Called(number=number):
                self.told = (*self.told, number)


@Joined.upcast(1)
def _(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "name": fields["mail"].partition("@")[0]}


@Joined.upcast(2)
def _(fields: dict[str, Any]) -> dict[str, Any]:
    return {"name": fields["name"], "address": fields["mail"]}


@Member.upcast("Moved", 1)
def _(fields: dict[str, Any]) -> Sequence[Event]:
    return [Moved(town=fields["town"]), Called(number=fields["phone"])]


@Member.upcast("Greeted")
def _(_: dict[str, Any]) -> Sequence[Event]:
    return []


Old = tuple[str, int, str]

HISTORY: tuple[Old, ...] = (
    ("SignedUp", 1, '{"mail": "ada@x.org"}'),
    ("Greeted", 1, "{}"),
    ("Moved", 1, '{"town": "London", "phone": "1815"}'),
    ("Moved", 2, '{"town": "Paris"}'),
)
TODAY = (
    (1, Joined(address="ada@x.org", name="ada")),
    (3, Moved(town="London")),
    (3, Called(number="1815")),
    (4, Moved(town="Paris")),
)


async def stored(backend: Backend, aggregate_id: str, *events: Old) -> Sequence[UUID]:
    """Have older code store events; returns their ids."""
    ids = [uuid4() for _ in events]
    told = [
        NewEvent(
            event_id=event_id,
            event_type=event_type,
            schema_version=schema,
            data=data,
            metadata=None,
            occurred_at=datetime(2024, 1, 1, tzinfo=UTC),
        )
        for event_id, (event_type, schema, data) in zip(ids, events, strict=True)
    ]
    append = Append(
        aggregate_id=aggregate_id, aggregate_type="Member", expected_version=0, events=tuple(told)
    )
    await backend.append([append])
    return ids


def _told(events: Sequence[RecordedEvent[Any]]) -> Sequence[tuple[int, Event]]:
    return tuple((each.version, each.event) for each in events)


class UpcastingContract(RepositoryTests):
    """Upcasters are applied wherever events are read."""

    async def test_a_load_folds_what_the_events_are_today(self, store: Store) -> None:
        """Chained, under a former name, split in two, and dropped; versions stay."""
        await stored(store.backend, "m-1", *HISTORY)
        members = self.make_repository(store, Member)
        for member in (await members.load("m-1"), (await members.load_many(["m-1"]))["m-1"]):
            assert (member.name, member.version) == ("ada", 4)
            assert member.told == ("ada@x.org", "London", "1815", "Paris")
        assert (await members.load("m-1", 2)).told == ("ada@x.org",)

    async def test_new_events_follow_the_old_ones(self, store: Store) -> None:
        """A dropped event at the end counts as a version, too."""
        await stored(store.backend, "m-1", *HISTORY[:2])
        members = self.make_repository(store, Member)
        await members.update("m-1", lambda member: member.record(Moved(town="Turin")))
        assert _told(await members.history("m-1")) == (TODAY[0], (3, Moved(town="Turin")))

    async def test_a_history_tells_what_the_events_are_today(self, store: Store) -> None:
        """As a read of the store does; it can be folded, and every event has an id of its own."""
        ids = await stored(store.backend, "m-1", *HISTORY)
        members = self.make_repository(store, Member)
        history = await members.history("m-1")
        assert _told(history) == TODAY
        assert await store.read("m-1") == history
        told = [each.event_id for each in history]
        assert (told[0], told[1], told[3]) == (ids[0], ids[2], ids[3])
        assert len(set(told)) == len(told)
        assert [each.event_id for each in await members.history("m-1")] == told
        member = Member("m-1")
        member.fold(history)
        assert member.told == (await members.load("m-1")).told
        assert member.version == 4

    async def test_the_log_tells_what_the_events_are_today(self, store: Store) -> None:
        """Of each aggregate, in order."""
        await stored(store.backend, "m-1", *HISTORY)
        await stored(store.backend, "m-2", *HISTORY)
        self.make_repository(store, Member)
        assert _told([each async for each in store.read_all()]) == TODAY * 2

    @pytest.mark.parametrize(
        ("types", "expected"),
        [
            ([Called], TODAY[2:3]),
            ([Joined], TODAY[:1]),
            ([Moved], (TODAY[1], TODAY[3])),
            ([Joined, Moved, Called], TODAY),
            (None, TODAY),
        ],
    )
    async def test_a_subscription_is_given_the_types_that_it_asks_for(
        self, store: Store, types: Any, expected: Any
    ) -> None:
        """Whatever they were stored as; the checkpoint moves past the others."""
        await stored(store.backend, "m-1", *HISTORY)
        self.make_repository(store, Member)
        given: list[RecordedEvent[Any]] = []
        async with asyncio.timeout(10), store.subscribe(types) as events:
            async for each in events:
                given.append(each)
                if len(given) == len(expected):
                    break
            assert _told(given) == expected
            async with store.subscribe(types, after=0) as again:
                page = await anext(again.pages())
        assert _told(page.events) == expected
        assert page.checkpoint == await store.watermark()

    async def test_a_checkpoint_waits_for_all_that_an_event_became(self, store: Store) -> None:
        """Who stops between the two and goes on from there is given both again."""
        await stored(store.backend, "m-1", *HISTORY)
        self.make_repository(store, Member)
        seen: list[tuple[int, Event]] = []
        checkpoint = 0
        async with store.subscribe() as events:
            async for each in events:
                seen.append((each.version, each.event))
                checkpoint = events.checkpoint
                if each.event == Moved(town="London"):
                    break
        async with store.subscribe(after=checkpoint) as events:
            async for each in events:
                seen.append((each.version, each.event))
                if each.event == Moved(town="Paris"):
                    break
        assert tuple(seen) == (*TODAY[:2], *TODAY[1:])

    async def test_a_schema_without_an_upcaster_is_told(self, store: Store) -> None:
        """And what there are upcasters for."""
        await stored(store.backend, "m-1", ("Greeted", 2, "{}"))
        members = self.make_repository(store, Member)
        with pytest.raises(EventSerializationFailed, match=r"'Greeted' \(schema 2\).*schema \[1\]"):
            await members.load("m-1")

    async def test_an_upcaster_that_fails_is_told(self, store: Store) -> None:
        """With the event, the schema and what it raised."""
        await stored(store.backend, "m-1", ("Joined", 2, '{"name": "Ada"}'))
        members = self.make_repository(store, Member)
        with pytest.raises(
            EventSerializationFailed,
            match=r"'Joined' \(schema 2\) of 'm-1' at version 1 .*for schema 2 raised KeyError",
        ):
            await members.load("m-1")
