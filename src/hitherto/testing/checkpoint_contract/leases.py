"""`Checkpoints.begin` and `release`: attempts are counted before they are made."""

import pytest

from hitherto.application.ports import Backend
from hitherto.errors import LeaseLost
from hitherto.testing.checkpoint_contract.making import (
    advance,
    attend,
    hold,
    leases,
    prepare,
    some_events,
    tokens,
)


class LeaseContract:
    """An attempt that nobody ended is known to who comes next."""

    async def test_attempts_are_counted(self, backend: Backend) -> None:
        """Those of the partitions that are named."""
        made = await prepare(backend, partitions=3)
        held = await hold(backend, made)
        await backend.checkpoints.begin(made, {0: held[0], 2: held[2]})
        await backend.checkpoints.begin(made, {2: held[2]})
        found = await leases(backend, made, held)
        assert [found[each].attempts for each in range(3)] == [1, 0, 2]

    async def test_who_has_lost_one_of_them_begins_none(self, backend: Backend) -> None:
        """No attempt is counted."""
        made = await prepare(backend, partitions=2)
        held = await hold(backend, made)
        with pytest.raises(LeaseLost, match="view"):
            await backend.checkpoints.begin(made, {0: held[0], 1: held[1] - 1})
        found = await leases(backend, made, held)
        assert [found[each].attempts for each in range(2)] == [0, 0]

    async def test_nothing_is_begun_of_what_is_retired(self, backend: Backend) -> None:
        """Its checkpoints are gone."""
        await prepare(backend)
        old = await prepare(backend, version=2)
        held = await hold(backend, old)
        await prepare(backend, version=3)
        with pytest.raises(LeaseLost):
            await backend.checkpoints.begin(old, held)

    async def test_what_is_let_go_is_free_at_once(self, backend: Backend) -> None:
        """The attempt that was under way does not count; earlier ones do."""
        made = await prepare(backend, partitions=3)
        held = await hold(backend, made)
        await backend.checkpoints.begin(made, {1: held[1], 2: held[2]})
        await backend.checkpoints.begin(made, {2: held[2]})
        await backend.checkpoints.release(made, "one", held, leave=True)
        found = await attend(backend, made, "two")
        assert [each.attempts for each in found.leases] == [0, 0, 1]
        assert all(each.token > held[each.partition] for each in found.leases)

    async def test_another_ones_is_not_let_go(self, backend: Backend) -> None:
        """An older token lets nothing go."""
        made = await prepare(backend)
        old = await hold(backend, made, "one")
        await backend.checkpoints.release(made, "one", old, leave=True)
        held = await hold(backend, made, "two")
        await backend.checkpoints.begin(made, held)
        await backend.checkpoints.release(made, "one", old, leave=False)
        found = await attend(backend, made, "two", held)
        assert tokens(found) == held
        assert found.leases[0].attempts == 1
        assert (await attend(backend, made, "three")).leases == ()

    async def test_who_stays_keeps_its_share(self, backend: Backend) -> None:
        """Who leaves has none any more."""
        made = await prepare(backend, partitions=4)
        held = await hold(backend, made, "one")
        await backend.checkpoints.release(made, "one", held, leave=False)
        assert (await attend(backend, made, "two")).share == 2
        await backend.checkpoints.release(made, "one", {}, leave=True)
        assert (await attend(backend, made, "two")).share == 4

    async def test_a_retired_generation_can_be_left(self, backend: Backend) -> None:
        """There is nothing to let go, and that is no error."""
        await prepare(backend)
        old = await prepare(backend, version=2)
        held = await hold(backend, old)
        await prepare(backend, version=3)
        await backend.checkpoints.release(old, "one", held, leave=True)

    async def test_a_released_partition_can_be_written_by_nobody_else(
        self, backend: Backend
    ) -> None:
        """Once another has taken it, who let it go is fenced off."""
        (position, *_) = await some_events(backend)
        made = await prepare(backend)
        old = await hold(backend, made, "one")
        await backend.checkpoints.release(made, "one", old, leave=False)
        await hold(backend, made, "two")
        with pytest.raises(LeaseLost):
            await advance(backend, made, old, position)
        assert await backend.checkpoints.position(made.name) == 0
