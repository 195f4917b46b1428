# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""Payloads that are replaced in SQLite, by the writer."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import apsw

from hitherto.application.ports.erasures import Erasure
from hitherto.application.records import StoredEvent
from hitherto.infrastructure.sql import named_queries
from hitherto.infrastructure.sqlite.appending import time_text
from hitherto.infrastructure.sqlite.connections import Connections
from hitherto.infrastructure.sqlite.reading import select

_SQL = named_queries("hitherto.infrastructure.sqlite", "erasures.sql")


class SqliteErasures:
    """See `Erasures`. What is replaced is overwritten in the file, and in no log beside it."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def erase(self, event: StoredEvent, erasure: Erasure) -> bool:
        """See `Erasures.erase`."""
        event_id, fields = str(event.event_id), json.dumps(erasure.fields)
        told = (erasure.data, erasure.metadata, fields, erasure.reason, erasure.erased_by)
        found = {"event_id": event_id, "data": event.data, "metadata": event.metadata}
        wanted = found | {"data": erasure.data, "metadata": erasure.metadata}

        def work(connection: apsw.Connection) -> bool:
            if not select(connection, _SQL["as_found"], found):
                return select(connection, _SQL["last"], (event_id,)) == [told]
            connection.execute("PRAGMA secure_delete = ON")
            place = (event_id, event.aggregate_id, event.version)
            connection.execute(_SQL["record"], (*place, *told, time_text(datetime.now(UTC))))
            connection.execute(_SQL["replace_told"], wanted)
            connection.execute(_SQL["replace"], wanted)
            connection.execute(_SQL["replace_archived"], wanted)
            connection.execute(_SQL["drop_snapshot"], (event.aggregate_id,))
            return True

        done = await self._connections.write(work)
        await self._connections.empty_log()
        return done

    async def erasures(self) -> Sequence[Erasure]:
        """See `Erasures.erasures`."""
        rows = await self._connections.read(lambda connection: select(connection, _SQL["erasures"]))
        return [_erasure(row) for row in rows]


def _erasure(row: Sequence[Any]) -> Erasure:
    event_id, *event, fields, reason, erased_by, erased_at = row
    account = tuple(json.loads(fields)), reason, erased_by, datetime.fromisoformat(erased_at)
    values: list[Any] = [UUID(event_id), *event, *account]
    return Erasure(*values)
