"""Saving: once, whole, or not at all."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest

from hitherto.application.store import Store
from hitherto.errors import (
    AggregateIDMismatch,
    AggregateNotFound,
    AggregateVersionConflict,
    EventStoreUnavailable,
    InvalidAggregateState,
    InvalidInput,
)
from hitherto.testing.probe import Probe
from hitherto.testing.repository_contract.base import Recorder, RepositoryTests
from hitherto.testing.repository_contract.domain import Account, Deposited, Opened, Person


class SaveContract(RepositoryTests):
    """`Repository.save`."""

    async def test_what_is_saved_can_be_loaded(self, store: Store) -> None:
        """With its state and its version, and with nothing pending."""
        accounts = self.make_repository(store, Account)
        account = Account.open("a-1", "Ada")
        account.deposit("10.50", "first")
        assert (account.version, len(account.pending)) == (0, 2)
        position = await accounts.save(account)
        assert (account.version, account.pending) == (2, ())
        loaded = await accounts.load("a-1")
        assert loaded is not account
        assert (loaded.id, loaded.version, loaded.pending) == ("a-1", 2, ())
        assert (loaded.owner, loaded.balance) == ("Ada", Decimal("10.50"))
        assert loaded.entries == account.entries
        history = await accounts.history("a-1")
        assert position == history[-1].position

    async def test_an_aggregate_can_be_saved_again_and_again(self, store: Store) -> None:
        """Each save appends what was recorded since the last one."""
        accounts = self.make_repository(store, Account)
        account = Account.open("a-1")
        positions = [await accounts.save(account)]
        for n in range(1, 5):
            account.deposit(n)
            positions.append(await accounts.save(account))
            assert account.version == n + 1
        history = await accounts.history("a-1")
        assert [event.version for event in history] == [1, 2, 3, 4, 5]
        assert [event.position for event in history] == positions

    async def test_nothing_pending_is_nothing_to_do(self, store: Store, probe: Probe) -> None:
        """The store is not asked."""
        accounts = self.make_repository(store, Account)
        account = Account.open("a-1")
        await accounts.save(account)
        probe.reset()
        assert await accounts.save(account) is None
        assert await accounts.save(Account("a-2")) is None
        assert probe.calls == []

    async def test_the_second_of_two_writers_loses(self, store: Store) -> None:
        """Its events stay pending, and the store keeps the winner's alone."""
        accounts = self.make_repository(store, Account)
        await accounts.save(Account.open("a-1"))
        first, second = await accounts.load("a-1"), await accounts.load("a-1")
        first.deposit(1)
        second.deposit(2)
        second.deposit(3)
        await accounts.save(first)
        for _ in range(2):
            with pytest.raises(AggregateVersionConflict) as caught:
                await accounts.save(second)
            conflict = caught.value
            assert (conflict.aggregate_id, conflict.expected, conflict.actual) == ("a-1", 1, 2)
        assert (second.version, len(second.pending)) == (1, 2)
        assert (await accounts.load("a-1")).balance == 1

    async def test_an_id_can_be_created_once(self, store: Store) -> None:
        """The second creation is a conflict."""
        accounts = self.make_repository(store, Account)
        await accounts.save(Account.open("a-1", "Ada"))
        with pytest.raises(AggregateVersionConflict):
            await accounts.save(Account.open("a-1", "Bob"))
        assert (await accounts.load("a-1")).owner == "Ada"

    async def test_a_lost_answer_is_settled_by_saving_again(
        self, store: Store, probe: Probe
    ) -> None:
        """The events are stored once."""
        accounts = self.make_repository(store, Account)
        account = Account.open("a-1")
        account.deposit(1)
        probe.answers_to_lose = 2
        for _ in range(2):
            with pytest.raises(EventStoreUnavailable):
                await accounts.save(account)
            assert (account.version, len(account.pending)) == (0, 2)
        position = await accounts.save(account)
        assert (account.version, account.pending) == (2, ())
        history = await accounts.history("a-1")
        assert [event.event for event in history] == [
            Opened(owner="Ada"),
            Deposited(amount=Decimal(1)),
        ]
        assert history[-1].position == position

    async def test_after_a_lost_answer_more_can_be_recorded(
        self, store: Store, probe: Probe
    ) -> None:
        """What stands is not written again, the rest is."""
        accounts = self.make_repository(store, Account)
        account = Account.open("a-1")
        probe.answers_to_lose = 1
        with pytest.raises(EventStoreUnavailable):
            await accounts.save(account)
        account.deposit(1)
        await accounts.save(account)
        assert account.version == 2
        assert (await accounts.load("a-1")).version == 2

    async def test_a_lost_answer_is_settled_below_a_rival(self, store: Store, probe: Probe) -> None:
        """The save had won; what comes after it has not."""
        accounts = self.make_repository(store, Account)
        account = Account.open("a-1")
        probe.answers_to_lose = 1
        with pytest.raises(EventStoreUnavailable):
            await accounts.save(account)
        await accounts.update("a-1", lambda other: other.deposit(5))
        assert await accounts.save(account) == (await accounts.history("a-1"))[0].position
        assert account.version == 1
        account.deposit(1)
        with pytest.raises(AggregateVersionConflict):
            await accounts.save(account)

    async def test_a_store_that_cannot_be_reached_leaves_everything_pending(
        self, store: Store, probe: Probe
    ) -> None:
        """When it is back, the same object can be saved."""
        accounts = self.make_repository(store, Account)
        account = Account.open("a-1")
        probe.broken = {"append"}
        with pytest.raises(EventStoreUnavailable):
            await accounts.save(account)
        probe.reset()
        with pytest.raises(AggregateNotFound):
            await accounts.load("a-1")
        await accounts.save(account)
        assert (await accounts.load("a-1")).version == 1

    async def test_one_object_saved_by_two_tasks_is_stored_once(self, store: Store) -> None:
        """The second one finds nothing to do, or is told to use an object of its own."""
        accounts = self.make_repository(store, Account)
        account = Account.open("a-1")
        outcomes = await asyncio.gather(
            accounts.save(account), accounts.save(account), return_exceptions=True
        )
        assert isinstance(outcomes[0], int) or isinstance(outcomes[1], int)
        for outcome in outcomes:
            assert outcome is None or isinstance(outcome, int | InvalidAggregateState)
        assert account.version == 1
        assert len(await accounts.history("a-1")) == 1

    async def test_another_type_cannot_take_the_id(self, store: Store) -> None:
        """Saving it is a mismatch; what it recorded stays pending."""
        await self.make_repository(store, Account).save(Account.open("x-1"))
        people = self.make_repository(store, Person)
        person = Person("x-1")
        person.register("Bob")
        with pytest.raises(AggregateIDMismatch, match="Account"):
            await people.save(person)
        assert (person.version, len(person.pending)) == (0, 1)

    async def test_times_are_the_events_own_or_the_clocks(self, probe: Probe) -> None:
        """Both are kept to the microsecond, in UTC."""
        now = datetime(2024, 5, 6, 7, 8, 9, 123456, UTC)
        given = datetime(2020, 1, 1, 0, 30, 0, 1, timezone(timedelta(hours=2)))
        async with self.open_store(probe, clock=lambda: now) as store:
            accounts = self.make_repository(store, Account)
            account = Account.open("a-1")
            account.record(Deposited(amount=Decimal(1)), occurred_at=given)
            await accounts.save(account)
            times = [event.occurred_at for event in await accounts.history("a-1")]
            assert times == [now, given]
            assert [time.utcoffset() for time in times] == [timedelta(0)] * 2

    async def test_event_ids_come_from_the_factory(self, probe: Probe) -> None:
        """One for each event, in their order."""
        numbers = itertools.count(1)
        async with self.open_store(probe, new_id=lambda: UUID(int=next(numbers))) as store:
            accounts = self.make_repository(store, Account)
            account = Account.open("a-1")
            account.deposit(1)
            await accounts.save(account)
            ids = [event.event_id for event in await accounts.history("a-1")]
            assert ids == [UUID(int=1), UUID(int=2)]

    async def test_hooks_are_told(self, probe: Probe) -> None:
        """What was saved and loaded, which operations ran, and conflicts."""
        hooks = Recorder()
        async with self.open_store(probe, instrumentation=hooks) as store:
            accounts = self.make_repository(store, Account)
            account = Account.open("a-1")
            account.deposit(1)
            await accounts.save(account)
            with pytest.raises(AggregateVersionConflict):
                await accounts.save(Account.open("a-1"))
            await accounts.load("a-1")
        assert hooks.of("events_saved") == [("Account", 2)]
        assert hooks.of("events_loaded") == [("Account", 2)]
        assert hooks.of("concurrency_conflict") == [("Account",)]
        assert hooks.of("operation") == [
            (name, "Account", "a-1") for name in ("save", "save", "load")
        ]


