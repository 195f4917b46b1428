"""Histories into PostgreSQL, by COPY."""

from collections.abc import Callable, Mapping, Sequence

from hitherto.application.records import PlacedEvent, check_open, check_taken, divided
from hitherto.infrastructure.postgres.connections import Connections
from hitherto.infrastructure.postgres.copying import check_archive, copy_history

_LOG_A_RECORD = "SELECT pg_logical_emit_message(true, 'hitherto', '')"


class Importer:
    """Writes parts of a history, each in one transaction.

    Args:
        connections: To the database.
        sql: The named queries, with the schema's name in its places.
        schema: The name of the schema.
        appended: Is told of positions that were written.
    """

    def __init__(
        self,
        connections: Connections,
        sql: Mapping[str, str],
        schema: str,
        appended: Callable[[int], None],
    ) -> None:
        self._connections = connections
        self._sql = sql
        self._schema = schema
        self._appended = appended

    async def write(self, events: Sequence[PlacedEvent]) -> int:
        """See `EventStore.import_events`."""
        position = 0
        async with self._connections.transaction() as connection:
            await connection.execute(self._sql["register"])
            ids = list({event.aggregate_id for event in events})
            rows = await connection.fetch(self._sql["heads"], ids)
            heads = {aggregate_id: (version, kind) for aggregate_id, version, kind in rows}
            fresh, taken = divided(events, heads)
            if taken:
                rows = await connection.fetch(
                    self._sql["event_ids"],
                    [event.aggregate_id for event in taken],
                    [event.version for event in taken],
                )
                check_taken(taken, {(each, version): found for each, version, found in rows}, heads)
                # As in append_events: what stands is to be on the standby before it is told.
                await connection.execute(_LOG_A_RECORD)
            if fresh:
                writing = list({event.aggregate_id for event in fresh})
                closed = await connection.fetch(self._sql["tombstones"], writing)
                check_open(fresh, {row[0] for row in closed})
                await check_archive(connection, self._sql, fresh)
                await copy_history(connection, self._schema, fresh)
                last = fresh[-1]
                position = await connection.fetchval(
                    self._sql["position"], last.aggregate_id, last.version
                )
        self._appended(position)
        return len(fresh)
