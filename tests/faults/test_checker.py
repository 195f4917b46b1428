"""The checker believes nobody: each kind of lie is found, and the truth passes."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal, cast
from uuid import UUID

from tests.faults.checker import check, outcomes
from tests.faults.history import Asked, Ended, Invoked, Line, Seen

from hitherto.application.ports import Backend
from hitherto.application.records import LogPage, StoredEvent, Stream

NOW = datetime(2024, 1, 1, tzinfo=UTC)


class Written:
    """A store that holds a given log, however wrong."""

    def __init__(self, *log: StoredEvent, streams: Sequence[StoredEvent] | None = None) -> None:
        self._log = log
        self._streams = log if streams is None else streams

    async def read_all(self, *, after: int, limit: int) -> LogPage:
        found = [event for event in self._log if event.position > after][:limit]
        last = max((event.position for event in self._log), default=0)
        return LogPage(events=found, checkpoint=found[-1].position if len(found) == limit else last)

    async def load_many(self, ids: Sequence[str], *, fingerprint: str | None) -> dict[str, Stream]:
        streams: dict[str, list[Any]] = {}
        for event in self._streams:
            if event.aggregate_id in ids:
                streams.setdefault(event.aggregate_id, []).append((event.version,))
        return {
            each: Stream(snapshot=None, unusable=None, events=rows)
            for each, rows in streams.items()
        }


def uid(name: str) -> str:
    return str(UUID(bytes=name.encode().rjust(16, b"\0")))


def event(
    position: int, name: str, version: int, aggregate: str = "a", kind: str = "Account"
) -> StoredEvent:
    """An event as it stands."""
    return StoredEvent(
        position, UUID(uid(name)), "Moved", 1, aggregate, kind, version, "{}", None, NOW, NOW
    )


def part(expected: int, *names: str, aggregate: str = "a") -> Asked:
    """What is asked of one aggregate."""
    return Asked(
        aggregate_id=aggregate,
        aggregate_type="Account",
        expected_version=expected,
        event_ids=tuple(uid(name) for name in names),
    )


def asked(number: int, *parts: Asked, client: str = "c") -> Line:
    return Invoked(client=client, number=number, parts=parts)


def ok(number: int, *positions: int, client: str = "c") -> Line:
    return Ended(client=client, number=number, outcome="ok", positions=positions)


def ended(number: int, outcome: Literal["failed", "unknown"], error: str = "Some") -> Line:
    return Ended(client="c", number=number, outcome=outcome, error=error)


def conflict(number: int, actual: int, aggregate: str = "a") -> Line:
    return Ended(
        client="c", number=number, outcome="failed", error="AggregateVersionConflict",
        aggregate_id=aggregate, actual=actual,
    )  # fmt: skip


def seen(after: int, checkpoint: int, *events: tuple[int, str]) -> Line:
    return Seen(
        client="f",
        after=after,
        checkpoint=checkpoint,
        events=tuple((position, uid(name)) for position, name in events),
    )


async def found(store: Written, *lines: Line, unrecorded: Sequence[str] = ()) -> list[str]:
    return await check(cast("Backend", store), lines, unrecorded=unrecorded)


async def only(store: Written, *lines: Line) -> str:
    """The one violation there is."""
    (violation,) = await found(store, *lines)
    return violation


async def test_a_clean_history_passes() -> None:
    """With a group, a true conflict, lost answers that came to either end, and followers."""
    store = Written(
        event(1, "a1", 1),
        event(2, "a2", 2),
        event(5, "b1", 1, "b"),
        event(6, "a3", 3),
        event(9, "b2", 2, "b"),
    )
    lines: list[Line] = [
        asked(1, part(0, "a1", "a2")),
        ok(1, 2),
        asked(2, part(2, "a3"), part(0, "b1", aggregate="b")),
        ok(2, 6, 5),
        asked(3, part(2, "x1", "x2")),
        conflict(3, 3),
        asked(4, part(1, "b2", aggregate="b")),  # killed before it was told
        asked(5, part(2, "y1", aggregate="b")),
        ended(5, "unknown"),
        asked(6, part(7, "z1", aggregate="b")),  # ahead of the stream
        conflict(6, 2, "b"),
        seen(0, 2, (1, "a1"), (2, "a2")),
        seen(2, 4),
        seen(4, 9, (5, "b1"), (6, "a3"), (9, "b2")),
    ]
    assert await found(store, *lines) == []
    assert outcomes(lines) == {"ok": 2, "failed": 2, "unknown": 2}


async def test_a_repetition_may_tell_how_a_lost_answer_ended() -> None:
    """In whichever grouping, and with events that came after."""
    store = Written(event(1, "a1", 1), event(2, "a2", 2), event(3, "b1", 1, "b"))
    lines: list[Line] = [
        asked(1, part(0, "a1")),
        ended(1, "unknown"),
        asked(2, part(0, "a1", "a2")),
        ok(2, 2),
        asked(3, part(0, "b1", aggregate="b"), part(0, "z1")),
        ended(3, "unknown"),
        asked(4, part(0, "b1", aggregate="b")),
        ok(4, 3),
        asked(5, part(0, "z1")),
        conflict(5, 2),
    ]
    assert await found(store, *lines) == []


async def test_an_acknowledged_event_that_is_gone_is_lost() -> None:
    """The first promise."""
    violation = await only(Written(), asked(1, part(0, "a1")), ok(1, 1))
    assert violation.startswith("lost: c#1")


async def test_an_acknowledged_event_that_stands_elsewhere_is_lost() -> None:
    """Under another version, it is another event."""
    store = Written(event(1, "a0", 1), event(2, "a1", 2))
    lines: list[Line] = [asked(1, part(0, "a0")), ok(1, 1), asked(2, part(2, "a1")), ok(2, 2)]
    assert any(each.startswith("lost: c#2") for each in await found(store, *lines))


async def test_a_part_of_an_acknowledged_group_that_is_gone_is_lost() -> None:
    """All of it was acknowledged."""
    store = Written(event(1, "a1", 1))
    lines: list[Line] = [asked(1, part(0, "a1"), part(0, "b1", aggregate="b")), ok(1, 1, 2)]
    assert any(
        each.startswith("lost: c#1") and "'b'" in each for each in await found(store, *lines)
    )


async def test_a_wrong_or_missing_position_is_a_lie() -> None:
    """An acknowledgement tells where the last event is."""
    store = Written(event(1, "a1", 1))
    assert "was told position 7" in await only(store, asked(1, part(0, "a1")), ok(1, 7))
    assert "was told 0 positions" in await only(store, asked(1, part(0, "a1")), ok(1))


async def test_a_failed_append_that_stands_is_a_lie() -> None:
    """Failed says that nothing was written."""
    violation = await only(
        Written(event(1, "a1", 1)), asked(1, part(0, "a1")), ended(1, "failed", "AggregateLocked")
    )
    assert violation.startswith("failed, but written")
    assert "c#1 (AggregateLocked)" in violation


async def test_an_append_that_stands_in_part_is_torn() -> None:
    """Also where nobody was told anything."""
    violation = await only(Written(event(1, "a1", 1)), asked(1, part(0, "a1", "a2")))
    assert violation.startswith("written in part")


async def test_a_group_that_stands_in_part_is_torn() -> None:
    """Across aggregates it is one transaction."""
    lines: list[Line] = [asked(1, part(0, "a1"), part(0, "b1", aggregate="b")), ended(1, "unknown")]
    violation = await only(Written(event(1, "b1", 1, "b")), *lines)
    assert violation.startswith("written in part")


async def test_an_event_twice_is_found() -> None:
    """Under one id."""
    store = Written(event(1, "a1", 1), event(2, "a1", 2))
    violations = await found(store, asked(1, part(0, "a1")), ok(1, 2))
    assert any(each.startswith("twice: ") for each in violations)


async def test_an_event_that_was_written_again_under_a_new_id_is_found() -> None:
    """As by a retry that makes new ids."""
    store = Written(event(1, "a1", 1), event(2, "a2", 2))
    violation = await only(store, asked(1, part(0, "a1")), ok(1, 1))
    assert violation.startswith("nobody asked for event")


async def test_others_may_write_where_it_is_said_so() -> None:
    """Imports and other tools keep no history."""
    store = Written(event(1, "a1", 1), event(2, "b1", 1, "b"))
    assert await found(store, asked(1, part(0, "a1")), ok(1, 1), unrecorded=["b"]) == []


async def test_a_gap_in_the_versions_is_found() -> None:
    """They are 1, 2, 3 …"""
    store = Written(event(1, "a1", 1), event(2, "a3", 3))
    lines: list[Line] = [asked(1, part(0, "a1")), ok(1, 1), asked(2, part(2, "a3")), ok(2, 2)]
    assert any(
        "version 3" in each and "where 2 should" in each for each in await found(store, *lines)
    )


async def test_a_version_twice_is_found() -> None:
    """Two writers won it."""
    store = Written(event(1, "a1", 1), event(2, "x1", 1))
    lines: list[Line] = [asked(1, part(0, "a1")), ok(1, 1), asked(2, part(0, "x1")), ok(2, 2)]
    assert any(
        "version 1" in each and "where 2 should" in each for each in await found(store, *lines)
    )


async def test_positions_that_do_not_rise_are_found() -> None:
    """The log is an order."""
    store = Written(event(1, "a1", 1), event(1, "b1", 1, "b"))
    lines: list[Line] = [
        asked(1, part(0, "a1")),
        ok(1, 1),
        asked(2, part(0, "b1", aggregate="b")),
        ok(2, 1),
    ]
    assert any(each.startswith("out of order") for each in await found(store, *lines))


async def test_an_aggregate_of_two_types_is_found() -> None:
    """Its type is the first event's."""
    store = Written(event(1, "a1", 1), event(2, "a2", 2, kind="Other"))
    violations = await found(store, asked(1, part(0, "a1")), ok(1, 1), unrecorded=["a"])
    assert len(violations) == 1
    assert "another type" in violations[0]


