"""Short ways to say what is appended and what is found."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import uuid_utils.compat

from hitherto.application.ports import Backend
from hitherto.application.records import Append, NewEvent, PlacedEvent, Snapshot, StoredEvent
from hitherto.errors import AggregateVersionConflict

NOON = datetime(2024, 2, 29, 12, 30, 15, 123456, UTC)


def new_id() -> UUID:
    """An event id."""
    return uuid_utils.compat.uuid7()


def new_event(
    data: Any = None,
    *,
    type: str = "Happened",
    schema: int = 1,
    metadata: str | None = None,
    occurred_at: datetime = NOON,
    event_id: UUID | None = None,
) -> NewEvent:
    """An event; `data` is a JSON text, or a value that becomes one."""
    return NewEvent(
        event_id=event_id or new_id(),
        event_type=type,
        schema_version=schema,
        data=data if isinstance(data, str) else json.dumps(data or {}),
        metadata=metadata,
        occurred_at=occurred_at,
    )


def append_to(
    aggregate_id: str,
    events: int | Iterable[NewEvent] = 1,
    *,
    after: int = 0,
    type: str = "Thing",
) -> Append:
    """An append of some events, or of that many plain ones, after version `after`."""
    if isinstance(events, int):
        events = [new_event({"number": after + n}) for n in range(1, events + 1)]
    return Append(
        aggregate_id=aggregate_id,
        aggregate_type=type,
        expected_version=after,
        events=tuple(events),
    )


def placed(aggregate_id: str, version: int, *, type: str = "Thing") -> PlacedEvent:
    """An event of a history."""
    return PlacedEvent(
        event_id=new_id(),
        event_type="Happened",
        schema_version=1,
        data=f'{{"version":{version}}}',
        metadata=None,
        occurred_at=NOON,
        aggregate_id=aggregate_id,
        aggregate_type=type,
        version=version,
    )


def snapshot_of(
    aggregate_id: str,
    version: int,
    *,
    data: str = '{"sum": 3}',
    fingerprint: str = "code-1",
    type: str = "Thing",
) -> Snapshot:
    """A snapshot."""
    return Snapshot(
        aggregate_id=aggregate_id,
        aggregate_type=type,
        version=version,
        fingerprint=fingerprint,
        data=data,
    )


async def versions(backend: Backend, aggregate_id: str) -> list[int]:
    """The versions that are stored of an aggregate, in order."""
    return [event.version for event in await backend.read(aggregate_id)]


async def whole_log(backend: Backend, *, page: int = 1000, **filters: Any) -> list[StoredEvent]:
    """The whole log, read page by page from one checkpoint to the next."""
    found: list[StoredEvent] = []
    after = 0
    while True:
        read = await backend.read_all(after=after, limit=page, **filters)
        found.extend(read.events)
        if len(read.events) < page:
            return found
        after = read.checkpoint


async def try_append(backend: Backend, append: Append) -> int | AggregateVersionConflict:
    """The position of an append, or the conflict that it lost to."""
    try:
        return (await backend.append([append]))[0]
    except AggregateVersionConflict as conflict:
        return conflict


def same_json(text: str | None) -> Any:
    """JSON to compare by: numbers to the last digit, whatever the order of keys and the spaces."""
    return None if text is None else json.loads(text, parse_float=Decimal)
