"""Keys of subjects in PostgreSQL, and where else there may be something about them."""

from collections.abc import Collection, Sequence
from typing import Any

from hitherto.application.ports.personal import SubjectKey, TextPlace
from hitherto.infrastructure.postgres.connections import Connections
from hitherto.infrastructure.postgres.errors import reading
from hitherto.infrastructure.postgres.schema import Schema


class PostgresPersonal:
    """See `PersonalData`."""

    def __init__(self, connections: Connections, schema: Schema) -> None:
        self._connections = connections
        self._sql = schema.queries("personal.sql")

    async def keys(self, subjects: Collection[str]) -> Sequence[SubjectKey]:
        """See `PersonalKeys.keys`."""
        return [
            SubjectKey(subject=subject, number=number, key=key)
            for subject, number, key in await self._fetch("keys", list(subjects))
        ]

    async def make(self, subjects: Collection[str]) -> Sequence[SubjectKey]:
        """See `PersonalKeys.make`."""
        while True:  # Somebody may forget a subject at this moment.
            found = {each.subject: each for each in await self.keys(subjects) if each.key}
            missing = [each for each in subjects if each not in found]
            if not missing:
                return list(found.values())
            new = [SubjectKey.new(each) for each in missing]
            numbers, keys = [each.number for each in new], [each.key for each in new]
            await self._fetch("make", missing, numbers, keys)

    async def shred(self, subject: str) -> int:
        """See `PersonalKeys.shred`."""
        return len(await self._fetch("shred", subject))

    async def drop_snapshots(self, aggregate_ids: Sequence[str]) -> int:
        """See `PersonalData.drop_snapshots`."""
        return len(await self._fetch("drop_snapshots", list(aggregate_ids)))

    async def find(self, texts: Sequence[str], *, limit: int = 1000) -> Sequence[TextPlace]:
        """See `PersonalData.find`."""
        rows = await self._fetch("find", list(texts), limit)
        return [TextPlace(table=table, name=name, key=key) for table, name, key in rows]

    async def _fetch(self, name: str, *arguments: Any) -> list[Any]:
        with reading(self._connections.where):
            async with self._connections.session() as connection:
                rows: list[Any] = await connection.fetch(self._sql[name], *arguments)
        return rows
