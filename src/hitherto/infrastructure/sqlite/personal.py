# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""Keys of subjects in SQLite, and where else there may be something about them."""

import json
from collections.abc import Collection, Sequence
from typing import Any

import apsw

from hitherto.application.ports.personal import SubjectKey, TextPlace
from hitherto.infrastructure.sql import named_queries
from hitherto.infrastructure.sqlite.connections import Connections
from hitherto.infrastructure.sqlite.reading import select

_SQL = named_queries("hitherto.infrastructure.sqlite", "personal.sql")


class SqlitePersonal:
    """See `PersonalData`. What is removed is overwritten in the file, and in no log beside it."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def keys(self, subjects: Collection[str]) -> Sequence[SubjectKey]:
        """See `PersonalKeys.keys`."""
        listed = _listed(subjects)
        return await self._connections.read(lambda connection: _keys(connection, listed))

    async def make(self, subjects: Collection[str]) -> Sequence[SubjectKey]:
        """See `PersonalKeys.make`."""
        found = {each.subject: each for each in await self.keys(subjects) if each.key}
        missing = [each for each in subjects if each not in found]
        if not missing:
            return list(found.values())
        listed = _listed(subjects)

        def work(connection: apsw.Connection) -> Sequence[SubjectKey]:
            for new in map(SubjectKey.new, missing):
                connection.execute(_SQL["make"], (new.subject, new.number, new.key))
            return [each for each in _keys(connection, listed) if each.key]

        return await self._connections.write(work)

    async def shred(self, subject: str) -> int:
        """See `PersonalKeys.shred`."""
        return await self._removed("shred", subject)

    async def drop_snapshots(self, aggregate_ids: Sequence[str]) -> int:
        """See `PersonalData.drop_snapshots`."""
        return await self._removed("drop_snapshots", _listed(aggregate_ids))

    async def _removed(self, name: str, argument: str) -> int:
        def work(connection: apsw.Connection) -> int:
            connection.execute("PRAGMA secure_delete = ON")
            return len(list(connection.execute(_SQL[name], (argument,))))

        removed = await self._connections.write(work)
        await self._connections.empty_log()
        return removed

    async def find(self, texts: Sequence[str], *, limit: int = 1000) -> Sequence[TextPlace]:
        """See `PersonalData.find`."""
        rows: list[Any] = await self._connections.read(
            lambda connection: select(connection, _SQL["find"], (_listed(texts), limit))
        )
        return [TextPlace(table=table, name=name, key=key) for table, name, key in rows]


def _keys(connection: apsw.Connection, subjects: str) -> list[SubjectKey]:
    return [
        SubjectKey(subject=subject, number=number, key=key)
        for subject, number, key in select(connection, _SQL["keys"], (subjects,))
    ]


def _listed(texts: Collection[str]) -> str:
    return json.dumps(list(texts))
