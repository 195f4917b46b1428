"""`Checkpoints.status` and `position`: how far projections have come."""

from datetime import timedelta

from hitherto.application.ports import Backend
from hitherto.testing.checkpoint_contract.making import (
    NAME,
    SHORT,
    advance,
    attend,
    eventually,
    hold,
    parked,
    prepare,
    rebuilt,
    some_events,
)
from hitherto.testing.store_contract.making import append_to


class StatusContract:
    """What is told of projections."""

    async def test_nothing_is_told_of_what_is_unknown(self, backend: Backend) -> None:
        """Neither a status nor a position."""
        assert list(await backend.checkpoints.status()) == []
        assert list(await backend.checkpoints.status(NAME)) == []
        assert await backend.checkpoints.position(NAME) is None

    async def test_a_new_one_is_all_behind(self, backend: Backend) -> None:
        """By all events that there are, and by the age of the first."""
        positions = await some_events(backend)
        await prepare(backend, version=3, partitions=2)
        (status,) = await backend.checkpoints.status(NAME)
        assert (status.name, status.generation, status.version) == (NAME, 1, 3)
        assert (status.state, status.paused, status.partitions) == ("active", False, 2)
        assert (status.position, status.handled, status.parked) == (0, 0, 0)
        assert (status.owners, status.updated_at) == ({}, None)
        assert status.lag_events == positions[-1]
        assert 0 < status.lag_seconds < 300

    async def test_it_tells_how_far_it_has_come(self, backend: Backend) -> None:
        """The lowest checkpoint counts."""
        positions = await some_events(backend)
        made = await prepare(backend, partitions=2)
        held = await hold(backend, made)
        await advance(backend, made, {0: held[0]}, positions[3], handled={0: 3})
        await advance(
            backend,
            made,
            {1: held[1]},
            positions[1],
            handled={1: 1},
            parked=[parked(made, positions[0])],
        )
        (status,) = await backend.checkpoints.status()
        assert (status.position, status.handled, status.parked) == (positions[1], 4, 1)
        assert status.lag_events == positions[-1] - positions[1]
        (stored, *_) = await backend.read("thing")
        assert status.updated_at is not None
        assert timedelta(0) <= status.updated_at - stored.stored_at < timedelta(minutes=5)

    async def test_one_that_has_caught_up_does_not_lag(self, backend: Backend) -> None:
        """Until the next event comes."""
        positions = await some_events(backend)
        made = await prepare(backend)
        held = await hold(backend, made)
        await advance(backend, made, held, positions[-1])
        (status,) = await backend.checkpoints.status()
        assert (status.lag_events, status.lag_seconds) == (0, 0)
        (position,) = await backend.append([append_to("other")])
        (status,) = await backend.checkpoints.status()
        assert status.lag_events == position - positions[-1]
        assert 0 < status.lag_seconds < 300

    async def test_a_checkpoint_beyond_the_log_does_not_lag(self, backend: Backend) -> None:
        """It is wrong, but not behind."""
        positions = await some_events(backend)
        made = await prepare(backend)
        held = await hold(backend, made)
        await advance(backend, made, held, positions[-1] + 1000)
        (status,) = await backend.checkpoints.status()
        assert (status.lag_events, status.lag_seconds) == (0, 0)

    async def test_it_tells_who_works(self, backend: Backend) -> None:
        """Each with the number of its partitions; who has let go does not."""
        made = await prepare(backend, partitions=4)
        held = await hold(backend, made, "one")
        spare = {each: held.pop(each) for each in (0, 1, 2)}
        await backend.checkpoints.release(made, "one", spare, leave=False)
        await attend(backend, made, "two")
        (status,) = await backend.checkpoints.status(NAME)
        assert status.owners == {"one": 1, "two": 2}
        await backend.checkpoints.release(made, "one", held, leave=True)
        (status,) = await backend.checkpoints.status(NAME)
        assert status.owners == {"two": 2}

    async def test_whose_lease_is_over_does_not_work(self, backend: Backend) -> None:
        """Though nobody has taken over."""
        made = await prepare(backend)
        await attend(backend, made, lease=SHORT)

        async def nobody() -> bool:
            (status,) = await backend.checkpoints.status(NAME)
            return not status.owners

        await eventually(nobody)

    async def test_each_generation_has_a_status(self, backend: Backend) -> None:
        """In the order of names and numbers; the position is the active one's."""
        positions = await some_events(backend)
        await prepare(backend, name="a view")
        active, filling = await rebuilt(backend)
        await advance(backend, filling, await hold(backend, filling), positions[1])
        await advance(backend, active, await hold(backend, active), positions[0])
        found = await backend.checkpoints.status()
        assert [(each.name, each.generation, each.state, each.position) for each in found] == [
            ("a view", 1, "active", 0),
            (NAME, 1, "active", positions[0]),
            (NAME, 2, "filling", positions[1]),
        ]
        found = await backend.checkpoints.status("a view")
        assert [each.name for each in found] == ["a view"]
        assert await backend.checkpoints.position(NAME) == positions[0]

    async def test_a_pause_is_told(self, backend: Backend) -> None:
        """Of both generations."""
        await rebuilt(backend)
        await backend.checkpoints.pause(NAME, paused=True)
        assert [each.paused for each in await backend.checkpoints.status()] == [True, True]
        await backend.checkpoints.pause(NAME, paused=False)
        assert [each.paused for each in await backend.checkpoints.status()] == [False, False]
