# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""Events found by what they say, and counted, by SQLite."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import apsw

from hitherto.application.looking.values import (
    Names,
    Relation,
    Statistics,
    Wanted,
    check_bounds,
    kind_statistics,
    listed,
    names_of,
    page_of,
)
from hitherto.application.records import LogPage, StoredEvent
from hitherto.infrastructure.sql import named_queries
from hitherto.infrastructure.sqlite.appending import time_text
from hitherto.infrastructure.sqlite.connections import Connections
from hitherto.infrastructure.sqlite.reading import highest_position, select, stored_event

_SQL = named_queries("hitherto.infrastructure.sqlite", "looking.sql")

# Metadata may be no JSON, in a file that was meddled with.
_IN_METADATA = (
    "CASE WHEN json_valid(metadata) THEN CAST(json_extract(metadata, '$.{}') AS TEXT) END"
)
_CLAUSES: Mapping[str, str] = {
    "event_types": "event_type IN (SELECT value FROM json_each(?))",
    "aggregate_types": "aggregate_type IN (SELECT value FROM json_each(?))",
    "aggregate_id": "aggregate_id = ?",
    "correlation_id": f"{_IN_METADATA} = ?".format("correlation_id"),
    "causation_ids": f"{_IN_METADATA} IN (SELECT value FROM json_each(?))".format("causation_id"),  # noqa: S608
    "stored_since": "created_at >= ?",
    "stored_until": "created_at <= ?",
    "occurred_since": "occurred_at >= ?",
    "occurred_until": "occurred_at <= ?",
}


class SqliteLooking:
    """See `Looking`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def event(self, event_id: UUID) -> StoredEvent | None:
        """See `Looking.event`."""
        rows = await self._connections.read(
            lambda connection: select(connection, _SQL["event"], (str(event_id),))
        )
        return stored_event(rows[0]) if rows else None

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
        given = wanted.given()
        filters = " ".join(f"AND {_CLAUSES[name]}" for name in given)
        query = _SQL["search"].replace("{filters}", filters)
        query = query.replace("{order}", "DESC" if backward else "ASC")

        def work(connection: apsw.Connection) -> tuple[list[Any], int]:
            watermark = highest_position(connection)
            end = watermark if until is None else min(until, watermark)
            return select(connection, query, (after, end, *map(_bound, given.values()), limit)), end

        rows, end = await self._connections.read(work)
        events = [stored_event(row) for row in rows]
        return page_of(events, after=after, end=end, limit=limit, backward=backward)

    async def names(self) -> Names:
        """See `Looking.names`."""
        return names_of(
            await self._connections.read(lambda connection: select(connection, _SQL["names"]))
        )

    async def statistics(self, *, now: datetime, snapshot_every: int, top: int = 10) -> Statistics:
        """See `Looking.statistics`; SQLite does not count how often an index is used."""
        moments = [time_text(now - timedelta(days=days)) for days in (7, 30)]
        kinds = await self._read(lambda connection: select(connection, _SQL["kinds"], moments))
        lengths = await self._read(
            lambda connection: select(connection, _SQL["lengths"], (snapshot_every, top))
        )
        return Statistics(
            kinds=[kind_statistics(row) for row in kinds],
            relations=await self._read(_relations),
            watermark=await self._connections.read(highest_position),
            **listed(lengths),
        )

    async def _read(self, work: Callable[[apsw.Connection], list[Any]]) -> list[Any]:
        """In a transaction of its own, so that the file is not held back for long."""
        return await self._connections.read(work)


def _bound(value: Any) -> str:
    if isinstance(value, datetime):
        return time_text(value)
    return value if isinstance(value, str) else json.dumps(list(value))


def _relations(connection: apsw.Connection) -> list[Relation]:
    try:
        rows = select(connection, _SQL["relations"])
    except apsw.SQLError:  # This SQLite was made without dbstat.
        ((size,),) = select(connection, _SQL["file_size"])
        return [Relation(kind="file", table="main", name="main", bytes=size)]
    return [
        Relation(kind=kind, table=table, name=name, bytes=size) for kind, table, name, size in rows
    ]
