"""Events that are set aside: `Progress.parked` and `unparked`, `parked` and `retry_parked`."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from hitherto.application.checkpoints import Generation
from hitherto.application.ports import Backend
from hitherto.errors import LeaseLost
from hitherto.testing.checkpoint_contract.making import (
    NAME,
    advance,
    attend,
    document,
    hold,
    parked,
    prepare,
    rebuilt,
    some_events,
    stored,
    tokens,
)


class ParkingContract:
    """Events that could not be handled wait, in order, until they are tried again or skipped."""

    async def test_a_parked_event_is_kept_with_all_that_is_known(self, backend: Backend) -> None:
        """With the time, too, which the store adds."""
        positions = await some_events(backend)
        made = await prepare(backend, partitions=3)
        held = await hold(backend, made)
        first = parked(made, positions[1], partition=2, attempts=5, error="KeyError: 'ü'")
        second = parked(made, positions[2], partition=2, attempts=0, error=None)
        await advance(backend, made, held, positions[2], parked=[second, first])
        found = await backend.checkpoints.parked(NAME)
        assert [msgspec.structs.replace(each, parked_at=None) for each in found] == [first, second]
        assert found == await backend.checkpoints.parked(NAME, made.number)
        (stored, *_) = await backend.read("thing")
        for each in found:
            assert each.parked_at is not None
            assert timedelta(0) <= each.parked_at - stored.stored_at < timedelta(minutes=5)

    async def test_it_can_be_parked_again(self, backend: Backend) -> None:
        """With another error; then it is not to be tried again any more."""
        made, positions = await _with_parked(backend, {"a": [1]})
        await backend.checkpoints.retry_parked(NAME, None, skip=False)
        held = await hold(backend, made, "one")
        again = parked(made, positions[0], "a", attempts=6, error="again")
        await advance(backend, made, held, positions[0], parked=[again])
        (found,) = await backend.checkpoints.parked(NAME)
        assert (found.attempts, found.error, found.retry) == (6, "again", False)

    async def test_it_goes_when_it_was_handled(self, backend: Backend) -> None:
        """Alone."""
        made, positions = await _with_parked(backend, {"a": [1, 0], "b": [1]})
        held = await hold(backend, made)
        await advance(backend, made, held, 0, unparked=[positions[0]])
        found = await backend.checkpoints.parked(NAME)
        assert [each.position for each in found] == positions[1:3]

    async def test_it_goes_once(self, backend: Backend) -> None:
        """Of what is parked no more nothing is written, so nothing is handled twice."""
        made, positions = await _with_parked(backend, {"a": [1, 0]})
        held = await hold(backend, made)
        await advance(backend, made, held, 0, unparked=[positions[0]])
        with pytest.raises(LeaseLost):
            await advance(
                backend, made, held, 0, unparked=[positions[0]], documents=[document("a", "1")]
            )
        assert await stored(backend) == {}
        assert len(await backend.checkpoints.parked(NAME)) == 1

    async def test_it_can_be_parked_anew_in_one_step(self, backend: Backend) -> None:
        """Where it must be parked still."""
        made, positions = await _with_parked(backend, {"a": [1]})
        held = await hold(backend, made)
        again = parked(made, positions[0], "a", attempts=6)
        await advance(backend, made, held, 0, unparked=[positions[0]], parked=[again])
        (found,) = await backend.checkpoints.parked(NAME)
        assert found.attempts == 6

    async def test_each_generation_has_its_own(self, backend: Backend) -> None:
        """The active one's are given where none is named."""
        positions = await some_events(backend)
        active, filling = await rebuilt(backend)
        for generation, position in ((active, positions[0]), (filling, positions[1])):
            held = await hold(backend, generation)
            event = parked(generation, position)
            await advance(backend, generation, held, position, parked=[event])
        for number, position in ((None, positions[0]), (2, positions[1])):
            found = await backend.checkpoints.parked(NAME, number)
            assert [each.position for each in found] == [position]
        assert await backend.checkpoints.retry_parked(NAME, None, skip=False) == 1
        assert not (await backend.checkpoints.parked(NAME, 2))[0].retry

    async def test_all_of_an_aggregate_are_tried_again(self, backend: Backend) -> None:
        """Others' are left alone; the workers of its partition are told."""
        made, _ = await _with_parked(backend, {"a": [5, 0], "b": [5]})
        before = await attend(backend, made)
        assert not before.retry
        assert await backend.checkpoints.retry_parked(NAME, "a", skip=False) == 2
        found = await backend.checkpoints.parked(NAME)
        assert [(each.aggregate_id, each.attempts, each.retry) for each in found] == [
            ("a", 5, True), ("a", 0, True), ("b", 5, False),
        ]  # fmt: skip
        assert (await attend(backend, made, held=tokens(before))).retry

    async def test_the_workers_of_other_partitions_are_not_told(self, backend: Backend) -> None:
        """They could not do anything."""
        made, _ = await _with_parked(backend, {"a": [5]}, partitions=2)
        held = await hold(backend, made, "one")
        assert set(held) == {0, 1}
        await backend.checkpoints.release(made, "one", {0: held.pop(0)}, leave=False)
        await backend.checkpoints.retry_parked(NAME, None, skip=False)
        assert (await attend(backend, made, "two")).retry
        assert not (await attend(backend, made, "one", held)).retry

    async def test_all_that_there_are_are_tried_again(self, backend: Backend) -> None:
        """Where no aggregate is named."""
        await _with_parked(backend, {"a": [5, 0], "b": [5]})
        assert await backend.checkpoints.retry_parked(NAME, None, skip=False) == 3
        assert all(each.retry for each in await backend.checkpoints.parked(NAME))

    async def test_what_has_failed_is_skipped(self, backend: Backend) -> None:
        """What waits behind it is tried; others' are left alone."""
        await _with_parked(backend, {"a": [5, 0, 0], "b": [5, 0]})
        assert await backend.checkpoints.retry_parked(NAME, "a", skip=True) == 3
        found = await backend.checkpoints.parked(NAME)
        assert [(each.aggregate_id, each.attempts, each.retry) for each in found] == [
            ("a", 0, True), ("a", 0, True), ("b", 5, False), ("b", 0, False),
        ]  # fmt: skip

    async def test_where_nothing_is_parked_nothing_is_tried(self, backend: Backend) -> None:
        """It is no error, of an unknown projection neither."""
        assert await backend.checkpoints.retry_parked(NAME, None, skip=True) == 0
        assert list(await backend.checkpoints.parked(NAME)) == []
        await prepare(backend)
        assert await backend.checkpoints.retry_parked(NAME, "a", skip=False) == 0
        assert list(await backend.checkpoints.parked(NAME)) == []


async def _with_parked(
    backend: Backend, attempts: dict[str, list[int]], **options: Any
) -> tuple[Generation, list[int]]:
    """A generation that has set events of some aggregates aside, after so many attempts."""
    positions = await some_events(backend, 10)
    made = await prepare(backend, **options)
    held = await hold(backend, made)
    events = [(aggregate, tried) for aggregate in attempts for tried in attempts[aggregate]]
    await advance(
        backend,
        made,
        held,
        positions[-1],
        parked=[
            parked(made, position, aggregate, attempts=tried)
            for position, (aggregate, tried) in zip(positions, events, strict=False)
        ],
    )
    await backend.checkpoints.release(made, "one", held, leave=True)
    return made, positions
