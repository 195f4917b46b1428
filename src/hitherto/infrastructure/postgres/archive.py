"""Closed aggregates in PostgreSQL, moved by functions of the owner's."""

from collections.abc import Mapping, Sequence
from typing import Any

from hitherto.application.ports.archive import Tombstone
from hitherto.infrastructure.postgres.connections import Connections
from hitherto.infrastructure.postgres.errors import reading
from hitherto.infrastructure.postgres.schema import Schema


class PostgresArchive:
    """See `Archive`."""

    def __init__(self, connections: Connections, schema: Schema) -> None:
        self._connections = connections
        self._sql = schema.queries("queries.sql")

    async def archive(self, heads: Mapping[str, int]) -> Mapping[str, int]:
        """See `Archive.archive`."""
        return dict(await self._fetch("archive", list(heads), list(heads.values())))

    async def restore(self, aggregate_ids: Sequence[str]) -> Mapping[str, int]:
        """See `Archive.restore`."""
        return dict(await self._fetch("restore", list(aggregate_ids)))

    async def archived(self, aggregate_ids: Sequence[str]) -> Mapping[str, int]:
        """See `Archive.archived`."""
        with reading(self._connections.where):
            return dict(await self._fetch("archived", list(aggregate_ids)))

    async def tombstone(self, tombstone: Tombstone) -> int:
        """See `Archive.tombstone`."""
        told = (tombstone.aggregate_id, tombstone.reason, tombstone.closed_by)
        if not (await self._fetch("tombstone", *told))[0][0]:
            return 0
        await self._fetch("await_appends")
        ((_, version, _),) = await self._fetch("heads", [tombstone.aggregate_id])
        return int(version)

    async def tombstones(self, aggregate_ids: Sequence[str]) -> Sequence[Tombstone]:
        """See `Archive.tombstones`."""
        with reading(self._connections.where):
            rows = await self._fetch("tombstones", list(aggregate_ids))
        return [Tombstone(*row) for row in rows]

    async def _fetch(self, name: str, *arguments: Any) -> list[Any]:
        async with self._connections.session() as connection:
            rows: list[Any] = await connection.fetch(self._sql[name], *arguments)
        return rows
