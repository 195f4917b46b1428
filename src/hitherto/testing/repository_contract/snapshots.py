"""Snapshots: when they are taken, and that they change nothing but the time of a load."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from hitherto.application.store import Store
from hitherto.errors import InvalidAggregateState, InvalidInput, SnapshotNotSupported
from hitherto.testing.probe import Probe
from hitherto.testing.repository_contract.base import Recorder, RepositoryTests
from hitherto.testing.repository_contract.domain import (
    Account,
    Collector,
    Grew,
    Mood,
    Opaque,
    Person,
)
from hitherto.testing.repository_contract.loading import EVERYTHING


class SnapshotPolicyContract(RepositoryTests):
    """When a snapshot is taken."""

    @pytest.mark.parametrize("batch", [1, 2, 5])
    async def test_one_is_taken_every_so_many_events(self, store: Store, batch: int) -> None:
        """Counted from the last one, whether events are saved singly or several at once."""
        accounts = self.make_repository(store, Account, snapshot_every=4)
        account = Account.open("a-1")
        await accounts.save(account)
        last = 0
        for _ in range(10):
            for _ in range(batch):
                account.deposit(1)
            await accounts.save(account)
            if account.version - last >= 4:
                last = account.version
            kept = await store.backend.read_snapshot("a-1")
            assert (kept.version if kept else 0) == last

    async def test_the_count_goes_on_after_a_load(self, store: Store) -> None:
        """From the snapshot that was loaded, or from the first event."""
        accounts = self.make_repository(store, Account, snapshot_every=3)
        await accounts.save(Account.open("a-1"))
        kept: list[int | None] = []
        for _ in range(6):
            await accounts.update("a-1", lambda account: account.deposit(1))
            snapshot = await store.backend.read_snapshot("a-1")
            kept.append(snapshot.version if snapshot else None)
        assert kept == [None, 3, 3, 3, 6, 6]

    async def test_the_stores_threshold_holds_where_nothing_is_said(self, probe: Probe) -> None:
        """And None means never."""
        async with self.open_store(probe, snapshot_threshold=2) as store:
            for name, options in (("default", {}), ("never", {"snapshot_every": None})):
                accounts = self.make_repository(store, Account, **options)
                account = Account.open(name)
                account.deposit(1)
                await accounts.save(account)
            assert await store.backend.read_snapshot("default") is not None
            assert await store.backend.read_snapshot("never") is None

    async def test_a_predicate_can_decide(self, store: Store) -> None:
        """It is told the aggregate and the events just saved."""
        told: list[tuple[int, int]] = []

        def rich(account: Account, events: Any) -> bool:
            told.append((account.version, len(events)))
            return account.balance > 10

        accounts = self.make_repository(store, Account, snapshot_when=rich)
        account = Account.open("a-1")
        account.deposit(5)
        await accounts.save(account)
        assert await store.backend.read_snapshot("a-1") is None
        account.deposit(6)
        await accounts.save(account)
        kept = await store.backend.read_snapshot("a-1")
        assert kept is not None
        assert (kept.version, told) == (3, [(2, 2), (3, 1)])

    async def test_one_can_be_taken_by_hand(self, store: Store) -> None:
        """Once for each version."""
        accounts = self.make_repository(store, Account, snapshot_every=None)
        account = Account.open("a-1")
        await accounts.save(account)
        assert await accounts.snapshot(account) is True
        assert await accounts.snapshot(account) is False
        account.deposit(1)
        await accounts.save(account)
        assert await accounts.snapshot(await accounts.load("a-1", 1)) is False
        assert await accounts.snapshot(account) is True
        kept = await store.backend.read_snapshot("a-1")
        assert kept is not None
        assert kept.version == 2

    async def test_only_a_saved_state_can_be_kept(self, store: Store, probe: Probe) -> None:
        """Neither pending events nor an aggregate without any."""
        accounts = self.make_repository(store, Account)
        for unsaved in (Account.open("a-1"), Account("a-2")):
            with pytest.raises(InvalidAggregateState, match="save it"):
                await accounts.snapshot(unsaved)
        assert probe.calls == []

    async def test_save_all_takes_those_of_its_own_type(self, store: Store) -> None:
        """What another type's snapshots are, only its own repository knows."""
        accounts = self.make_repository(store, Account, snapshot_every=1)
        person = Person("p-1")
        person.register("Bob")
        await accounts.save_all(Account.open("a-1"), Account.open("a-2"), person)
        kept = [await store.backend.read_snapshot(each) for each in ("a-1", "a-2", "p-1")]
        assert [snapshot is not None for snapshot in kept] == [True, True, False]

    @pytest.mark.parametrize("number", [0, -1])
    async def test_the_distance_is_at_least_one(self, store: Store, number: int) -> None:
        """None is for never."""
        with pytest.raises(InvalidInput, match="snapshot_every"):
            self.make_repository(store, Account, snapshot_every=number)

    async def test_one_policy_is_given_at_most(self, store: Store) -> None:
        """Not a number and a predicate."""
        with pytest.raises(InvalidInput, match="not both"):
            self.make_repository(store, Account, snapshot_every=1, snapshot_when=_always)


