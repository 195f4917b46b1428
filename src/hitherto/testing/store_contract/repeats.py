"""Appends that are sent again, because their answer was lost."""

import asyncio
import contextlib

import pytest

from hitherto.application.ports import Backend
from hitherto.application.records import Append
from hitherto.errors import AggregateIDMismatch, AggregateVersionConflict, InvalidInput
from hitherto.testing.store_contract.making import (
    append_to,
    new_event,
    versions,
    whole_log,
)


class RepeatContract:
    """An append is known by its event ids: sending it again is harmless."""

    @pytest.mark.parametrize("count", [1, 3, 400])
    async def test_a_repeated_append_writes_nothing(self, backend: Backend, count: int) -> None:
        """It returns the same position again, as often as it is sent."""
        append = append_to("thing-1", count)
        first = await backend.append([append])
        before = await whole_log(backend)
        assert await backend.append([append]) == first
        assert await backend.append([append]) == first
        assert await whole_log(backend) == before

    async def test_a_repeated_append_stands_below_later_events(self, backend: Backend) -> None:
        """What was stored has won, whatever others appended since."""
        append = append_to("thing-1", 2)
        first = await backend.append([append])
        await backend.append([append_to("thing-1", 2, after=2)])
        assert await backend.append([append]) == first
        assert await versions(backend, "thing-1") == [1, 2, 3, 4]

    async def test_a_repeated_group_writes_nothing(self, backend: Backend) -> None:
        """All of it stands, so all of it has won."""
        group = [append_to("b", 2), append_to("a", 1), append_to("c", 3)]
        first = await backend.append(group)
        assert await backend.append(group) == first
        assert len(await whole_log(backend)) == 6

    async def test_a_group_of_which_a_part_stands_is_completed(self, backend: Backend) -> None:
        """What stands is left as it is, the rest is written."""
        standing = append_to("b", 2)
        (position,) = await backend.append([standing])
        fresh, repeated = await backend.append([append_to("a"), standing])
        assert (repeated, fresh) == (position, (await backend.read("a"))[0].position)
        assert len(await whole_log(backend)) == 3

    @pytest.mark.parametrize("count", [5, 400])
    async def test_a_standing_prefix_is_completed(self, backend: Backend, count: int) -> None:
        """An append whose first events stand at the head writes the others."""
        await backend.append([append_to("thing-1", 1)])
        events = [new_event({"n": n}) for n in range(count)]
        await backend.append([append_to("thing-1", events[:2], after=1)])
        (position,) = await backend.append([append_to("thing-1", events, after=1)])
        stored = await backend.read("thing-1", from_version=2)
        assert [event.event_id for event in stored] == [event.event_id for event in events]
        assert stored[-1].position == position

    async def test_a_prefix_below_a_rival_is_refused(self, backend: Backend) -> None:
        """Where another writer went on after the prefix, the whole is a conflict."""
        events = [new_event() for _ in range(3)]
        await backend.append([append_to("thing-1", events[:2])])
        await backend.append([append_to("thing-1", 1, after=2)])
        before = await whole_log(backend)
        with pytest.raises(AggregateVersionConflict) as caught:
            await backend.append([append_to("thing-1", events)])
        assert (caught.value.expected, caught.value.actual) == (0, 3)
        assert await whole_log(backend) == before

    async def test_events_that_stand_in_another_order_are_refused(self, backend: Backend) -> None:
        """Only the same events at the same versions are the same append."""
        events = [new_event() for _ in range(2)]
        await backend.append([append_to("thing-1", events)])
        with pytest.raises(AggregateVersionConflict):
            await backend.append([append_to("thing-1", events[::-1])])
        assert await versions(backend, "thing-1") == [1, 2]

    async def test_a_repeat_under_another_type_is_refused(self, backend: Backend) -> None:
        """The event ids do not help an aggregate of another type."""
        events = [new_event()]
        await backend.append([append_to("thing-1", events)])
        with pytest.raises(AggregateIDMismatch):
            await backend.append([append_to("thing-1", events, type="Other")])

    @pytest.mark.parametrize("target", ["thing-1", "thing-2"])
    @pytest.mark.parametrize("place", [0, 1, 2, 399])
    async def test_a_foreign_event_id_is_refused(
        self, backend: Backend, target: str, place: int
    ) -> None:
        """An event id that is stored elsewhere is refused, and nothing is written."""
        taken = new_event()
        await backend.append([append_to("thing-1", [new_event(), taken])])
        await backend.append([append_to("thing-2", 2)])
        before = await whole_log(backend)
        events = [new_event() for _ in range(max(place + 1, 3))]
        events[place] = new_event({"other": 1}, event_id=taken.event_id)
        with pytest.raises(InvalidInput, match=str(taken.event_id)):
            await backend.append([append_to(target, events, after=2)])
        assert await whole_log(backend) == before

    async def test_a_foreign_event_id_spoils_its_group(self, backend: Backend) -> None:
        """Nothing of the group is written."""
        taken = new_event()
        await backend.append([append_to("thing-1", [taken])])
        before = await whole_log(backend)
        with pytest.raises(InvalidInput):
            await backend.append([append_to("a"), append_to("b", [taken]), append_to("c")])
        assert await whole_log(backend) == before

    async def test_a_cancelled_append_is_settled_by_sending_it_again(
        self, backend: Backend
    ) -> None:
        """Cancelled at any moment it is stored whole or not at all, and the repetition tells."""
        for attempt in range(25):
            append = append_to("thing-1", 3, after=3 * attempt)
            await _cancelled_after(attempt, backend, append)
            assert len(await versions(backend, "thing-1")) in {3 * attempt, 3 * attempt + 3}
            (position,) = await backend.append([append])
            stored = await backend.read("thing-1", from_version=3 * attempt + 1)
            assert [event.event_id for event in stored] == [e.event_id for e in append.events]
            assert stored[-1].position == position
        assert await versions(backend, "thing-1") == list(range(1, 76))


async def _cancelled_after(steps: int, backend: Backend, append: Append) -> None:
    task = asyncio.create_task(_append(backend, append))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _append(backend: Backend, append: Append) -> None:
    await backend.append([append])
