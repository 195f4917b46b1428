"""Rows of events by COPY, the fastest way in; it knows no conflicts, so it needs care around it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg

from hitherto.application.records import NewEvent, PlacedEvent
from hitherto.errors import InvalidInput, SchemaMismatch

_COLUMNS = (
    "aggregate_id",
    "aggregate_type",
    "event_version",
    "event_id",
    "event_type",
    "schema_version",
    "event_data",
    "metadata",
    "occurred_at",
    "content_hash",
)


async def copy_events(
    connection: Any, schema: str, placed: Iterable[tuple[str, str, int, NewEvent]]
) -> None:
    """Insert events, each with its aggregate's id and type and its version, in this order."""
    rows = [
        (aggregate_id, aggregate_type, version, *row_of(event))
        for aggregate_id, aggregate_type, version, event in placed
    ]
    await _copy(connection, schema, _COLUMNS, rows)


async def copy_history(connection: Any, schema: str, events: Sequence[PlacedEvent]) -> None:
    """Insert events of a history, in this order.

    Raises:
        SchemaMismatch: There are times of storing, which a store's own writers cannot choose.
    """
    columns: Sequence[str] = _COLUMNS
    rows: list[tuple[Any, ...]] = [
        (event.aggregate_id, event.aggregate_type, event.version, *row_of(event))
        for event in events
    ]
    if any(event.stored_at for event in events):
        now = await connection.fetchval("SELECT now()")
        columns = (*_COLUMNS, "created_at")
        rows = [(*row, event.stored_at or now) for row, event in zip(rows, events, strict=True)]
    try:
        await _copy(connection, schema, columns, rows)
    except asyncpg.InsufficientPrivilegeError as error:
        raise SchemaMismatch(
            "this role may not tell when events were stored before: import as the owner of the "
            f"tables, or as a superuser ({error})"
        ) from error


async def check_archive(
    connection: Any, sql: Mapping[str, str], events: Sequence[NewEvent]
) -> None:
    """Refuse what no index does.

    Raises:
        InvalidInput: An event id stands in the archive.
    """
    ids = [event.event_id for event in events]
    if taken := await connection.fetchval(sql["archived_event_id"], ids):
        raise InvalidInput(f"event id {taken} is stored already: ids are unique")


async def _copy(
    connection: Any, schema: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    await connection.copy_records_to_table(
        "event_store", schema_name=schema, columns=columns, records=rows
    )


def row_of(event: NewEvent) -> tuple[Any, ...]:
    """What of an event is its own: the columns that do not tell its place."""
    return (
        event.event_id,
        event.event_type,
        event.schema_version,
        event.data,
        event.metadata,
        event.occurred_at,
        event.content_hash,
    )
