"""Events found by what they say, and counted."""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeAlias

import pytest

from hitherto.application.looking.values import Length, Wanted
from hitherto.application.ports import Backend
from hitherto.application.records import MAX_POSITION, MAX_VERSION, NewEvent, StoredEvent
from hitherto.errors import InvalidInput
from hitherto.testing.store_contract.making import (
    NOON,
    append_to,
    new_event,
    new_id,
    snapshot_of,
    whole_log,
)

TEXTS = ["c-1", "it's", '"', "😀", "a\nb", "'; --", "$.c", "x" * 300]

_Test: TypeAlias = Callable[[StoredEvent], bool]


def _told(event: StoredEvent, key: str) -> Any:
    return json.loads(event.metadata or "{}").get(key)


def _all_of_them(event: StoredEvent) -> bool:
    correlated = _told(event, "correlation_id") == "c-1"
    return correlated and event.event_type == "Even" and event.occurred_at <= NOON


_SEARCHES: Sequence[tuple[dict[str, Any], _Test]] = [
    ({"event_types": ["Odd"]}, lambda each: each.event_type == "Odd"),
    ({"event_types": []}, lambda _: False),
    ({"aggregate_types": ["Type0", "Type2"]}, lambda each: each.aggregate_type != "Type1"),
    ({"aggregate_id": "thing-3"}, lambda each: each.aggregate_id == "thing-3"),
    ({"correlation_id": "c-1"}, lambda each: _told(each, "correlation_id") == "c-1"),
    ({"correlation_id": "C-1"}, lambda _: False),
    ({"causation_ids": ["1", "3"]}, lambda each: _told(each, "causation_id") in {"1", "3"}),
    ({"occurred_since": NOON}, lambda each: each.occurred_at >= NOON),
    ({"occurred_until": NOON}, lambda each: each.occurred_at <= NOON),
    (
        {"correlation_id": "c-1", "event_types": ["Even"], "occurred_until": NOON},
        _all_of_them,
    ),
]


