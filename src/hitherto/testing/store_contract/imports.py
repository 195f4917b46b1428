"""Histories that were made elsewhere."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from hitherto.application.ports import Backend
from hitherto.application.records import PlacedEvent
from hitherto.errors import AggregateIDMismatch, AggregateVersionConflict, InvalidInput
from hitherto.testing.store_contract.content import TIMES
from hitherto.testing.store_contract.making import (
    NOON,
    append_to,
    new_id,
    same_json,
    versions,
    whole_log,
)


@dataclass
class _Teller:
    """Tells a history; the same event each time for the same place."""

    ids: dict[tuple[str, int], UUID]

    def __call__(self, *places: tuple[str, int], type: str = "Thing") -> list[PlacedEvent]:
        return [self.event(*place, type) for place in places]

    def event(self, aggregate_id: str, version: int, type: str = "Thing") -> PlacedEvent:
        return PlacedEvent(
            event_id=self.ids.setdefault((aggregate_id, version), new_id()),
            event_type="Happened",
            schema_version=2,
            data=f'{{"number": {version}}}',
            metadata='{"actor": "a"}' if version % 2 else None,
            occurred_at=NOON,
            aggregate_id=aggregate_id,
            aggregate_type=type,
            version=version,
        )


class ImportContract:
    """Imports of histories."""

    @pytest.fixture
    def history(self) -> Any:
        """Makes events of a history."""
        return _Teller({})

    async def test_a_history_is_stored_in_its_own_order(
        self, backend: Backend, history: _Teller
    ) -> None:
        """Every column comes back, and the log has the order of the import."""
        told = history(("b", 1), ("a", 1), ("b", 2), ("c", 1), ("a", 2), ("b", 3))
        assert await backend.import_events(told) == 6
        stored = await whole_log(backend)
        assert [(event.aggregate_id, event.version) for event in stored] == [
            (event.aggregate_id, event.version) for event in told
        ]
        for event, original in zip(stored, told, strict=True):
            assert event.event_id == original.event_id
            assert (event.event_type, event.schema_version) == ("Happened", 2)
            assert event.aggregate_type == "Thing"
            assert same_json(event.data) == same_json(original.data)
            assert same_json(event.metadata) == same_json(original.metadata)
            assert event.occurred_at == NOON

    @pytest.mark.parametrize("moment", TIMES, ids=str)
    async def test_the_time_of_storing_may_be_told(
        self, backend: Backend, history: _Teller, moment: datetime
    ) -> None:
        """Then it is kept, in UTC; of events that come without one it is now."""
        first, second, third = history(("a", 1), ("a", 2), ("b", 1))
        told = [first, msgspec.structs.replace(second, stored_at=moment), third]
        before = datetime.now(UTC) - timedelta(days=1)
        assert await backend.import_events(told) == 3
        await backend.append([append_to("b", 1, after=1)])
        log = await whole_log(backend)
        assert log[1].stored_at == moment
        assert log[1].stored_at.utcoffset() == timedelta(0)
        assert all(each.stored_at > before for each in log if each != log[1])
        assert (await backend.read("a")) == log[:2]

    async def test_a_time_of_storing_needs_a_zone(self, history: _Teller) -> None:
        """Else nobody knows when it was."""
        with pytest.raises(InvalidInput, match="no time zone"):
            msgspec.structs.replace(history.event("a", 1), stored_at=datetime(2024, 1, 1))  # noqa: DTZ001

    async def test_what_is_stored_already_is_skipped(
        self, backend: Backend, history: _Teller
    ) -> None:
        """So an import that was broken off is run again."""
        await backend.import_events(history(("a", 1), ("a", 2), ("b", 1)))
        assert await backend.import_events(history(("a", 1), ("a", 2), ("b", 1))) == 0
        assert await backend.import_events(history(("a", 2), ("a", 3), ("c", 1))) == 2
        assert await versions(backend, "a") == [1, 2, 3]
        assert len(await whole_log(backend)) == 5

    async def test_a_history_goes_on_from_what_was_appended(
        self, backend: Backend, history: _Teller
    ) -> None:
        """And appends go on from it."""
        await backend.append([append_to("a", 2)])
        assert await backend.import_events(history(("a", 3), ("a", 4))) == 2
        await backend.append([append_to("a", 1, after=4)])
        assert await versions(backend, "a") == [1, 2, 3, 4, 5]

    @pytest.mark.parametrize("places", [[2], [1, 3], [1, 2, 2], [1, 2, 1], [2, 1]])
    async def test_a_gap_or_a_repetition_is_refused(
        self, backend: Backend, history: _Teller, places: list[int]
    ) -> None:
        """The aggregate is named, and nothing is written, of other aggregates neither."""
        told = history(("b", 1), *(("a", version) for version in places))
        with pytest.raises(AggregateVersionConflict) as caught:
            await backend.import_events(told)
        assert caught.value.aggregate_id == "a"
        assert await whole_log(backend) == []

    async def test_another_event_in_a_place_that_is_taken_is_refused(
        self, backend: Backend, history: _Teller
    ) -> None:
        """Two histories are not mixed."""
        await backend.import_events(history(("a", 1), ("a", 2)))
        del history.ids["a", 2]
        with pytest.raises(AggregateVersionConflict) as caught:
            await backend.import_events(history(("b", 1), ("a", 1), ("a", 2), ("a", 3)))
        assert (caught.value.expected, caught.value.actual) == (1, 2)
        assert len(await whole_log(backend)) == 2

    async def test_two_types_under_one_id_are_refused(
        self, backend: Backend, history: _Teller
    ) -> None:
        """Whether the other type is stored or told of in the history itself."""
        with pytest.raises(AggregateIDMismatch):
            await backend.import_events(history(("a", 1)) + history(("a", 2), type="Other"))
        await backend.import_events(history(("a", 1)))
        for version in (1, 2):
            with pytest.raises(AggregateIDMismatch):
                await backend.import_events(history(("a", version), type="Other"))
        assert len(await whole_log(backend)) == 1

    async def test_an_event_id_that_is_stored_elsewhere_is_refused(
        self, backend: Backend, history: _Teller
    ) -> None:
        """Or told twice in the history; nothing is written."""
        await backend.import_events(history(("a", 1)))
        for taken in ("a", "c"):
            history.ids["b", 2] = history.event(taken, 1).event_id
            with pytest.raises(InvalidInput, match=str(history.ids["b", 2])):
                await backend.import_events(history(("c", 1), ("b", 1), ("b", 2)))
        assert len(await whole_log(backend)) == 1
