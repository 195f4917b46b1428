# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""Closed aggregates in SQLite, moved by the writer."""

import json
from collections.abc import Mapping, Sequence

import apsw

from hitherto.infrastructure.sql import named_queries
from hitherto.infrastructure.sqlite.connections import Connections
from hitherto.infrastructure.sqlite.reading import select

_SQL = named_queries("hitherto.infrastructure.sqlite")


class SqliteArchive:
    """See `Archive`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def archive(self, heads: Mapping[str, int]) -> Mapping[str, int]:
        """See `Archive.archive`."""

        def work(connection: apsw.Connection) -> dict[str, int]:
            found = {each: select(connection, _SQL["head"], (each,)) for each in heads}
            return {
                each: moved
                for each, rows in found.items()
                if rows and rows[0][0] == heads[each]
                if (moved := _moved(connection, "archive", each, heads[each]))
            }

        return await self._connections.write(work)

    async def restore(self, aggregate_ids: Sequence[str]) -> Mapping[str, int]:
        """See `Archive.restore`."""

        def work(connection: apsw.Connection) -> dict[str, int]:
            return {
                each: moved
                for each in aggregate_ids
                if (moved := _moved(connection, "restore", each))
            }

        return await self._connections.write(work)

    async def archived(self, aggregate_ids: Sequence[str]) -> Mapping[str, int]:
        """See `Archive.archived`."""
        listed = json.dumps(list(aggregate_ids))
        rows = await self._connections.read(
            lambda connection: select(connection, _SQL["archived"], (listed,))
        )
        return dict(rows)


def _moved(connection: apsw.Connection, name: str, id: str, head: int = 0) -> int:
    return len(select(connection, _SQL[name], {"id": id, "head": head}))
