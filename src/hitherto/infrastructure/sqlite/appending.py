# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""Appends to SQLite, inside the writer's transaction."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import apsw

from hitherto.application.records import Append, refusal, utc
from hitherto.errors import AggregateError, InvalidInput
from hitherto.infrastructure.batching import Outcome
from hitherto.infrastructure.sql import named_queries

_SQL = named_queries("hitherto.infrastructure.sqlite")


def write(connection: apsw.Connection, append: Append) -> int:
    """Write what of the append does not stand yet; returns the position of its last event.

    Raises:
        AggregateError: It has lost; nothing of it was written.
        InvalidInput: An event id is stored elsewhere; the transaction must be rolled back.
    """
    head: Any = connection.execute(_SQL["head"], (append.aggregate_id,)).get
    actual, actual_type = head or (0, None)
    standing = position = 0
    if actual > append.expected_version:
        standing, position = _standing(connection, append)
    at_head = actual == append.expected_version + standing
    complete = standing == len(append.events)
    if actual_type not in {None, append.aggregate_type} or not (at_head or complete):
        raise refusal(append, actual, actual_type)
    if complete:
        return position
    for row in _rows(append, standing):
        try:
            connection.execute(_SQL["insert"], row)
        except apsw.ConstraintError as error:
            raise InvalidInput(f"event id {row[0]} is stored already: ids are unique") from error
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


def _standing(connection: apsw.Connection, append: Append) -> tuple[int, int]:
    """How many of the append's events stand under their own ids, and the last one's position."""
    bindings = (append.aggregate_id, append.expected_version, len(append.events))
    standing = position = 0
    found: Any = connection.execute(_SQL["standing"], bindings)
    for event, (event_id, stored_position) in zip(append.events, found, strict=False):
        if str(event.event_id) != event_id:
            break
        standing, position = standing + 1, stored_position
    return standing, position


def _rows(append: Append, standing: int) -> list[tuple[Any, ...]]:
    now = _text(datetime.now(UTC))
    first = append.expected_version + standing + 1
    return [
        (
            str(event.event_id), event.event_type, append.aggregate_id, append.aggregate_type,
            version, event.schema_version, event.data, event.metadata,
            _text(event.occurred_at), now,
        )
        for version, event in enumerate(append.events[standing:], first)
    ]  # fmt: skip


def _text(moment: datetime) -> str:
    return utc(moment).isoformat(timespec="microseconds")
