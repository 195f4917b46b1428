"""Events found by what they say, and counted, by the server."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

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
from hitherto.infrastructure.postgres.connections import Connections
from hitherto.infrastructure.postgres.errors import reading
from hitherto.infrastructure.postgres.rows import stored_event
from hitherto.infrastructure.postgres.schema import Schema

_CLAUSES: Mapping[str, str] = {
    "event_types": "event_type = ANY (${}::text[])",
    "aggregate_types": "aggregate_type = ANY (${}::text[])",
    "aggregate_id": "aggregate_id = ${}",
    "correlation_id": "metadata->>'correlation_id' = ${}::text",
    "causation_ids": "metadata->>'causation_id' = ANY (${}::text[])",
    "stored_since": "created_at >= ${}",
    "stored_until": "created_at <= ${}",
    "occurred_since": "occurred_at >= ${}",
    "occurred_until": "occurred_at <= ${}",
}


class PostgresLooking:
    """See `Looking`."""

    def __init__(self, connections: Connections, schema: Schema) -> None:
        self._connections = connections
        self._schema = schema.name
        self._sql = schema.queries("looking.sql")

    async def event(self, event_id: UUID) -> StoredEvent | None:
        """See `Looking.event`."""
        with reading(self._connections.where):
            async with self._connections.session() as connection:
                row = await connection.fetchrow(self._sql["event"], event_id)
        return stored_event(row) if row is not None else None

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
        clauses = [f"AND {_CLAUSES[name].format(number)}" for number, name in enumerate(given, 4)]
        query = self._sql["search"].replace("{filters}", " ".join(clauses))
        query = query.replace("{order}", "DESC" if backward else "ASC")
        with reading(self._connections.where):
            async with self._connections.transaction() as connection:
                # For any types, the server would walk along the whole log.
                await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
                # Two statements, as in `read_all`.
                watermark: int = await connection.fetchval(self._sql["watermark"])
                end = watermark if until is None else min(until, watermark)
                rows = await connection.fetch(query, after, end, limit, *given.values())
        events = [stored_event(row) for row in rows]
        return page_of(events, after=after, end=end, limit=limit, backward=backward)

    async def names(self) -> Names:
        """See `Looking.names`."""
        with reading(self._connections.where):
            async with self._connections.session() as connection:
                return names_of(await connection.fetch(self._sql["names"]))

    async def statistics(self, *, now: datetime, snapshot_every: int, top: int = 10) -> Statistics:
        """See `Looking.statistics`; the bytes of events are those on the disk."""
        kinds = await self._slowly("kinds", *(now - timedelta(days=days) for days in (7, 30)))
        lengths = await self._slowly("lengths", snapshot_every, top)
        relations = await self._slowly("relations", self._schema)
        ((watermark, held_back, open_appends),) = await self._slowly("log")
        return Statistics(
            kinds=[kind_statistics(row) for row in kinds],
            relations=[
                Relation(kind=kind, table=table, name=name, bytes=size, scans=scans)
                for kind, table, name, size, scans in relations
            ],
            watermark=watermark,
            held_back=held_back,
            open_appends=open_appends,
            **listed(lengths),
        )

    async def _slowly(self, name: str, *arguments: Any) -> list[Any]:
        """Each in a transaction of its own, so that VACUUM is not held back for longer."""
        with reading(self._connections.where):
            async with self._connections.transaction() as connection:
                await connection.execute("SET LOCAL statement_timeout = 0")
                rows: list[Any] = await connection.fetch(self._sql[name], *arguments)
        return rows
