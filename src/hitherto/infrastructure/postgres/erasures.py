"""Payloads that are replaced in PostgreSQL, by a function of the owner's."""

from collections.abc import Sequence
from typing import Any

from hitherto.application.ports.erasures import Erasure
from hitherto.application.records import StoredEvent
from hitherto.infrastructure.postgres.connections import Connections
from hitherto.infrastructure.postgres.errors import reading
from hitherto.infrastructure.postgres.schema import Schema


class PostgresErasures:
    """See `Erasures`."""

    def __init__(self, connections: Connections, schema: Schema) -> None:
        self._connections = connections
        self._sql = schema.queries("erasures.sql")

    async def erase(self, event: StoredEvent, erasure: Erasure) -> bool:
        """See `Erasures.erase`."""
        rows = await self._fetch(
            "erase", event.event_id, event.data, event.metadata, erasure.data, erasure.metadata,
            list(erasure.fields), erasure.reason, erasure.erased_by,
        )  # fmt: skip
        return bool(rows[0][0])

    async def erasures(self) -> Sequence[Erasure]:
        """See `Erasures.erasures`."""
        rows = await self._fetch("erasures")
        return [_erasure(row) for row in rows]

    async def _fetch(self, name: str, *arguments: Any) -> list[Any]:
        with reading(self._connections.where):
            async with self._connections.session() as connection:
                rows: list[Any] = await connection.fetch(self._sql[name], *arguments)
        return rows


def _erasure(row: Sequence[Any]) -> Erasure:
    *event, fields, reason, erased_by, erased_at = row
    values: list[Any] = [*event, tuple(fields), reason, erased_by, erased_at]
    return Erasure(*values)