async def test_a_stream_that_loads_otherwise_than_the_log_tells_is_found() -> None:
    """Both are read."""
    first, second = event(1, "a1", 1), event(2, "a2", 2)
    violation = await only(
        Written(first, second, streams=[first]), asked(1, part(0, "a1", "a2")), ok(1, 2)
    )
    assert "'a' loads with 1 events" in violation


async def test_a_stream_that_is_not_in_the_log_is_found() -> None:
    """Consumers would never hear of it."""
    violations = await found(
        Written(streams=[event(1, "a1", 1)]), asked(1, part(0, "a1")), ended(1, "unknown")
    )
    assert any("'a' loads with 1 events" in each for each in violations)


async def test_a_conflict_with_itself_is_false() -> None:
    """As of a retry that does not look for its own ids."""
    lines: list[Line] = [
        asked(1, part(0, "a1")),
        ended(1, "unknown"),
        asked(2, part(0, "a1")),
        conflict(2, 1),
    ]
    violation = await only(Written(event(1, "a1", 1)), *lines)
    assert violation.startswith("false conflict: c#2 lost version 1 of 'a' to itself")


async def test_a_conflict_with_nobody_is_false() -> None:
    """Nothing ever stood there."""
    violations = await found(Written(), asked(1, part(0, "a1")), conflict(1, 1))
    assert any("nothing stands" in each for each in violations)


