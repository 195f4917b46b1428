# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""Closed aggregates in SQLite, moved by the writer."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import apsw
import msgspec

from hitherto.application.ports.archive import Tombstone
from hitherto.infrastructure.sql import named_queries
from hitherto.infrastructure.sqlite.appending import time_text
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

    async def tombstone(self, tombstone: Tombstone) -> int:
        """See `Archive.tombstone`."""

        def work(connection: apsw.Connection) -> int:
            told = (*msgspec.structs.astuple(tombstone)[:3], time_text(datetime.now(UTC)))
            connection.execute(_SQL["tombstone"], told)
            head = select(connection, _SQL["head"], (tombstone.aggregate_id,))
            return int(head[0][0]) if head else 0

        return await self._connections.write(work)

    async def tombstones(self, aggregate_ids: Sequence[str]) -> Sequence[Tombstone]:
        """See `Archive.tombstones`."""
        listed = json.dumps(list(aggregate_ids))
        rows = await self._connections.read(
            lambda connection: select(connection, _SQL["tombstones"], (listed,))
        )
        return [
            Tombstone(each, reason, closed_by, datetime.fromisoformat(closed_at))
            for each, reason, closed_by, closed_at in rows
        ]


def _moved(connection: apsw.Connection, name: str, id: str, head: int = 0) -> int:
    return len(select(connection, _SQL[name], {"id": id, "head": head}))
