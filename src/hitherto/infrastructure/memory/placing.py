"""Events that are given their places in the log."""

from collections.abc import Iterable
from datetime import UTC, datetime

from hitherto.application.records import NewEvent, StoredEvent, utc

Place = tuple[str, str, int]
"""Aggregate id, aggregate type, version."""


def placed(
    events: Iterable[tuple[NewEvent, Place, datetime | None]], first: int
) -> list[StoredEvent]:
    """Give events their positions, from `first` on, and the time where they have none."""
    now = datetime.now(UTC)
    return [
        _stored(event, position, place, utc(stored_at or now))
        for position, (event, place, stored_at) in enumerate(events, first)
    ]


def _stored(event: NewEvent, position: int, place: Place, now: datetime) -> StoredEvent:
    aggregate_id, aggregate_type, version = place
    return StoredEvent(
        position=position,
        event_id=event.event_id,
        event_type=event.event_type,
        schema_version=event.schema_version,
        aggregate_id=aggregate_id,
        aggregate_type=aggregate_type,
        version=version,
        data=event.data,
        metadata=event.metadata,
        occurred_at=utc(event.occurred_at),
        stored_at=now,
    )