async def test_a_conflict_that_tells_a_wrong_version_is_found() -> None:
    """Versions never fall, and the expected one is no conflict."""
    store = Written(event(1, "a1", 1))
    first: list[Line] = [asked(1, part(0, "a1")), ok(1, 1)]
    assert "at version 5" in await only(store, *first, asked(2, part(0, "x1")), conflict(2, 5))
    assert "at version 0" in await only(store, *first, asked(2, part(0, "x1")), conflict(2, 0))


async def test_a_conflict_on_a_stranger_is_found() -> None:
    """It names an aggregate of the append."""
    store = Written(event(1, "a1", 1))
    lines: list[Line] = [
        asked(1, part(0, "a1")),
        ok(1, 1),
        asked(2, part(0, "x1")),
        conflict(2, 1, "b"),
    ]
    assert "to which it does not write" in await only(store, *lines)


STORE = Written(event(1, "a1", 1), event(2, "a2", 2), event(4, "a3", 3))
WRITTEN: list[Line] = [asked(1, part(0, "a1", "a2", "a3")), ok(1, 4)]


async def test_a_follower_that_was_not_given_an_event_is_found() -> None:
    """At the end of a page, and within."""
    assert "skipped positions [2]" in await only(STORE, *WRITTEN, seen(0, 2, (1, "a1")))
    page = seen(0, 4, (1, "a1"), (4, "a3"))
    assert "skipped positions [2]" in await only(STORE, *WRITTEN, page)
    assert "skipped positions [4]" in await only(STORE, *WRITTEN, seen(2, 9))


async def test_a_follower_that_was_given_an_event_twice_is_found() -> None:
    """Within a page, and in the next."""
    page = seen(0, 2, (1, "a1"), (2, "a2"), (2, "a2"))
    assert "twice" in await only(STORE, *WRITTEN, page)
    pages: list[Line] = [seen(0, 1, (1, "a1")), seen(1, 4, (1, "a1"), (2, "a2"), (4, "a3"))]
    assert "does not have there" in await only(STORE, *WRITTEN, *pages)


async def test_a_follower_that_was_given_events_out_of_order_is_found() -> None:
    """The log is an order."""
    page = seen(0, 2, (2, "a2"), (1, "a1"))
    assert "out of order" in await only(STORE, *WRITTEN, page)


async def test_a_follower_that_saw_what_is_not_there_is_found() -> None:
    """As when it read what was not committed, or was lost."""
    page = seen(0, 3, (1, "a1"), (2, "a2"), (3, "xx"))
    assert "does not have there" in await only(STORE, *WRITTEN, page)


async def test_a_follower_that_does_not_read_on_from_its_checkpoint_is_found() -> None:
    """It would prove nothing."""
    pages: list[Line] = [seen(0, 1, (1, "a1")), seen(2, 4, (4, "a3"))]
    assert "read on after 2" in await only(STORE, *WRITTEN, *pages)
