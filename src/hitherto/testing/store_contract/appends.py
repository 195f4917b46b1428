"""Appends of one aggregate, and of several in one transaction."""

import pytest

from hitherto.application.ports import Backend
from hitherto.errors import AggregateIDMismatch, AggregateVersionConflict, InvalidInput
from hitherto.testing.store_contract.making import (
    append_to,
    new_event,
    new_id,
    same_json,
    versions,
    whole_log,
)


class AppendContract:
    """Appends of one aggregate."""

    async def test_events_are_stored_as_they_were_given(self, backend: Backend) -> None:
        """Every column of an event comes back."""
        event = new_event(
            {"name": "a"},
            type="Renamed",
            schema=7,
            metadata='{"actor": "b", "correlation_id": "c"}',
        )
        await backend.append([append_to("thing-1", [event, new_event()])])
        first, second = await backend.read("thing-1")
        assert first.event_id == event.event_id
        assert (first.event_type, first.schema_version) == ("Renamed", 7)
        assert (first.aggregate_id, first.aggregate_type) == ("thing-1", "Thing")
        assert same_json(first.data) == {"name": "a"}
        assert same_json(first.metadata) == {"actor": "b", "correlation_id": "c"}
        assert first.occurred_at == event.occurred_at
        assert (first.version, second.version) == (1, 2)
        assert second.metadata is None

    async def test_versions_and_positions_rise(self, backend: Backend) -> None:
        """An append returns the position of its last event, above all that came before."""
        (first,) = await backend.append([append_to("thing-1", 3)])
        (second,) = await backend.append([append_to("thing-2", 2)])
        (third,) = await backend.append([append_to("thing-1", 1, after=3)])
        stored = await backend.read("thing-1")
        assert [event.version for event in stored] == [1, 2, 3, 4]
        positions = [event.position for event in stored]
        assert positions == sorted(set(positions))
        assert positions[2:] == [first, third]
        assert 0 < first < second < third

    @pytest.mark.parametrize("count", [1, 2, 400])
    @pytest.mark.parametrize("expected", [0, 1, 3, 1000])
    async def test_a_stale_or_future_version_is_a_conflict(
        self, backend: Backend, expected: int, count: int
    ) -> None:
        """The conflict tells both versions, and nothing is written."""
        await backend.append([append_to("thing-1", 2)])
        with pytest.raises(AggregateVersionConflict) as caught:
            await backend.append([append_to("thing-1", count, after=expected)])
        conflict = caught.value
        assert (conflict.aggregate_id, conflict.expected, conflict.actual) == (
            "thing-1",
            expected,
            2,
        )
        assert await versions(backend, "thing-1") == [1, 2]

    async def test_a_first_append_may_not_skip_versions(self, backend: Backend) -> None:
        """An aggregate without events is at version 0."""
        with pytest.raises(AggregateVersionConflict) as caught:
            await backend.append([append_to("thing-1", after=1)])
        assert (caught.value.expected, caught.value.actual) == (1, 0)
        assert await whole_log(backend) == []

    @pytest.mark.parametrize("expected", [0, 1, 2])
    async def test_an_id_belongs_to_one_type(self, backend: Backend, expected: int) -> None:
        """Another type under the same id is a mismatch at whatever version."""
        await backend.append([append_to("thing-1")])
        with pytest.raises(AggregateIDMismatch, match="Thing"):
            await backend.append([append_to("thing-1", after=expected, type="Other")])
        assert await versions(backend, "thing-1") == [1]

    async def test_a_conflict_leaves_the_store_working(self, backend: Backend) -> None:
        """After an append that lost, the next one is stored."""
        await backend.append([append_to("thing-1")])
        for _ in range(5):
            with pytest.raises(AggregateVersionConflict):
                await backend.append([append_to("thing-1")])
        await backend.append([append_to("thing-1", after=1)])
        assert await versions(backend, "thing-1") == [1, 2]

    async def test_many_events_fit_in_one_append(self, backend: Backend) -> None:
        """They are stored whole and in their order."""
        (last,) = await backend.append([append_to("thing-1", 2500)])
        stored = await backend.read("thing-1")
        assert [same_json(event.data)["number"] for event in stored] == list(range(1, 2501))
        assert [event.version for event in stored] == list(range(1, 2501))
        positions = [event.position for event in stored]
        assert positions == sorted(set(positions))
        assert positions[-1] == last


class GroupContract:
    """Appends of several aggregates in one transaction."""

    async def test_a_group_is_stored_whole(self, backend: Backend) -> None:
        """Positions are returned in the order of the group, whatever the ids."""
        await backend.append([append_to("b", 1)])
        ids = ["c", "a", "b"]
        group = [append_to(each, 2, after=1 if each == "b" else 0) for each in ids]
        positions = await backend.append(group)
        for each, position in zip(ids, positions, strict=True):
            assert (await backend.read(each))[-1].position == position
        assert [len(await versions(backend, each)) for each in ids] == [2, 2, 3]

    @pytest.mark.parametrize("loser", [0, 1, 2])
    async def test_a_group_loses_whole(self, backend: Backend, loser: int) -> None:
        """One conflict, wherever it stands, and nothing of the group is written."""
        ids = ["b", "a", "c"]
        await backend.append([append_to(ids[loser], 2)])
        before = await whole_log(backend)
        with pytest.raises(AggregateVersionConflict) as caught:
            await backend.append([append_to(each) for each in ids])
        conflict = caught.value
        assert (conflict.aggregate_id, conflict.expected, conflict.actual) == (ids[loser], 0, 2)
        assert await whole_log(backend) == before

    async def test_a_group_with_a_foreign_id_loses_whole(self, backend: Backend) -> None:
        """An id of another type in the group is a mismatch, and nothing is written."""
        await backend.append([append_to("a")])
        before = await whole_log(backend)
        with pytest.raises(AggregateIDMismatch):
            await backend.append([append_to("b"), append_to("a", after=1, type="Other")])
        assert await whole_log(backend) == before

    async def test_a_group_may_hold_many_aggregates(self, backend: Backend) -> None:
        """Two hundred aggregates of several types in one transaction."""
        group = [append_to(f"thing-{n}", 2, type=f"Type{n % 3}") for n in range(200, 0, -1)]
        positions = await backend.append(group)
        assert len(set(positions)) == 200
        assert len(await whole_log(backend, aggregate_types=["Type1"])) == 2 * 67

    async def test_an_aggregate_may_not_appear_twice(self, backend: Backend) -> None:
        """The group is refused, and nothing is written."""
        with pytest.raises(InvalidInput, match="twice"):
            await backend.append([append_to("a"), append_to("b"), append_to("a", after=1)])
        assert await whole_log(backend) == []

    async def test_an_event_id_may_not_appear_twice(self, backend: Backend) -> None:
        """The group is refused, and nothing is written."""
        same = new_id()
        with pytest.raises(InvalidInput, match="event id"):
            await backend.append(
                [append_to(each, [new_event(event_id=same)]) for each in ("a", "b")]
            )
        assert await whole_log(backend) == []

    async def test_an_empty_group_is_refused(self, backend: Backend) -> None:
        """There is nothing to append."""
        with pytest.raises(InvalidInput):
            await backend.append([])