class SaveAllContract(RepositoryTests):
    """`Repository.save_all`."""

    async def test_aggregates_of_any_type_are_saved_together(self, store: Store) -> None:
        """In one transaction, and the positions come in their order."""
        accounts = self.make_repository(store, Account)
        people = self.make_repository(store, Person)
        account, idle, person = Account.open("z-1"), Account("idle"), Person("p-1")
        person.register("Bob")
        positions = await accounts.save_all(account, idle, person)
        assert positions[1] is None
        assert positions[0] == (await accounts.history("z-1"))[0].position
        assert positions[2] == (await people.history("p-1"))[0].position
        assert (account.pending, person.pending) == ((), ())
        assert (await people.load("p-1")).name == "Bob"

    async def test_one_conflict_stops_them_all(self, store: Store) -> None:
        """Nothing is stored, and everything stays pending."""
        accounts = self.make_repository(store, Account)
        people = self.make_repository(store, Person)
        await accounts.save(Account.open("a-1"))
        fresh, stale, person = Account.open("a-2"), Account.open("a-1"), Person("p-1")
        person.register("Bob")
        with pytest.raises(AggregateVersionConflict) as caught:
            await accounts.save_all(fresh, stale, person)
        assert caught.value.aggregate_id == "a-1"
        assert not await accounts.exists("a-2")
        assert not await people.exists("p-1")
        assert [len(each.pending) for each in (fresh, stale, person)] == [1, 1, 1]

    async def test_a_lost_answer_is_settled_by_saving_all_again(
        self, store: Store, probe: Probe
    ) -> None:
        """Each event is stored once."""
        accounts = self.make_repository(store, Account)
        both = Account.open("a-1"), Account.open("a-2")
        probe.answers_to_lose = 1
        with pytest.raises(EventStoreUnavailable):
            await accounts.save_all(*both)
        await accounts.save_all(*both)
        assert [each.version for each in both] == [1, 1]
        assert [len(await accounts.history(each.id)) for each in both] == [1, 1]

    async def test_an_aggregate_may_not_appear_twice(self, store: Store, probe: Probe) -> None:
        """It is refused before the store is asked, as two objects with one id are."""
        accounts = self.make_repository(store, Account)
        account = Account.open("a-1")
        for twice in ((account, account), (account, Account.open("a-1"))):
            with pytest.raises(InvalidInput, match="twice"):
                await accounts.save_all(*twice)
        assert probe.calls == []

    async def test_nothing_is_saved_of_nothing(self, store: Store, probe: Probe) -> None:
        """The store is not asked."""
        accounts = self.make_repository(store, Account)
        assert await accounts.save_all() == ()
        assert await accounts.save_all(Account("a-1"), Person("p-1")) == (None, None)
        assert probe.calls == []
