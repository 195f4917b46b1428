"""`Checkpoints.advance`: effects and checkpoints, all or nothing."""

import asyncio
from typing import Any

import pytest

from hitherto.application.checkpoints import Document
from hitherto.application.ports import Backend
from hitherto.errors import HandlerFailed, LeaseLost
from hitherto.testing.checkpoint_contract.making import (
    LONG,
    NAME,
    SHORT,
    advance,
    attend,
    document,
    eventually,
    hold,
    leases,
    parked,
    prepare,
    some_events,
    step,
    stored,
    tokens,
)


class ProgressContract:
    """A step is written whole, by who holds the partitions, and never backwards."""

    async def test_a_step_is_not_taken_twice(self, backend: Backend) -> None:
        """One whose answer was lost, and that is tried again, finds that it was taken."""
        positions = await some_events(backend)
        made = await prepare(backend)
        held = await hold(backend, made)
        after = dict.fromkeys(held, 0)
        await advance(backend, made, held, positions[2], after=after)
        with pytest.raises(LeaseLost):
            await advance(
                backend, made, held, positions[3], after=after, documents=[document("a", "1")]
            )
        assert await stored(backend) == {}
        assert await backend.checkpoints.position(NAME) == positions[2]

    async def test_a_step_moves_the_partitions_that_are_named(self, backend: Backend) -> None:
        """The others stay; the lowest is the projection's."""
        positions = await some_events(backend)
        made = await prepare(backend, partitions=3)
        held = await hold(backend, made)
        await advance(backend, made, {0: held[0], 2: held[2]}, positions[2])
        await advance(backend, made, {1: held[1]}, positions[1])
        found = await leases(backend, made, held)
        assert [found[each].position for each in range(3)] == [
            positions[2], positions[1], positions[2],
        ]  # fmt: skip
        assert await backend.checkpoints.position(NAME) == positions[1]

    async def test_a_step_never_goes_back(self, backend: Backend) -> None:
        """What is behind it stays handled, and its event stays known."""
        positions = await some_events(backend)
        made = await prepare(backend)
        held = await hold(backend, made)
        await advance(backend, made, held, positions[3])
        await advance(backend, made, held, positions[1])
        (lease,) = (await leases(backend, made, held)).values()
        assert (lease.position, lease.intact) == (positions[3], True)

    async def test_a_checkpoint_may_stand_at_an_archived_event(self, backend: Backend) -> None:
        """It is the event that it was, whether it was archived before the step or after it."""
        positions = await some_events(backend)
        made = await prepare(backend)
        held = await hold(backend, made)
        await advance(backend, made, held, positions[1])
        await backend.archive.archive({"thing": 5})
        (lease,) = (await leases(backend, made, held)).values()
        assert (lease.position, lease.intact) == (positions[1], True)
        await advance(backend, made, held, positions[2])
        (lease,) = (await leases(backend, made, held)).values()
        assert (lease.position, lease.intact) == (positions[2], True)
        (status,) = await backend.checkpoints.status(NAME)
        assert status.lag_events == 2

    @pytest.mark.parametrize("begun", [False, True])
    async def test_a_step_settles_the_attempts(self, backend: Backend, begun: bool) -> None:
        """Where the worker goes on at once, the next one is counted with it."""
        positions = await some_events(backend)
        made = await prepare(backend)
        held = await hold(backend, made)
        for _ in range(3):
            await backend.checkpoints.begin(made, held)
        await advance(backend, made, held, positions[0], begun=begun)
        (lease,) = (await leases(backend, made, held)).values()
        assert lease.attempts == int(begun)

    async def test_events_are_counted(self, backend: Backend) -> None:
        """Over all partitions and steps."""
        positions = await some_events(backend)
        made = await prepare(backend, partitions=3)
        held = await hold(backend, made)
        await advance(backend, made, held, positions[2], handled={0: 2, 2: 1})
        await advance(backend, made, held, positions[4], handled={0: 2})
        (status,) = await backend.checkpoints.status(NAME)
        assert status.handled == 5

    async def test_a_step_renews_the_leases(self, backend: Backend) -> None:
        """For as long as it says."""
        positions = await some_events(backend)
        made = await prepare(backend)
        held = await hold(backend, made, lease=SHORT)
        await advance(backend, made, held, positions[0], lease=LONG)
        await asyncio.sleep(2 * SHORT)
        assert (await attend(backend, made, "two")).leases == ()

    async def test_work_is_done_in_it(self, backend: Backend) -> None:
        """It is called once; what it adds to the documents is written with the step."""
        positions = await some_events(backend)
        made = await prepare(backend)
        held = await hold(backend, made)
        documents: list[Document] = [document("early", '{"n": 1}')]
        calls: list[Any] = []

        def work(connection: Any) -> None:
            calls.append(connection)
            documents.append(document("late", '{"n": 2}'))

        progress = step(made, held, positions[1], documents=documents)
        await backend.checkpoints.advance(progress, work)
        assert len(calls) == 1
        assert await stored(backend) == {"early": {"n": 1}, "late": {"n": 2}}
        assert await backend.checkpoints.position(NAME) == positions[1]

    async def test_of_a_step_whose_work_fails_nothing_is_written(self, backend: Backend) -> None:
        """The error leads to what was raised; the lease is still held, and attempts count."""
        positions = await some_events(backend)
        made = await prepare(backend)
        held = await hold(backend, made)
        await backend.checkpoints.begin(made, held)
        error = ZeroDivisionError("work")
        progress = _full_step(made, held, positions[1])
        with pytest.raises(HandlerFailed, match="ZeroDivisionError: work") as caught:
            await backend.checkpoints.advance(progress, _raising(error))
        assert caught.value.__cause__ is error
        await _nothing_is_written(backend)
        (lease,) = (await leases(backend, made, held)).values()
        assert (lease.position, lease.attempts) == (0, 1)
        await backend.checkpoints.advance(progress)
        assert await backend.checkpoints.position(NAME) == positions[1]

    @pytest.mark.parametrize("working", [False, True])
    async def test_who_has_lost_one_of_its_partitions_writes_nothing(
        self, backend: Backend, working: bool
    ) -> None:
        """Neither its effects nor the checkpoints of the others."""
        positions = await some_events(backend)
        made = await prepare(backend, partitions=2)
        held = await hold(backend, made)
        progress = _full_step(made, {0: held[0], 1: held[1] - 1}, positions[1])
        with pytest.raises(LeaseLost, match=NAME):
            await backend.checkpoints.advance(progress, _adding(progress) if working else None)
        await _nothing_is_written(backend)
        assert await backend.checkpoints.position(NAME) == 0

    @pytest.mark.parametrize("working", [False, True])
    async def test_a_frozen_worker_writes_nothing(self, backend: Backend, working: bool) -> None:
        """Once another has taken over."""
        positions = await some_events(backend)
        made = await prepare(backend)
        held = await hold(backend, made, "frozen", lease=SHORT)

        async def taken() -> dict[int, int]:
            return tokens(await attend(backend, made, "two"))

        taken_over = await eventually(taken)
        progress = _full_step(made, held, positions[1])
        with pytest.raises(LeaseLost):
            await backend.checkpoints.advance(progress, _adding(progress) if working else None)
        await _nothing_is_written(backend)
        await advance(backend, made, taken_over, positions[0])

    async def test_a_lease_that_is_over_but_not_taken_still_counts(self, backend: Backend) -> None:
        """Nobody else has begun, so nothing can be done twice."""
        positions = await some_events(backend)
        made = await prepare(backend)
        held = await hold(backend, made, lease=SHORT / 10)
        await asyncio.sleep(SHORT)
        await advance(backend, made, held, positions[0])
        assert await backend.checkpoints.position(NAME) == positions[0]

    @pytest.mark.parametrize("working", [False, True])
    async def test_nothing_is_written_to_what_is_retired(
        self, backend: Backend, working: bool
    ) -> None:
        """Whatever the step holds."""
        positions = await some_events(backend)
        await prepare(backend)
        old = await prepare(backend, version=2)
        held = await hold(backend, old)
        await prepare(backend, version=3)
        for holding in (held, {}):
            progress = _full_step(old, holding, positions[1])
            with pytest.raises(LeaseLost):
                await backend.checkpoints.advance(progress, _adding(progress) if working else None)
        assert not await backend.checkpoints.parked(NAME, old.number)
        assert not await backend.checkpoints.read_documents(old, "things", ["a", "late"], None)

    async def test_of_rivals_with_one_token_none_is_lost(self, backend: Backend) -> None:
        """Steps that are sent at once are taken one after the other."""
        positions = await some_events(backend, 20)
        made = await prepare(backend)
        held = await hold(backend, made)
        await asyncio.gather(
            *(advance(backend, made, held, each, handled={0: 1}) for each in positions)
        )
        (status,) = await backend.checkpoints.status(NAME)
        assert (status.position, status.handled) == (positions[-1], 20)


def _full_step(generation: Any, held: dict[int, int], position: int) -> Any:
    """A step that writes something of everything."""
    return step(
        generation,
        held,
        position,
        handled=dict.fromkeys(held, 1),
        parked=[parked(generation, position)],
        documents=[document("a", '{"n": 1}')],
    )


def _raising(error: Exception) -> Any:
    def work(_connection: Any) -> None:
        raise error

    return work


def _adding(progress: Any) -> Any:
    def work(_connection: Any) -> None:
        progress.documents.append(document("late", '{"n": 2}'))

    return work


async def _nothing_is_written(backend: Backend) -> None:
    assert await stored(backend) == {}
    assert not await backend.checkpoints.parked(NAME)
    (status,) = await backend.checkpoints.status(NAME)
    assert (status.position, status.handled) == (0, 0)
