"""`Checkpoints.prepare` and `reset`: which filling of a view code works on."""

import asyncio

import pytest

from hitherto.application.ports import Backend
from hitherto.errors import HandlerFailed, LeaseLost, ProjectionSuperseded
from hitherto.testing.checkpoint_contract.making import (
    NAME,
    Changes,
    advance,
    attend,
    document,
    hold,
    leases,
    parked,
    prepare,
    rebuilt,
    some_events,
    stored,
)


class GenerationContract:
    """The first generation is active at once; later ones are filled beside it."""

    async def test_the_first_one_is_active(self, backend: Backend) -> None:
        """It begins at the first event, and its tables are made."""
        changes = Changes()
        made = await prepare(backend, version=3, partitions=4, setup=changes)
        assert (made.name, made.number, made.version) == (NAME, 1, 3)
        assert (made.state, made.partitions) == ("active", 4)
        assert changes.calls == [(made, None)]
        assert await backend.checkpoints.position(NAME) == 0

    async def test_the_first_one_may_begin_later(self, backend: Backend) -> None:
        """Behind the last event up to a position, in each partition; the others do not."""
        first, second, _ = await some_events(backend, 3)
        made = await prepare(backend, partitions=2, after=second)
        held = await attend(backend, made)
        assert [lease.position for lease in held.leases] == [second] * 2
        assert all(lease.intact for lease in held.leases)
        assert await prepare(backend, after=first) == made
        assert await backend.checkpoints.position(NAME) == second
        new = await prepare(backend, version=2, after=second)
        assert [lease.position for lease in (await attend(backend, new)).leases] == [0]

    async def test_one_that_begins_later_where_nothing_is_stored(self, backend: Backend) -> None:
        """It begins with the first event that comes, whatever position it was told."""
        made = await prepare(backend, after=7)
        (lease,) = (await attend(backend, made)).leases
        assert (lease.position, lease.intact) == (0, True)

    async def test_code_of_the_same_version_works_on_it(self, backend: Backend) -> None:
        """Nothing is made a second time, and the partitions stay as they were made."""
        made = await prepare(backend, partitions=4)
        changes = Changes()
        assert await prepare(backend, partitions=64, setup=changes) == made
        assert not changes.calls

    async def test_a_setup_that_is_awaited_or_fails_makes_nothing(self, backend: Backend) -> None:
        """The error leads to what was raised, and the next one begins anew."""
        error = ZeroDivisionError("setup")
        with pytest.raises(HandlerFailed, match="setup") as caught:
            await prepare(backend, setup=Changes(error))
        assert caught.value.__cause__ is error
        assert await backend.checkpoints.position(NAME) is None
        assert (await prepare(backend)).number == 1

    async def test_of_many_at_once_one_makes_it(self, backend: Backend) -> None:
        """The others find it."""
        changes = Changes()
        made = await asyncio.gather(*(prepare(backend, setup=changes) for _ in range(10)))
        assert len(set(map(repr, made))) == 1
        assert len(changes.calls) == 1

    async def test_a_higher_version_is_filled_beside_it(self, backend: Backend) -> None:
        """The active one goes on, and code of either version finds its own again."""
        old = await prepare(backend)
        changes = Changes()
        new = await prepare(backend, version=2, partitions=8, setup=changes)
        assert (new.number, new.version, new.state, new.partitions) == (2, 2, "filling", 8)
        assert changes.calls == [(new, None)]
        assert await prepare(backend) == old
        assert await prepare(backend, version=2) == new

    async def test_a_lower_version_is_refused(self, backend: Backend) -> None:
        """The message names both, and what can be done."""
        await prepare(backend, version=5)
        with pytest.raises(ProjectionSuperseded, match=r"4.*5.*hitherto projections rebuild"):
            await prepare(backend, version=4)

    async def test_a_version_below_the_one_that_is_filled_is_refused(
        self, backend: Backend
    ) -> None:
        """Though it is above the active one's."""
        await prepare(backend, version=1)
        filling = await prepare(backend, version=5)
        with pytest.raises(ProjectionSuperseded, match=r"3.*5"):
            await prepare(backend, version=3)
        assert await prepare(backend, version=5) == filling

    async def test_a_version_above_retires_the_one_that_is_filled(self, backend: Backend) -> None:
        """Its tables are dropped in the same step, and nobody writes to it any more."""
        active = await prepare(backend)
        filling = await prepare(backend, version=2)
        held = await hold(backend, filling)
        changes = Changes()
        newer = await prepare(backend, version=3, setup=changes)
        assert (newer.number, newer.state) == (3, "filling")
        assert changes.calls == [(newer, filling)]
        assert (await attend(backend, filling, held=held)).state == "retired"
        with pytest.raises(LeaseLost):
            await advance(backend, filling, held, 0)
        assert await prepare(backend) == active

    async def test_a_rebuild_fills_another_of_the_same_version(self, backend: Backend) -> None:
        """And goes on with it the next time."""
        active, filling = await rebuilt(backend)
        assert (filling.number, filling.version, filling.state) == (2, 1, "filling")
        assert await prepare(backend, rebuild=True) == filling
        assert await prepare(backend) == active

    async def test_a_rebuild_may_go_back_to_a_lower_version(self, backend: Backend) -> None:
        """What was being filled for another version is retired."""
        await prepare(backend, version=5)
        newer = await prepare(backend, version=6)
        changes = Changes()
        older = await prepare(backend, version=4, rebuild=True, setup=changes)
        assert (older.number, older.version, older.state) == (3, 4, "filling")
        assert changes.calls == [(older, newer)]

    async def test_a_rebuild_of_nothing_is_active(self, backend: Backend) -> None:
        """There is no other one to read meanwhile."""
        assert (await prepare(backend, rebuild=True)).state == "active"

    async def test_a_failed_rebuild_retires_nothing(self, backend: Backend) -> None:
        """The one that was being filled is as it was."""
        await prepare(backend)
        filling = await prepare(backend, version=2)
        held = await hold(backend, filling)
        with pytest.raises(HandlerFailed):
            await prepare(backend, version=3, setup=Changes(ZeroDivisionError()))
        assert await prepare(backend, version=2) == filling
        assert await leases(backend, filling, held)

    async def test_what_is_retired_leaves_nothing_behind(self, backend: Backend) -> None:
        """Neither parked events nor a status; its number is not used again."""
        (position, *_) = await some_events(backend)
        _, filling = await rebuilt(backend)
        held = await hold(backend, filling)
        await advance(
            backend,
            filling,
            held,
            position,
            parked=[parked(filling, position)],
            documents=[document("a", "1")],
        )
        await prepare(backend, version=2)
        assert [each.generation for each in await backend.checkpoints.status()] == [1, 3]
        assert not await backend.checkpoints.parked(NAME, filling.number)
        assert not await backend.checkpoints.read_documents(filling, "things", ["a"], None)
        assert (await prepare(backend, version=3)).number == 4

    async def test_projections_do_not_know_each_other(self, backend: Backend) -> None:
        """Each name has its own generations."""
        await prepare(backend, version=5)
        other = await prepare(backend, name="other")
        assert (other.number, other.version) == (1, 1)

    async def test_a_reset_begins_anew(self, backend: Backend) -> None:
        """With the same generation: no position, no documents, nothing parked, nobody at work."""
        positions = await some_events(backend)
        made = await prepare(backend, partitions=2)
        held = await hold(backend, made)
        await backend.checkpoints.begin(made, held)
        await advance(
            backend,
            made,
            held,
            positions[2],
            handled={0: 3},
            begun=True,
            parked=[parked(made, positions[0])],
            documents=[document("a", "{}")],
        )
        changes = Changes()
        assert await backend.checkpoints.reset(NAME, setup=changes) is True
        assert changes.calls == [(made, made)]
        assert await stored(backend) == {}
        (status,) = await backend.checkpoints.status(NAME)
        assert (status.position, status.handled, status.parked, status.owners) == (0, 0, 0, {})
        with pytest.raises(LeaseLost):
            await advance(backend, made, held, positions[3])
        again = (await attend(backend, made, "two")).leases
        assert [(each.position, each.attempts, each.intact) for each in again] == [
            (0, 0, True),
        ] * len(again)
        assert all(each.token > held[each.partition] for each in again)

    async def test_a_failed_reset_changes_nothing(self, backend: Backend) -> None:
        """The documents are still there."""
        (position, *_) = await some_events(backend)
        made = await prepare(backend)
        held = await hold(backend, made)
        await advance(backend, made, held, position, documents=[document("a", "1")])
        with pytest.raises(HandlerFailed):
            await backend.checkpoints.reset(NAME, setup=Changes(ZeroDivisionError()))
        assert await stored(backend) == {"a": 1}
        assert await backend.checkpoints.position(NAME) == position
        assert await leases(backend, made, held)

    async def test_what_is_unknown_is_not_reset(self, backend: Backend) -> None:
        """It is told."""
        changes = Changes()
        assert await backend.checkpoints.reset(NAME, setup=changes) is False
        assert not changes.calls
