"""The hashes of events, read from the server."""

from collections.abc import Sequence
from typing import Any

from hitherto.application.chain.links import Head, Link
from hitherto.infrastructure.postgres.connections import Connections
from hitherto.infrastructure.postgres.errors import reading
from hitherto.infrastructure.postgres.rows import stored_event
from hitherto.infrastructure.postgres.schema import Schema


class PostgresChain:
    """See `Chain`."""

    def __init__(self, connections: Connections, schema: Schema) -> None:
        self._connections = connections
        self._sql = schema.queries("chain.sql")

    async def first(self) -> int | None:
        """See `Chain.first`."""
        with reading(self._connections.where):
            async with self._connections.transaction() as connection:
                await connection.execute("SET LOCAL statement_timeout = 0")
                position: int | None = await connection.fetchval(self._sql["first"])
        return position

    async def links(self, *, after: tuple[str, int] = ("", 0), limit: int = 1000) -> Sequence[Link]:
        """See `Chain.links`."""
        rows = await self._fetch("links", *after, limit)
        return [Link(stored_event(row[:-2]), row[-2], row[-1]) for row in rows]

    async def heads(self, *, after: str = "", until: int, limit: int = 1000) -> Sequence[Head]:
        """See `Chain.heads`."""
        return [Head(*row) for row in await self._fetch("heads", after, until, limit)]

    async def _fetch(self, name: str, *arguments: Any) -> list[Any]:
        with reading(self._connections.where):
            async with self._connections.session() as connection:
                rows: list[Any] = await connection.fetch(self._sql[name], *arguments)
        return rows
