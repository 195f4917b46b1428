"""Snapshots that fail, or that cannot be trusted: they cost time, never truth."""

import logging
from typing import Any

import msgspec
import pytest

from hitherto.application.records import Snapshot
from hitherto.application.store import Store
from hitherto.domain.aggregate import Aggregate
from hitherto.errors import SnapshotNotSupported
from hitherto.testing.probe import Probe
from hitherto.testing.repository_contract.base import Recorder, RepositoryTests
from hitherto.testing.repository_contract.domain import Account, Divided, Grew

UNREADABLE = ['"nonsense"', "7", "null", "[]", '{"balance": "x"}', '{"entries": {}}']


def _purse(default: int) -> type[Any]:
    class Purse(Aggregate[Grew]):
        credit: int = default

        def apply(self, event: Grew) -> None:
            self.credit += event.by

    return Purse


class BadSnapshotContract(RepositoryTests):
    """A snapshot that cannot be used is passed over, and replaced."""

    @pytest.mark.parametrize("data", UNREADABLE)
    async def test_a_corrupt_snapshot_is_replaced(self, probe: Probe, data: str) -> None:
        """The events are folded, and the next load uses the new snapshot."""
        await self._check_replaced(probe, data=data)

    async def test_a_snapshot_of_other_code_is_replaced(self, probe: Probe) -> None:
        """It is recognised by its fingerprint."""
        await self._check_replaced(probe, fingerprint="other", data='{"balance": "777"}')

    async def test_a_snapshot_of_code_with_another_default_is_not_used(self, store: Store) -> None:
        """The events are folded anew, from the new default."""
        old, new = _purse(10), _purse(20)
        purse = old("p-1")
        purse.record(Grew(by=1))
        await self.make_repository(store, old, snapshot_every=1).save(purse)
        assert await store.backend.read_snapshot("p-1") is not None
        loaded = await self.make_repository(store, new).load("p-1")
        assert (purse.credit, loaded.credit) == (11, 21)

    async def test_a_snapshot_ahead_of_the_events_is_replaced(self, probe: Probe) -> None:
        """As when an older dump was restored: no event bears it out."""
        await self._check_replaced(probe, version=9, data='{"balance": "777"}')

    async def test_a_snapshot_of_other_code_ahead_of_the_events_is_replaced(
        self, probe: Probe
    ) -> None:
        """Both at once."""
        await self._check_replaced(probe, version=9, fingerprint="other")

    async def test_an_older_version_is_loaded_past_a_corrupt_snapshot(self, store: Store) -> None:
        """Time travel replaces nothing."""
        accounts = await self._spoiled(store, data='"nonsense"')
        account = await accounts.load("a-1", 3)
        assert (account.version, account.balance) == (3, 3)
        kept = await store.backend.read_snapshot("a-1")
        assert kept is not None
        assert kept.data == '"nonsense"'

    async def test_a_snapshot_without_any_event_is_no_aggregate(self, store: Store) -> None:
        """There is nothing to load, and nothing to replace it with."""
        accounts = await self._spoiled(store)
        kept = await store.backend.read_snapshot("a-1")
        assert kept is not None
        await store.backend.save_snapshot(msgspec.structs.replace(kept, aggregate_id="a-2"))
        assert not await accounts.exists("a-2")
        assert await accounts.load_many(["a-2"]) == {}

    @pytest.mark.parametrize("changes", [{"data": '"nonsense"'}, {"version": 9}])
    async def test_many_are_loaded_past_a_bad_snapshot(
        self, store: Store, changes: dict[str, Any]
    ) -> None:
        """The others do not notice."""
        accounts = await self._spoiled(store, **changes)
        await accounts.save(Account.open("a-2"))
        loaded = await accounts.load_many(["a-1", "a-2"])
        assert [account.version for account in loaded.values()] == [3, 1]
        assert loaded["a-1"].balance == 3

    async def test_replacing_may_fail(self, store: Store, probe: Probe) -> None:
        """The load succeeds, this time and the next."""
        accounts = await self._spoiled(store, data='"nonsense"')
        probe.broken = {"save_snapshot"}
        for _ in range(2):
            assert (await accounts.load("a-1")).balance == 3

    async def _check_replaced(self, probe: Probe, **changes: Any) -> None:
        hooks = Recorder()
        async with self.open_store(probe, instrumentation=hooks) as store:
            accounts = await self._spoiled(store, **changes)
            hooks.told.clear()
            account = await accounts.load("a-1")
            assert (account.version, account.balance) == (3, 3)
            assert hooks.of("snapshot_unusable") == [("Account",)]
            assert hooks.of("snapshot_created") == [("Account",)]
            kept = await store.backend.read_snapshot("a-1")
            assert kept is not None
            assert kept.version == 3
            hooks.told.clear()
            probe.reset()
            again = await accounts.load("a-1")
            assert (again.version, again.balance) == (3, 3)
            assert hooks.of("snapshot_unusable") == []
            assert hooks.of("events_loaded") == [("Account", 0)]
            assert probe.calls == ["load"]

    async def _spoiled(self, store: Store, **changes: Any) -> Any:
        """A repository with one account of three events, whose snapshot was changed."""
        accounts = self.make_repository(store, Account, snapshot_every=3)
        account = Account.open("a-1")
        account.deposit(1)
        account.deposit(2)
        await accounts.save(account)
        kept = await store.backend.read_snapshot("a-1")
        assert kept is not None
        spoiled: Snapshot = msgspec.structs.replace(kept, **changes)
        assert await store.backend.save_snapshot(spoiled, replacing=3)
        return accounts


