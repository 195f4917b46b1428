# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""The hashes of events: added in the writer's transaction, and read."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import apsw

from hitherto.application.chain.links import Head, Link, event_hash
from hitherto.infrastructure.sql import named_queries
from hitherto.infrastructure.sqlite.connections import Connections
from hitherto.infrastructure.sqlite.reading import select, stored_event

_SQL = named_queries("hitherto.infrastructure.sqlite", "chain.sql")


def chain(
    connection: apsw.Connection, aggregate_id: str, version: int, content: bytes, stored_at: str
) -> None:
    """Add the hashes of the event that was inserted last."""
    previous: Any = None
    if version > 1:
        previous = connection.execute(_SQL["previous"], (aggregate_id, version - 1)).get
    position = connection.last_insert_rowid()
    own = event_hash(previous, content, position, datetime.fromisoformat(stored_at))
    connection.execute(_SQL["insert"], (position, content, own))


class SqliteChain:
    """See `Chain`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def first(self) -> int | None:
        """See `Chain.first`."""
        ((position,),) = await self._select("first")
        return None if position is None else int(position)

    async def links(self, *, after: tuple[str, int] = ("", 0), limit: int = 1000) -> Sequence[Link]:
        """See `Chain.links`."""
        rows = await self._select("links", *after, limit)
        return [Link(stored_event(row[:-2]), row[-2], row[-1]) for row in rows]

    async def heads(self, *, after: str = "", until: int, limit: int = 1000) -> Sequence[Head]:
        """See `Chain.heads`."""
        return [Head(*row) for row in await self._select("heads", after, until, limit)]

    async def _select(self, name: str, *bindings: Any) -> list[Any]:
        return await self._connections.read(
            lambda connection: select(connection, _SQL[name], bindings)
        )
