# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""Appends to SQLite, inside the writer's transaction."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import apsw

from hitherto.application.records import (
    TOMBSTONED,
    Append,
    NewEvent,
    PlacedEvent,
    StoredEvent,
    check_open,
    check_taken,
    divided,
    refusal,
    utc,
)
from hitherto.errors import AggregateError, InvalidInput
from hitherto.infrastructure.batching import Outcome
from hitherto.infrastructure.sql import named_queries
from hitherto.infrastructure.sqlite.chain import chain

_SQL = named_queries("hitherto.infrastructure.sqlite")


def write(connection: apsw.Connection, append: Append) -> int:
    """Write what of the append does not stand yet; returns the position of its last event.

    Raises:
        AggregateError: It has lost; nothing of it was written.
        InvalidInput: An event id is stored elsewhere; the transaction must be rolled back.
    """
    head: Any = connection.execute(_SQL["head"], (append.aggregate_id,)).get
    actual, actual_type, closed = head or (0, None, False)
    standing = position = 0
    if actual > append.expected_version:
        standing, position = standing_of(connection, append)
    at_head = actual == append.expected_version + standing
    complete = standing == len(append.events)
    loses = not complete and (closed or not at_head)
    if loses or actual_type not in {None, append.aggregate_type}:
        raise refusal(append, TOMBSTONED if closed else actual, actual_type)
    if complete:
        return position
    first = append.expected_version + standing + 1
    now = time_text(datetime.now(UTC))
    for version, event in enumerate(append.events[standing:], first):
        row = row_of(event, append.aggregate_id, append.aggregate_type, version, now)
        _insert(connection, row, event.content_hash)
    return int(connection.last_insert_rowid())


def write_batch(connection: apsw.Connection, appends: Sequence[Append]) -> list[Outcome]:
    """Write appends to different aggregates, of which each wins or loses for itself."""
    outcomes: list[Outcome] = []
    for append in appends:
        try:
            outcomes.append(write(connection, append))
        except AggregateError as lost:
            outcomes.append(lost)
    return outcomes


def write_history(connection: apsw.Connection, events: Sequence[PlacedEvent]) -> int:
    """See `EventStore.import_events`; after an error the transaction must be rolled back."""
    heads: dict[str, tuple[int, str]] = {}
    closed: set[str] = set()
    for aggregate_id in {event.aggregate_id for event in events}:
        head: Any = connection.execute(_SQL["head"], (aggregate_id,)).get
        if head is not None:
            heads[aggregate_id] = head[:2]
            closed |= {aggregate_id} if head[2] else set()
    fresh, taken = divided(events, heads)
    check_open(fresh, closed)
    stored: dict[tuple[str, int], UUID] = {}
    for event in taken:
        place = (event.aggregate_id, event.version)
        found: Any = connection.execute(_SQL["event_id"], place).get
        stored[place] = UUID(found)
    check_taken(taken, stored, heads)
    now = datetime.now(UTC)
    for event in fresh:
        owner = event.aggregate_id, event.aggregate_type
        row = row_of(event, *owner, event.version, time_text(event.stored_at or now))
        _insert(connection, row, event.content_hash)
    return len(fresh)


def standing_of(connection: apsw.Connection, append: Append) -> tuple[int, int]:
    """How many of the append's events stand under their own ids, and the last one's position."""
    bindings = (append.aggregate_id, append.expected_version, len(append.events))
    standing = position = 0
    found: Any = connection.execute(_SQL["standing"], bindings)
    for event, (event_id, stored_position, _) in zip(append.events, found, strict=False):
        if str(event.event_id) != event_id:
            break
        standing, position = standing + 1, stored_position
    return standing, position


def _insert(connection: apsw.Connection, row: tuple[Any, ...], content_hash: bytes | None) -> None:
    event_id, _, aggregate_id, _, version, *_, stored_at = row
    try:
        connection.execute(_SQL["insert"], row)
    except apsw.ConstraintError as error:
        raise InvalidInput(f"event id {event_id} is stored already: ids are unique") from error
    if content_hash is not None:
        chain(connection, aggregate_id, version, content_hash, stored_at)


def row_of(
    event: NewEvent | StoredEvent,
    aggregate_id: str,
    aggregate_type: str,
    version: int,
    stored_at: str,
) -> tuple[Any, ...]:
    """What `insert` binds."""
    return (
        str(event.event_id), event.event_type, aggregate_id, aggregate_type, version,
        event.schema_version, event.data, event.metadata, time_text(event.occurred_at),
        stored_at,
    )  # fmt: skip


def time_text(moment: datetime) -> str:
    """A time as it is stored: in UTC, so that texts are in the order of time."""
    return utc(moment).isoformat(timespec="microseconds")
