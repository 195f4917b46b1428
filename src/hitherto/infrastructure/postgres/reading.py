"""`Reading`: aggregates and their snapshots, read one by one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hitherto.application.records import (
    MAX_VERSION,
    Snapshot,
    StoredEvent,
    Stream,
    check_range,
)
from hitherto.infrastructure.postgres.errors import reading
from hitherto.infrastructure.postgres.rows import lacks_first, lacks_some, stored_event, stream


class Reading:
    """What is read of single aggregates, the archive included.

    A subclass says through which connections, and by which queries.
    """

    _connections: Any
    _sql: Mapping[str, str]
    _archived_sql: Mapping[str, str]
    _stored: Callable[[Sequence[Any]], StoredEvent] = staticmethod(stored_event)

    async def load(
        self, aggregate_id: str, *, fingerprint: str | None, to_version: int | None = None
    ) -> Stream:
        """See `EventStore.load`."""
        bounds = aggregate_id, fingerprint, to_version or MAX_VERSION
        found = stream(aggregate_id, await self._fetch("load", *bounds))
        if lacks_first(found, to_version):
            found = stream(aggregate_id, await self._fetch("load", *bounds, archived=True))
        return found

    async def load_many(
        self, aggregate_ids: Sequence[str], *, fingerprint: str | None
    ) -> Mapping[str, Stream]:
        """See `EventStore.load_many`."""
        streams = await self._load_many(list(dict.fromkeys(aggregate_ids)), fingerprint)
        lacking = [each for each, stream in streams.items() if lacks_first(stream, None)]
        if lacking:
            streams.update(await self._load_many(lacking, fingerprint, archived=True))
        # A snapshot without events is ahead of the log, or of an aggregate that is not there.
        doubtful = [each for each, stream in streams.items() if not stream.events]
        if doubtful and fingerprint is not None:
            there = await self.load_many(doubtful, fingerprint=None)
            return {
                each: streams[each] for each in streams if streams[each].events or each in there
            }
        return streams

    async def read(
        self,
        aggregate_id: str,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        limit: int | None = None,
        backward: bool = False,
    ) -> Sequence[StoredEvent]:
        """See `EventStore.read`."""
        check_range(from_version, to_version, limit)
        name = "read_backward" if backward else "read_forward"
        bounds = aggregate_id, from_version, to_version or MAX_VERSION, limit
        events = [self._stored(row) for row in await self._fetch(name, *bounds)]
        if lacks_some(events, from_version, to_version, limit, backward=backward):
            rows = await self._fetch(name, *bounds, archived=True)
            events = [self._stored(row) for row in rows]
        return events

    async def read_snapshot(self, aggregate_id: str) -> Snapshot | None:
        """See `SnapshotStore.read_snapshot`."""
        rows = await self._fetch("read_snapshot", aggregate_id)
        if not rows:
            return None
        _, aggregate_type, version, fingerprint, data = rows[0]
        return Snapshot(
            aggregate_id=aggregate_id,
            aggregate_type=aggregate_type,
            version=version,
            fingerprint=fingerprint,
            data=data,
        )

    async def _load_many(
        self, aggregate_ids: Sequence[str], fingerprint: str | None, *, archived: bool = False
    ) -> dict[str, Stream]:
        found: dict[str, list[Any]] = {}
        for row in await self._fetch("load_many", aggregate_ids, fingerprint, archived=archived):
            found.setdefault(row[0], []).append(tuple(row)[1:])
        return {each: stream(each, rows) for each, rows in found.items()}

    async def _fetch(self, name: str, *arguments: Any, archived: bool = False) -> list[Any]:
        query = (self._archived_sql if archived else self._sql)[name]
        with reading(self._connections.where):
            async with self._connections.session() as connection:
                rows: list[Any] = await connection.fetch(query, *arguments)
        return rows
