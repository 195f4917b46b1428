"""Events found by what they say, and counted, in plain Python: the reference."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from hitherto.application.looking.values import (
    Amount,
    KindStatistics,
    Length,
    Names,
    Statistics,
    Wanted,
    check_bounds,
    page_of,
    text_in,
)
from hitherto.application.records import LogPage, Snapshot, StoredEvent

_TESTS: Mapping[str, Callable[[StoredEvent, Any], bool]] = {
    "event_types": lambda event, types: event.event_type in types,
    "aggregate_types": lambda event, types: event.aggregate_type in types,
    "aggregate_id": lambda event, aggregate_id: event.aggregate_id == aggregate_id,
    "correlation_id": lambda event, text: text_in(event, "correlation_id") == text,
    "causation_ids": lambda event, texts: text_in(event, "causation_id") in texts,
    "stored_since": lambda event, moment: event.stored_at >= moment,
    "stored_until": lambda event, moment: event.stored_at <= moment,
    "occurred_since": lambda event, moment: event.occurred_at >= moment,
    "occurred_until": lambda event, moment: event.occurred_at <= moment,
}


class MemoryLooking:
    """See `Looking`.

    Args:
        log: All events; the one at position 1 is the first.
        snapshots: By aggregate id.
    """

    def __init__(self, log: Sequence[StoredEvent], snapshots: Mapping[str, Snapshot]) -> None:
        self._log = log
        self._snapshots = snapshots

    async def event(self, event_id: UUID) -> StoredEvent | None:
        """See `Looking.event`."""
        return next((each for each in self._log if each.event_id == event_id), None)

    async def search(
        self,
        wanted: Wanted,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int = 1000,
        backward: bool = False,
    ) -> LogPage:
        """See `Looking.search`."""
        check_bounds(after, until, limit)
        end = len(self._log) if until is None else min(until, len(self._log))
        part = range(after, end)
        given = wanted.given()
        events: list[StoredEvent] = []
        for index in reversed(part) if backward else part:
            event = self._log[index]
            if all(_TESTS[name](event, value) for name, value in given.items()):
                events.append(event)
                if len(events) == limit:
                    break
        return page_of(events, after=after, end=end, limit=limit, backward=backward)

    async def names(self) -> Names:
        """See `Looking.names`."""
        return Names(
            sorted({each.event_type for each in self._log}),
            sorted({each.aggregate_type for each in self._log}),
        )

    async def statistics(self, *, now: datetime, snapshot_every: int, top: int = 10) -> Statistics:
        """See `Looking.statistics`; there are no tables to tell of."""
        lengths = list(self._lengths())
        wanting = [each for each in lengths if _since_snapshot(each) >= snapshot_every]
        return Statistics(
            kinds=_kinds(self._log, now),
            aggregates=len(lengths),
            longest=_most(lengths, lambda each: each.events)[:top],
            wanting=len(wanting),
            most_wanting=_most(wanting, _since_snapshot)[:top],
            relations=(),
            watermark=len(self._log),
        )

    def _lengths(self) -> Iterable[Length]:
        heads = {each.aggregate_id: each for each in self._log}
        for aggregate_id, head in heads.items():
            snapshot = self._snapshots.get(aggregate_id)
            yield Length(
                aggregate_id=aggregate_id,
                aggregate_type=head.aggregate_type,
                events=head.version,
                snapshot=snapshot.version if snapshot is not None else None,
            )


def _kinds(log: Iterable[StoredEvent], now: datetime) -> list[KindStatistics]:
    by_kind: dict[tuple[str, str], list[StoredEvent]] = {}
    for event in log:
        by_kind.setdefault((event.aggregate_type, event.event_type), []).append(event)
    return [
        KindStatistics(
            aggregate_type=aggregate_type,
            event_type=event_type,
            total=_amount(events),
            last_7_days=_amount(events, now - timedelta(days=7)),
            last_30_days=_amount(events, now - timedelta(days=30)),
        )
        for (aggregate_type, event_type), events in sorted(by_kind.items())
    ]


def _amount(events: Iterable[StoredEvent], since: datetime | None = None) -> Amount:
    sizes = [
        len(each.data.encode()) + len((each.metadata or "").encode())
        for each in events
        if since is None or each.stored_at >= since
    ]
    return Amount(len(sizes), sum(sizes))


def _since_snapshot(length: Length) -> int:
    return length.events - (length.snapshot or 0)


def _most(lengths: Iterable[Length], number: Callable[[Length], int]) -> list[Length]:
    return sorted(lengths, key=lambda each: (-number(each), each.aggregate_id))