class SnapshotTruthContract(RepositoryTests):
    """Snapshot and later events give the state that the full fold gives."""

    async def test_it_is_so_for_every_kind_of_field(self, store: Store) -> None:
        """At each version, with snapshots at any."""
        collectors = self.make_repository(store, Collector, snapshot_every=None)
        collector = Collector("c-1")
        for n in range(6):
            collector.record(
                msgspec.structs.replace(
                    EVERYTHING,
                    fraction=n / 3,
                    moment=datetime(2024, 1, 1, tzinfo=UTC) + timedelta(microseconds=n),
                    mood=Mood.GOOD if n % 2 else Mood.BAD,
                    unique=frozenset({str(n), "x"}),
                    exact=Decimal("1.50") * n,
                    key=UUID(int=n),
                )
            )
        await collectors.save(collector)
        folds = [await collectors.load("c-1", version) for version in range(1, 7)]
        for then in folds:
            assert await collectors.snapshot(then) is True
            for version in range(then.version, 7):
                loaded = await collectors.load("c-1", version)
                assert _state(loaded) == _state(folds[version - 1])
                assert not hasattr(loaded, "never_set")

    async def test_only_later_events_are_folded(self, probe: Probe) -> None:
        """In the same one round trip, by load and by load_many."""
        hooks = Recorder()
        async with self.open_store(probe, instrumentation=hooks) as store:
            accounts = self.make_repository(store, Account, snapshot_every=10)
            account = Account.open("a-1")
            for n in range(9):
                account.deposit(n)
            await accounts.save(account)
            await accounts.update("a-1", lambda account: account.deposit(100))
            probe.reset()
            hooks.told.clear()
            one = await accounts.load("a-1")
            many = await accounts.load_many(["a-1"])
            assert probe.calls == ["load", "load_many"]
            assert hooks.of("events_loaded") == [("Account", 1)] * 2
        for loaded in (one, many["a-1"]):
            assert (loaded.version, int(loaded.balance)) == (11, 136)
            assert loaded.entries[-1].amount == 100

    async def test_an_older_version_needs_no_later_snapshot(self, store: Store) -> None:
        """Below the snapshot the events are folded."""
        accounts = self.make_repository(store, Account, snapshot_every=5)
        account = Account.open("a-1")
        for n in range(1, 9):
            account.deposit(n)
            await accounts.save(account)
        for version in range(1, 10):
            assert (await accounts.load("a-1", version)).balance == sum(range(version))

    async def test_loading_an_older_version_keeps_no_snapshot(
        self, store: Store, probe: Probe
    ) -> None:
        """It only reads."""
        accounts = self.make_repository(store, Account, snapshot_every=1)
        account = Account.open("a-1")
        account.deposit(1)
        await accounts.save(account)
        probe.reset()
        await accounts.load("a-1", 1)
        assert probe.calls == ["load"]


class UnencodableContract(RepositoryTests):
    """A state that cannot be encoded has no snapshots, and no other trouble."""

    async def test_it_is_said_when_snapshots_are_asked_for(self, store: Store) -> None:
        """At once, by the repository that asks."""
        both: tuple[dict[str, Any], ...] = ({"snapshot_every": 5}, {"snapshot_when": _always})
        for options in both:
            with pytest.raises(SnapshotNotSupported, match="Opaque"):
                self.make_repository(store, Opaque, **options)

    async def test_it_never_fails_a_save(self, probe: Probe) -> None:
        """Where nobody asked for snapshots there are none."""
        async with self.open_store(probe, snapshot_threshold=1) as store:
            repository = self.make_repository(store, Opaque)
            opaque = Opaque("o-1")
            opaque.record(Grew(by=2))
            await repository.save(opaque)
            await repository.update("o-1", lambda each: each.record(Grew(by=3)))
            assert (await repository.load("o-1")).size == 5
            assert await store.backend.read_snapshot("o-1") is None
            with pytest.raises(SnapshotNotSupported, match="Opaque"):
                await repository.snapshot(opaque)


def _always(aggregate: Account, events: Any) -> bool:
    return bool(aggregate and events)


def _state(aggregate: Collector) -> dict[str, Any]:
    return {
        name: getattr(aggregate, name)
        for name in Collector.definition.fields
        if hasattr(aggregate, name)
    }
