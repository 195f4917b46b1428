"""What crosses the port is checked when it is made."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from tests.unit.domain.account import Nowhere

from hitherto import AggregateIDMismatch, AggregateVersionConflict, InvalidInput
from hitherto.application.records import (
    MAX_POSITION,
    MAX_VERSION,
    Append,
    check_group,
    check_page,
    check_range,
    refusal,
    utc,
    without_first,
)
from hitherto.testing.store_contract.making import append_to, new_event

BAD_NAMES = ["", "x" * 256, "a\0", "\ud800", None]


class TestAppend:
    @pytest.mark.parametrize("field", ["aggregate_id", "aggregate_type"])
    @pytest.mark.parametrize("bad", BAD_NAMES)
    def test_its_names_are_checked(self, field: str, bad: Any) -> None:
        """Id and type."""
        columns: dict[str, Any] = {"aggregate_id": "a", "aggregate_type": "A", field: bad}
        with pytest.raises(InvalidInput, match=field.replace("_", " ")):
            Append(**columns, expected_version=0, events=(new_event(),))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            *(({"event_type": bad}, "event type") for bad in BAD_NAMES),
            ({"schema_version": 0}, "schema version 0"),
            ({"schema_version": 32_768}, "schema version 32768"),
            ({"occurred_at": datetime(2024, 1, 1)}, "no time zone"),  # noqa: DTZ001
            ({"occurred_at": datetime(2024, 1, 1, tzinfo=Nowhere())}, "no time zone"),
        ],
    )
    def test_its_events_are_checked(self, changes: dict[str, Any], message: str) -> None:
        """Each of them."""
        bad = msgspec.structs.replace(new_event(), **changes)
        with pytest.raises(InvalidInput, match=message):
            append_to("a", [new_event(), bad])

    def test_it_has_events(self) -> None:
        """At least one."""
        with pytest.raises(InvalidInput, match="has no event"):
            append_to("a", [])

    def test_its_event_ids_differ(self) -> None:
        """They tell a repetition from a rival."""
        event = new_event()
        with pytest.raises(InvalidInput, match="repeats an event id"):
            append_to("a", [event, new_event(), event])

    @pytest.mark.parametrize("version", [-1, MAX_VERSION - 1, MAX_VERSION, 2**40])
    def test_its_versions_fit_their_column(self, version: int) -> None:
        """The expected one, and those that its events would get."""
        with pytest.raises(InvalidInput, match="out of range"):
            append_to("a", 2, after=version)

    def test_the_last_version_of_all_can_be_appended(self) -> None:
        """And none after it."""
        assert append_to("a", 2, after=MAX_VERSION - 2).expected_version == MAX_VERSION - 2

    def test_the_rest_follows_what_stands(self) -> None:
        """An append without its first events expects a later version."""
        append = append_to("a", 3, after=5, type="A")
        rest = without_first(append, 2)
        assert (rest.aggregate_id, rest.aggregate_type) == ("a", "A")
        assert (rest.expected_version, rest.events) == (7, append.events[2:])


class TestGroup:
    def test_a_good_group_passes(self) -> None:
        """One append, or several of different aggregates."""
        check_group([append_to("a")])
        check_group([append_to("a"), append_to("b")])

    def test_a_bad_group_is_refused(self) -> None:
        """Empty, with an aggregate twice, or with an event id twice."""
        event = new_event()
        for group, message in (
            ([], "nothing to append"),
            ([append_to("a"), append_to("a", after=1)], "appears twice"),
            ([append_to("a", [event]), append_to("b", [event])], "same event id"),
        ):
            with pytest.raises(InvalidInput, match=message):
                check_group(group)


@pytest.mark.parametrize("value", [0, -1, MAX_VERSION + 1])
def test_ranges_are_checked(value: int) -> None:
    """Each bound and the limit; the message names it."""
    for name, bounds in (
        ("from_version", (value, None, None)),
        ("to_version", (1, value, None)),
        ("limit", (1, None, value)),
    ):
        with pytest.raises(InvalidInput, match=f"{name}={value}"):
            check_range(*bounds)
    check_range(1, None, None)
    check_range(MAX_VERSION, MAX_VERSION, MAX_VERSION)


def test_pages_are_checked() -> None:
    """The position to read on from, and the limit."""
    for after in (-1, MAX_POSITION + 1):
        with pytest.raises(InvalidInput, match="after"):
            check_page(after, 1)
    for limit in (0, MAX_VERSION + 1):
        with pytest.raises(InvalidInput, match="limit"):
            check_page(0, limit)
    check_page(0, 1)
    check_page(MAX_POSITION, MAX_VERSION)


@pytest.mark.parametrize("types", [None, [], ("A", "B"), {"A"}, dict.fromkeys("AB")])
def test_filters_of_a_page_are_collections_of_names(types: Any) -> None:
    """None: no filter. One name is not taken for its letters, nor an iterator used up."""
    check_page(0, 1, event_types=types, aggregate_types=types)
    all_bad: list[Any] = ["AB", b"AB", 3, iter(["A"]), *([name] for name in BAD_NAMES)]
    for bad in all_bad:
        with pytest.raises(InvalidInput, match=r"event.type"):
            check_page(0, 1, event_types=bad, aggregate_types=types)
        with pytest.raises(InvalidInput, match=r"aggregate.type"):
            check_page(0, 1, event_types=types, aggregate_types=bad)


def test_a_refusal_is_a_conflict_or_a_mismatch() -> None:
    """The type goes before the version."""
    append = append_to("a", after=3, type="A")
    conflict = refusal(append, 5, "A")
    assert isinstance(conflict, AggregateVersionConflict)
    assert (conflict.aggregate_id, conflict.expected, conflict.actual) == ("a", 3, 5)
    assert isinstance(refusal(append, 0, None), AggregateVersionConflict)
    assert isinstance(refusal(append, 3, "B"), AggregateIDMismatch)


def test_times_are_brought_to_utc() -> None:
    """The same moment; one that is there already is not touched."""
    moment = datetime(2024, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    assert utc(moment) == moment
    assert utc(moment).tzinfo is UTC
    there = datetime(2024, 1, 1, tzinfo=UTC)
    assert utc(there) is there


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2024, 1, 1),  # noqa: DTZ001
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))),
        datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=5))),
    ],
)
def test_times_that_cannot_be_told_in_utc_are_refused(moment: datetime) -> None:
    """Without a zone, or with a year out of range."""
    with pytest.raises(InvalidInput):
        utc(moment)