class LookingContract:
    """`Backend.looking`."""

    async def test_the_names_that_there_are_are_told(self, backend: Backend) -> None:
        """Those of archived events, too."""
        names = await backend.looking.names()
        assert (names.event_types, names.aggregate_types) == ([], [])
        await _fill(backend)
        events = [new_event(type=name) for name in ("Éven", "Archived", "odd")]
        await backend.append([append_to("closed", events, type="Closed")])
        await backend.archive.archive({"closed": 3})
        names = await backend.looking.names()
        assert names.event_types == ["Archived", "Even", "Odd", "odd", "Éven"]
        assert names.aggregate_types == ["Closed", "Type0", "Type1", "Type2"]

    async def test_an_event_is_found_by_its_id(self, backend: Backend) -> None:
        """As it is in the log; another id is nobody's."""
        await _fill(backend)
        for event in await whole_log(backend):
            assert await backend.looking.event(event.event_id) == event
        assert await backend.looking.event(new_id()) is None

    @pytest.mark.parametrize("backward", [False, True])
    async def test_a_search_in_pages_gives_each_event_once(
        self, backend: Backend, backward: bool
    ) -> None:
        """From either end, of any part of the log."""
        await _fill(backend)
        log = await whole_log(backend)
        end = log[-1].position
        for after, until in ((0, None), (0, end), (log[4].position, log[20].position), (end, None)):
            part = [
                each for each in log if after < each.position <= (end if until is None else until)
            ]
            for size in (1, 7, 1000):
                found = await _searched(backend, Wanted(), size, backward, (after, until))
                assert found == (part[::-1] if backward else part), (after, until, size)

    @pytest.mark.parametrize(("given", "matches"), _SEARCHES)
    @pytest.mark.parametrize("backward", [False, True])
    async def test_a_search_gives_what_matches_all_that_is_given(
        self, backend: Backend, given: dict[str, Any], matches: _Test, backward: bool
    ) -> None:
        """Page by page."""
        await _fill(backend)
        expected = [each for each in await whole_log(backend) if matches(each)]
        for size in (1, 4, 1000):
            found = await _searched(backend, Wanted(**given), size, backward)
            assert found == (expected[::-1] if backward else expected), size

    async def test_events_are_found_by_when_they_were_stored(self, backend: Backend) -> None:
        """Both bounds are included."""
        for number in range(3):
            await backend.append([append_to(f"thing-{number}")])
        log = await whole_log(backend)
        for moment in {each.stored_at for each in log}:
            since = await _searched(backend, Wanted(stored_since=moment), 2)
            assert since == [each for each in log if each.stored_at >= moment]
            until = await _searched(backend, Wanted(stored_until=moment), 2)
            assert until == [each for each in log if each.stored_at <= moment]

    @pytest.mark.parametrize("text", TEXTS)
    async def test_any_text_may_be_looked_for_in_metadata(
        self, backend: Backend, text: str
    ) -> None:
        """It is compared whole."""
        told = [{"correlation_id": each, "causation_id": each} for each in TEXTS]
        events = [new_event(metadata=json.dumps(each)) for each in told]
        await backend.append([append_to("thing-1", events)])
        for wanted in (Wanted(correlation_id=text), Wanted(causation_ids=[text])):
            (found,) = (await backend.looking.search(wanted)).events
            assert found.version == TEXTS.index(text) + 1

    async def test_metadata_of_other_tools_are_no_obstacle(self, backend: Backend) -> None:
        """Those that are no object match nothing; a number is found by its digits."""
        odd = [
            "[]",
            "1",
            '"c-1"',
            "null",
            "{}",
            '{"correlation_id": null}',
            '{"correlation_id": 5}',
        ]
        events = [new_event(metadata=each) for each in [*odd, '{"correlation_id": "c-1"}']]
        await backend.append([append_to("thing-1", events)])
        for text, version in (("c-1", 8), ("5", 7)):
            (found,) = (await backend.looking.search(Wanted(correlation_id=text))).events
            assert found.version == version

    async def test_a_search_goes_on_where_nothing_matches(self, backend: Backend) -> None:
        """Its checkpoint is the end of the part."""
        await _fill(backend)
        end, wanted = await backend.watermark(), Wanted(correlation_id="nobody's")
        search = backend.looking.search
        assert (await search(wanted, after=3)).checkpoint == end
        assert (await search(wanted, after=3, until=9)).checkpoint == 9
        assert (await search(wanted, after=3, until=MAX_POSITION)).checkpoint == end
        assert (await search(wanted, after=3, backward=True)).checkpoint == 3
        assert (await search(wanted, after=end + 5)).checkpoint == end + 5

    @pytest.mark.parametrize(
        "bounds",
        [
            {"after": -1}, {"after": MAX_POSITION + 1}, {"until": -1}, {"until": MAX_POSITION + 1},
            {"limit": 0}, {"limit": MAX_VERSION + 1},
        ],
    )  # fmt: skip
    async def test_impossible_searches_are_refused(
        self, backend: Backend, bounds: dict[str, Any]
    ) -> None:
        """The error names what is wrong; before any I/O, for the store is closed."""
        await backend.close()
        with pytest.raises(InvalidInput, match=next(iter(bounds))):
            await backend.looking.search(Wanted(), **bounds)

    async def test_an_empty_store_has_empty_statistics(self, backend: Backend) -> None:
        """Nothing to count is no error."""
        found = await backend.looking.statistics(now=NOON, snapshot_every=100)
        assert not any((found.kinds, found.longest, found.most_wanting))
        assert (found.aggregates, found.wanting, found.watermark) == (0, 0, 0)
        assert (found.held_back, found.open_appends) == (0, 0)

    async def test_events_are_counted_by_kind(self, backend: Backend) -> None:
        """With their bytes; those of the last days apart."""
        await _fill(backend)
        log = await whole_log(backend)
        for age, last_7, last_30 in ((1, True, True), (20, False, True), (40, False, False)):
            now = log[-1].stored_at + timedelta(days=age)
            found = (await backend.looking.statistics(now=now, snapshot_every=100)).kinds
            assert [(each.aggregate_type, each.event_type) for each in found] == sorted(
                {(each.aggregate_type, each.event_type) for each in log}
            )
            for each in found:
                kind = (each.aggregate_type, each.event_type)
                count = sum((one.aggregate_type, one.event_type) == kind for one in log)
                assert each.total.events == count
                assert each.total.bytes >= 2 * count
                assert each.last_7_days == (each.total if last_7 else type(each.total)(0, 0))
                assert each.last_30_days == (each.total if last_30 else type(each.total)(0, 0))

    async def test_long_aggregates_and_those_that_want_a_snapshot_are_told(
        self, backend: Backend
    ) -> None:
        """What counts for the latter is what came after the snapshot, if there is one."""
        for name, events, snapshot in (("a", 9, 8), ("b", 5, None), ("c", 8, 3), ("d", 4, None)):
            await backend.append([append_to(name, events)])
            if snapshot is not None:
                await backend.save_snapshot(snapshot_of(name, snapshot))
        found = await backend.looking.statistics(now=NOON, snapshot_every=5, top=3)
        assert (found.aggregates, found.wanting) == (4, 2)
        assert list(found.longest) == [_length("a", 9, 8), _length("c", 8, 3), _length("b", 5)]
        assert list(found.most_wanting) == [_length("b", 5), _length("c", 8, 3)]
        assert found.watermark == await backend.watermark()


def _length(aggregate_id: str, events: int, snapshot: int | None = None) -> Length:
    return Length(
        aggregate_id=aggregate_id, aggregate_type="Thing", events=events, snapshot=snapshot
    )


async def _searched(
    backend: Backend,
    wanted: Wanted,
    size: int,
    backward: bool = False,
    part: tuple[int, int | None] = (0, None),
) -> Sequence[StoredEvent]:
    """All that a search finds, page by page."""
    after, until = part
    found: list[StoredEvent] = []
    while True:
        page = await backend.looking.search(
            wanted, after=after, until=until, limit=size, backward=backward
        )
        found.extend(page.events)
        if len(page.events) < size:
            return found
        after, until = (after, page.checkpoint) if backward else (page.checkpoint, until)


async def _fill(backend: Backend) -> None:
    """Thirty events of ten aggregates, of three aggregate types and two event types."""
    for n in range(10):
        events = [_event(n, number) for number in range(3)]
        await backend.append([append_to(f"thing-{n}", events, type=f"Type{n % 3}")])


def _event(n: int, number: int) -> NewEvent:
    metadata = {"correlation_id": f"c-{n % 4}", "causation_id": str(number)}
    return new_event(
        {"n": n},
        type="Odd" if number % 2 else "Even",
        metadata=json.dumps(metadata) if n % 5 else None,
        occurred_at=NOON + timedelta(hours=number - 1),
    )