class FailingSnapshotContract(RepositoryTests):
    """A snapshot that cannot be taken is no failure of the save."""

    async def test_a_store_that_takes_none_is_told_of(
        self, probe: Probe, caplog: pytest.LogCaptureFixture
    ) -> None:
        """By a warning with key-values, and by the hook; the next save tries again."""
        hooks = Recorder()
        logger = logging.getLogger("hitherto.contract")
        async with self.open_store(probe, instrumentation=hooks, logger=logger) as store:
            accounts = self.make_repository(store, Account, snapshot_every=1)
            account = Account.open("a-1")
            probe.broken = {"save_snapshot"}
            assert await accounts.save(account) is not None
            assert (account.version, account.pending) == (1, ())
            assert hooks.of("snapshot_failed") == [("Account",)]
            (record,) = caplog.records
            assert (record.name, record.levelname) == ("hitherto.contract", "WARNING")
            assert "snapshot_failed aggregate_type='Account' aggregate_id='a-1'" in record.message
            probe.reset()
            account.deposit(1)
            await accounts.save(account)
            assert hooks.of("snapshot_created") == [("Account",)]

    async def test_a_predicate_that_fails_is_told_of(self, probe: Probe) -> None:
        """The events are stored."""
        hooks = Recorder()

        def failing(account: Account, events: Any) -> bool:
            raise ZeroDivisionError(account, events)

        async with self.open_store(probe, instrumentation=hooks) as store:
            accounts = self.make_repository(store, Account, snapshot_when=failing)
            account = Account.open("a-1")
            assert await accounts.save(account) is not None
            assert account.pending == ()
            assert hooks.of("snapshot_failed") == [("Account",)]

    async def test_a_state_that_would_come_back_changed_is_not_kept(self, probe: Probe) -> None:
        """The save succeeds; a snapshot by hand is refused."""
        hooks = Recorder()
        async with self.open_store(probe, instrumentation=hooks) as store:
            repository = self.make_repository(store, Divided, snapshot_every=1)
            divided = Divided("d-1")
            divided.record(Grew(by=0))
            assert await repository.save(divided) is not None
            assert hooks.of("snapshot_failed") == [("Divided",)]
            assert await store.backend.read_snapshot("d-1") is None
            with pytest.raises(SnapshotNotSupported, match="Divided"):
                await repository.snapshot(divided)
