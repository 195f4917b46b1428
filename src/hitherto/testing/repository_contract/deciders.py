"""Deciders: wherever an aggregate class may stand, one may."""

import pytest

from hitherto.application.store import Store
from hitherto.errors import AggregateIDMismatch, AggregateNotFound, InvalidAggregateState
from hitherto.testing.probe import Probe
from hitherto.testing.repository_contract.base import Recorder, RepositoryTests
from hitherto.testing.repository_contract.domain import Count, Counter, Grew, Grow, Person


class DeciderContract(RepositoryTests):
    """The functional form."""

    async def test_it_is_kept_like_an_aggregate(self, store: Store) -> None:
        """Created, saved, loaded, at each version."""
        counters = self.make_repository(store, Counter())
        counter = Counter()("c-1")
        assert counter.execute(Grow(by=3)) == (Grew(by=1),) * 3
        assert counter.state == Count(3, (1, 1, 1))
        await counters.save(counter)
        loaded = await counters.load("c-1")
        assert (loaded.state, loaded.version, loaded.pending) == (Count(3, (1, 1, 1)), 3, ())
        assert (await counters.load("c-1", 2)).state == Count(2, (1, 1))
        assert [each.aggregate_type for each in await counters.history("c-1")] == ["counter"] * 3

    async def test_it_is_updated_by_commands(self, store: Store) -> None:
        """What it refuses leaves no trace."""
        counters = self.make_repository(store, Counter())
        counter = Counter()("c-1")
        counter.execute(Grow(by=1))
        await counters.save(counter)
        events = await counters.update("c-1", lambda counter: counter.execute(Grow(by=2)))
        assert events == (Grew(by=1), Grew(by=1))
        with pytest.raises(InvalidAggregateState, match="never shrinks"):
            await counters.update("c-1", lambda counter: counter.execute(Grow(by=-1)))
        assert (await counters.load_many(["c-1"]))["c-1"].state.total == 3

    async def test_its_state_is_in_its_snapshots(self, probe: Probe) -> None:
        """Snapshot and later events give the state that the full fold gives."""
        hooks = Recorder()
        async with self.open_store(probe, instrumentation=hooks) as store:
            counters = self.make_repository(store, Counter(), snapshot_every=4)
            counter = Counter()("c-1")
            for _ in range(6):
                counter.execute(Grow(by=1))
                await counters.save(counter)
            loaded = await counters.load("c-1")
            assert loaded.state == counter.state == Count(6, (1,) * 6)
            assert hooks.of("snapshot_created") == [("counter",)]
            assert hooks.of("events_loaded") == [("counter", 2)]

    async def test_its_id_is_its_own(self, store: Store) -> None:
        """As with any type."""
        counters = self.make_repository(store, Counter())
        counter = Counter()("c-1")
        counter.execute(Grow(by=1))
        await counters.save(counter)
        with pytest.raises(AggregateIDMismatch):
            await self.make_repository(store, Person).load("c-1")
        with pytest.raises(AggregateNotFound, match="no counter"):
            await counters.load("c-2")
