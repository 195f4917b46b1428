"""`Checkpoints.take_inline`: projections that appends run in their own transactions."""

from collections.abc import Sequence
from typing import Any

import pytest

from hitherto.application.alongside import Alongside
from hitherto.application.ports import Backend
from hitherto.application.records import StoredEvent
from hitherto.errors import HandlerFailed, LeaseLost, ProjectionSuperseded
from hitherto.testing.checkpoint_contract.making import (
    NAME,
    Changes,
    advance,
    attend,
    hold,
    nothing,
    parked,
    prepare,
    some_events,
)
from hitherto.testing.store_contract.making import append_to, whole_log


class InlineContract:
    """What appends run has seen the whole log, and is nobody else's."""

    async def test_the_first_is_made_for_an_empty_log(self, backend: Backend) -> None:
        """Once; the next process finds it."""
        changes = Changes()
        for _ in range(2):
            assert await _take(backend, setup=changes) is True
        ((made, old),) = changes.calls
        assert (made.number, made.version, made.state, old) == (1, 1, "active", None)
        assert await prepare(backend) == made

    async def test_a_failed_setup_makes_nothing(self, backend: Backend) -> None:
        """It can be tried again."""
        with pytest.raises(HandlerFailed):
            await _take(backend, setup=Changes(ZeroDivisionError()))
        assert await _take(backend) is True

    async def test_one_that_is_behind_the_log_is_not_taken(self, backend: Backend) -> None:
        """Until a worker has brought it up."""
        positions = await some_events(backend)
        assert await _take(backend) is False
        made = await prepare(backend)
        assert await _take(backend) is False
        held = await hold(backend, made)
        await advance(backend, made, held, positions[-2])
        assert await _take(backend) is False
        assert await _append(backend, "refused") is False
        await advance(backend, made, held, positions[-1])
        assert await _take(backend) is True

    async def test_appends_run_it_from_then_on(self, backend: Backend) -> None:
        """It is never behind."""
        await _take(backend)
        assert await _append(backend, "a") is True
        assert await _take(backend) is True
        watermark = await backend.watermark()
        assert await backend.checkpoints.position(NAME) == watermark > 0
        (status,) = await backend.checkpoints.status(NAME)
        assert (status.position, status.lag_events, status.lag_seconds) == (watermark, 0, 0)

    async def test_no_worker_runs_it(self, backend: Backend) -> None:
        """Who did is fenced off."""
        (position, *_) = await some_events(backend, 1)
        made = await prepare(backend)
        held = await hold(backend, made)
        await advance(backend, made, held, position)
        await _take(backend)
        with pytest.raises(LeaseLost):
            await advance(backend, made, held, position)
        found = await attend(backend, made, held=held)
        assert (found.leases, found.share, found.state) == ((), 0, "active")

    async def test_appends_of_another_version_are_refused(self, backend: Backend) -> None:
        """Nothing of them is written."""
        assert await _append(backend, "early") is False
        await _take(backend, version=2)
        for version in (1, 3):
            assert await _append(backend, "other", version=version) is False
        assert await whole_log(backend) == []
        assert await _append(backend, "same", version=2) is True

    async def test_a_lower_version_is_not_run_inline(self, backend: Backend) -> None:
        """And a higher one has its view filled first."""
        await _take(backend, version=2)
        with pytest.raises(ProjectionSuperseded, match=r"1.*2"):
            await _take(backend, version=1)
        assert await _take(backend, version=3) is False

    async def test_a_new_version_takes_its_place(self, backend: Backend) -> None:
        """When it has come as far as the log; appends that run the old one are refused then."""
        await _take(backend)
        await _append(backend, "a")
        new = await prepare(backend, version=2)
        held = await hold(backend, new)
        assert await _switch(backend, new) is False
        await advance(backend, new, held, await backend.watermark())
        assert await _append(backend, "b") is True
        assert await _switch(backend, new) is False
        await advance(backend, new, held, await backend.watermark())
        assert await _switch(backend, new) is True
        assert await _append(backend, "c") is False
        assert await _take(backend, version=2) is True
        assert await _append(backend, "c", version=2) is True

    async def test_one_with_events_set_aside_is_not_taken(self, backend: Backend) -> None:
        """No worker would try them again, and later events of their aggregates would be run."""
        (position, *_) = await some_events(backend, 1)
        made = await prepare(backend)
        held = await hold(backend, made)
        await advance(backend, made, held, position, parked=[parked(made, position)])
        assert await _take(backend) is False
        await advance(backend, made, held, position, unparked=[position])
        assert await _take(backend) is True

    async def test_a_new_version_with_events_set_aside_does_not_take_its_place(
        self, backend: Backend
    ) -> None:
        """Appends go on with the old one."""
        await _take(backend)
        await _append(backend, "a")
        new = await prepare(backend, version=2)
        held = await hold(backend, new)
        first = await backend.watermark()
        await advance(backend, new, held, first, parked=[parked(new, first)])
        assert await _switch(backend, new) is False
        assert await _append(backend, "b") is True
        last = await backend.watermark()
        await advance(backend, new, held, last, unparked=[first])
        assert await _switch(backend, new) is True

    async def test_a_reset_hands_it_to_a_worker(self, backend: Backend) -> None:
        """It begins anew, and is behind."""
        await _take(backend)
        await _append(backend, "a")
        await backend.checkpoints.reset(NAME, setup=nothing)
        assert await backend.checkpoints.position(NAME) == 0
        assert await _append(backend, "b") is False
        assert (await attend(backend, await prepare(backend))).share == 1


async def _take(backend: Backend, *, version: int = 1, setup: Any = nothing) -> bool:
    return await backend.checkpoints.take_inline(NAME, version=version, setup=setup)


async def _append(backend: Backend, aggregate_id: str, *, version: int = 1) -> bool:
    """Whether an append that runs the projection is taken."""
    calls: list[Any] = []

    def effects(events: Sequence[StoredEvent], _connection: Any) -> None:
        calls.append(events)

    alongside = Alongside(inline=[(NAME, version)], effects=effects)
    try:
        await backend.append([append_to(aggregate_id)], alongside=alongside)
    except ProjectionSuperseded:
        assert not calls
        assert not await backend.read(aggregate_id)
        return False
    assert len(calls) == 1
    return True


async def _switch(backend: Backend, new: Any) -> bool:
    changes = Changes()
    done = await backend.checkpoints.switch(new, side_effects=False, finish=changes)
    assert len(changes.calls) == int(done)
    return done
