"""Reads of the whole log, from checkpoint to checkpoint."""

from typing import Any

import pytest

from hitherto.application.ports import Backend
from hitherto.application.records import MAX_POSITION, MAX_VERSION, NewEvent, StoredEvent
from hitherto.errors import InvalidInput
from hitherto.testing.store_contract.making import append_to, new_event, whole_log

_EVENT_FILTERS: list[list[str] | None] = [None, [], ["Even"], ["Odd", "Even"], ["Unknown"]]
_AGGREGATE_FILTERS: list[list[str] | None] = [None, [], ["Type0"], ["Type1", "Type2"], ["type0"]]


class LogContract:
    """`EventStore.read_all` and `watermark`."""

    async def test_an_empty_log_has_one_empty_page(self, backend: Backend) -> None:
        """It starts at 0."""
        page = await backend.read_all()
        assert (list(page.events), page.checkpoint) == ([], 0)
        assert await backend.watermark() == 0

    async def test_the_log_is_in_order_of_the_appends(self, backend: Backend) -> None:
        """Positions rise, and so do the versions of each aggregate."""
        appended: list[tuple[str, int]] = []
        for n in range(12):
            group = [append_to(f"thing-{n % 4}", 2, after=n // 4 * 2), append_to(f"other-{n}")]
            await backend.append(group)
            appended += [(f"thing-{n % 4}", n // 4 * 2 + 1), (f"thing-{n % 4}", n // 4 * 2 + 2)]
        log = await whole_log(backend)
        positions = [event.position for event in log]
        assert positions == sorted(set(positions))
        things = [event for event in log if event.aggregate_id.startswith("thing")]
        assert [(event.aggregate_id, event.version) for event in things] == appended

    @pytest.mark.parametrize("page", [1, 2, 7, 1000])
    async def test_pages_give_each_event_once(self, backend: Backend, page: int) -> None:
        """Whatever their size, reading on from the checkpoints gives the whole log."""
        await _fill(backend)
        whole = await whole_log(backend)
        assert len(whole) == 30
        assert await whole_log(backend, page=page) == whole

    async def test_the_log_agrees_with_the_streams(self, backend: Backend) -> None:
        """An event reads the same from the log and from its aggregate."""
        await _fill(backend)
        log = await whole_log(backend)
        for aggregate_id in {event.aggregate_id for event in log}:
            own = [event for event in log if event.aggregate_id == aggregate_id]
            assert list(await backend.read(aggregate_id)) == own

    @pytest.mark.parametrize("event_types", _EVENT_FILTERS)
    @pytest.mark.parametrize("aggregate_types", _AGGREGATE_FILTERS)
    async def test_a_filter_gives_each_matching_event_once(
        self,
        backend: Backend,
        event_types: list[str] | None,
        aggregate_types: list[str] | None,
    ) -> None:
        """By event types, by aggregate types and by both; an empty filter matches nothing."""
        await _fill(backend)
        expected = [
            event
            for event in await whole_log(backend)
            if (event_types is None or event.event_type in event_types)
            and (aggregate_types is None or event.aggregate_type in aggregate_types)
        ]
        for page in (1, 4, 1000):
            found = await whole_log(
                backend, page=page, event_types=event_types, aggregate_types=aggregate_types
            )
            assert found == expected, page

    async def test_a_checkpoint_moves_past_what_does_not_match(self, backend: Backend) -> None:
        """A reader of a rare type need not read the rest again."""
        await _fill(backend)
        page = await backend.read_all(event_types=["Unknown"])
        assert list(page.events) == []
        assert page.checkpoint == (await whole_log(backend))[-1].position

    async def test_a_reader_that_resumes_sees_each_event_once(self, backend: Backend) -> None:
        """Also with a filter, and where new events come between the pages."""
        seen: dict[str, list[StoredEvent]] = {"all": [], "odd": []}
        after = dict.fromkeys(seen, 0)
        for n in range(10):
            await backend.append([append_to(f"thing-{n}", _mixed(n % 3 + 1))])
            for reader, events in seen.items():
                page = await backend.read_all(
                    after=after[reader], limit=2, event_types=["Odd"] if reader == "odd" else None
                )
                assert page.checkpoint >= after[reader]
                events.extend(page.events)
                after[reader] = page.checkpoint
        for reader, events in seen.items():
            types = ["Odd"] if reader == "odd" else None
            rest = await backend.read_all(after=after[reader], event_types=types)
            events.extend(rest.events)
            assert events == await whole_log(backend, event_types=types)

    async def test_a_checkpoint_at_the_end_stays_there(self, backend: Backend) -> None:
        """Reading on from the end gives nothing and never moves back."""
        await _fill(backend)
        end = (await backend.read_all()).checkpoint
        page = await backend.read_all(after=end)
        assert (list(page.events), page.checkpoint) == ([], end)
        beyond = await backend.read_all(after=end + 1000)
        assert (list(beyond.events), beyond.checkpoint) == ([], end + 1000)

    async def test_the_watermark_is_the_last_event_of_a_quiet_store(self, backend: Backend) -> None:
        """Every event up to it can be read."""
        (position,) = await backend.append([append_to("thing-1", 3)])
        assert await backend.watermark() == position
        (position,) = await backend.append([append_to("thing-1", 1, after=3)])
        assert await backend.watermark() == position
        assert (await whole_log(backend))[-1].position == position

    @pytest.mark.parametrize(
        ("bound", "value"),
        [
            ("limit", 0),
            ("limit", -1),
            ("limit", MAX_VERSION + 1),
            ("after", -1),
            ("after", MAX_POSITION + 1),
        ],
    )
    async def test_impossible_pages_are_refused(
        self, backend: Backend, bound: str, value: int
    ) -> None:
        """The error names what is wrong."""
        bounds: dict[str, Any] = {bound: value}
        with pytest.raises(InvalidInput, match=bound):
            await backend.read_all(**bounds)

    @pytest.mark.parametrize("filter", ["event_types", "aggregate_types"])
    @pytest.mark.parametrize("bad", ["Even", 3, ["\ud800"], ["Even", "A\0"], [3], [""], [None]])
    async def test_impossible_filters_are_refused(
        self, backend: Backend, filter: str, bad: Any
    ) -> None:
        """One name in the place of several too; before any I/O, for the store is closed."""
        await backend.close()
        filters: dict[str, Any] = {filter: bad}
        with pytest.raises(InvalidInput, match=filter.removesuffix("s").replace("_", ".")):
            await backend.read_all(**filters)

    async def test_positions_and_limits_may_be_large(self, backend: Backend) -> None:
        """Up to the highest that there could be."""
        await _fill(backend)
        assert len((await backend.read_all(limit=MAX_VERSION)).events) == 30
        page = await backend.read_all(after=MAX_POSITION)
        assert (list(page.events), page.checkpoint) == ([], MAX_POSITION)


async def _fill(backend: Backend) -> None:
    """Thirty events of ten aggregates, of three aggregate types and two event types."""
    for n in range(10):
        await backend.append([append_to(f"thing-{n}", _mixed(3), type=f"Type{n % 3}")])


def _mixed(count: int) -> list[NewEvent]:
    return [new_event({"n": n}, type="Odd" if n % 2 else "Even") for n in range(count)]
