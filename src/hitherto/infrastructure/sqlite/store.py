# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""`SqliteStore`: the embedded default."""

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import apsw

from hitherto.application.alongside import FORGOTTEN, Alongside, Timer
from hitherto.application.findings import Finding
from hitherto.application.health import Health, Usage
from hitherto.application.instrumentation import Instrumentation
from hitherto.application.records import (
    MAX_VERSION,
    Append,
    LogPage,
    PlacedEvent,
    Snapshot,
    StoredEvent,
    Stream,
    check_group,
    check_id_page,
    check_page,
    check_range,
)
from hitherto.errors import HithertoError
from hitherto.infrastructure.batching import GroupCommit, Outcome
from hitherto.infrastructure.sql import named_queries
from hitherto.infrastructure.sqlite.alongside import write_alongside
from hitherto.infrastructure.sqlite.appending import time_text, write, write_batch, write_history
from hitherto.infrastructure.sqlite.archive import SqliteArchive
from hitherto.infrastructure.sqlite.chain import SqliteChain
from hitherto.infrastructure.sqlite.checkpoints import SqliteCheckpoints
from hitherto.infrastructure.sqlite.connections import Connections, problems
from hitherto.infrastructure.sqlite.erasures import SqliteErasures
from hitherto.infrastructure.sqlite.inspecting import inspect
from hitherto.infrastructure.sqlite.looking import SqliteLooking
from hitherto.infrastructure.sqlite.personal import SqlitePersonal
from hitherto.infrastructure.sqlite.reading import (
    highest_position,
    select,
    snapshot_of,
    stored_event,
    stream_of,
)
from hitherto.infrastructure.sqlite.schema import schema_version
from hitherto.infrastructure.sqlite.watching import Watch

S = TypeVar("S", bound=Sequence[Any])

_SQL = named_queries("hitherto.infrastructure.sqlite")


class SqliteStore:
    """Keeps events in a SQLite file, in WAL mode with every commit on the disk.

    Args:
        path: The file; it is made if it does not exist.
        max_readers: The most threads that read at once.
        batch_size: The most appends that share a transaction.
        migrate: Whether to make or migrate the file and its tables, or only to look.
        instrumentation: Is told of batches.

    Attributes:
        checkpoints: Those of projections.
        looking: For people who look into it.
        chain: The hashes of its events.
        personal: The keys of personal fields.
        archive: Moves closed aggregates aside.
        erasures: Replaces payloads that must go.
    """

    def __init__(
        self,
        path: str,
        max_readers: int = 30,
        batch_size: int = 100,
        *,
        migrate: bool = True,
        instrumentation: Instrumentation | None = None,
    ) -> None:
        self._connections = Connections(path, max_readers=max_readers, migrate=migrate)
        self._group_commit = GroupCommit(
            self._write_batch,
            self._write_alone,
            lanes=1,
            max_appends=batch_size,
            instrumentation=instrumentation,
        )
        self._watch = Watch(lambda: self._connections.read(highest_position))
        self.checkpoints: SqliteCheckpoints = SqliteCheckpoints(self._connections)
        self.looking: SqliteLooking = SqliteLooking(self._connections)
        self.chain: SqliteChain = SqliteChain(self._connections)
        self.personal: SqlitePersonal = SqlitePersonal(self._connections)
        self.archive: SqliteArchive = SqliteArchive(self._connections)
        self.erasures: SqliteErasures = SqliteErasures(self._connections)

    async def open(self) -> None:
        """See `EventStore.open`."""
        self._group_commit.open()
        await self._connections.open()

    async def close(self) -> None:
        """See `EventStore.close`."""
        await self._group_commit.close()
        await self._watch.close()
        await self._connections.close()

    async def append(
        self, appends: Sequence[Append], *, alongside: Alongside | None = None
    ) -> tuple[int, ...]:
        """See `EventStore.append`."""
        if appends or alongside is None:
            check_group(appends)
        if alongside is not None:
            return await self._written(
                lambda connection: write_alongside(connection, appends, alongside)
            )
        if len(appends) == 1:
            return (await self._group_commit.append(appends[0]),)
        return await self._written(
            lambda connection: tuple([write(connection, append) for append in appends])
        )

    async def import_events(self, events: Sequence[PlacedEvent]) -> int:
        """See `EventStore.import_events`."""
        count, position = await self._connections.write(
            lambda connection: (write_history(connection, events), highest_position(connection))
        )
        self._watch.moved(position)
        return count

    async def load(
        self, aggregate_id: str, *, fingerprint: str | None, to_version: int | None = None
    ) -> Stream:
        """See `EventStore.load`."""
        return await self._connections.read(
            lambda connection: stream_of(connection, aggregate_id, fingerprint, to_version)
        )

    async def load_many(
        self, aggregate_ids: Sequence[str], *, fingerprint: str | None
    ) -> Mapping[str, Stream]:
        """See `EventStore.load_many`."""

        def work(connection: apsw.Connection) -> dict[str, Stream]:
            return {
                each: stream_of(connection, each, fingerprint, None)
                for each in aggregate_ids
                if select(connection, _SQL["head"], (each,))
            }

        return await self._connections.read(work)

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
        query = _SQL["read_backward" if backward else "read_forward"]
        bounds = (aggregate_id, from_version, to_version or MAX_VERSION, limit or -1)
        rows = await self._connections.read(lambda connection: select(connection, query, bounds))
        return [stored_event(row) for row in rows]

    async def read_all(
        self,
        *,
        after: int = 0,
        limit: int = 1000,
        event_types: Sequence[str] | None = None,
        aggregate_types: Sequence[str] | None = None,
    ) -> LogPage:
        """See `EventStore.read_all`."""
        check_page(after, limit, event_types=event_types, aggregate_types=aggregate_types)
        filters = {"event_type": event_types, "aggregate_type": aggregate_types}
        given = {name: types for name, types in filters.items() if types is not None}
        clause = " ".join(f"AND {name} IN (SELECT value FROM json_each(?))" for name in given)  # noqa: S608
        query = _SQL["read_all"].replace("{filters}", clause)
        bindings = (after, *(json.dumps(list(types)) for types in given.values()), limit)

        def work(connection: apsw.Connection) -> tuple[list[Any], int]:
            return select(connection, query, bindings), highest_position(connection)

        rows, watermark = await self._connections.read(work)
        events = [stored_event(row) for row in rows]
        full = len(events) == limit
        return LogPage(
            events=events, checkpoint=events[-1].position if full else max(after, watermark)
        )

    async def aggregate_ids(
        self, aggregate_type: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[str]:
        """See `EventStore.aggregate_ids`."""
        return await self._ids("aggregate_ids", aggregate_type, after, limit)

    async def watermark(self) -> int:
        """See `EventStore.watermark`."""
        return await self._connections.read(highest_position)

    async def wait(self, after: int) -> int:
        """See `EventStore.wait`."""
        return await self._watch.wait(after)

    async def handled(self, scope: str, keys: Sequence[str]) -> Collection[str]:
        """See `EventStore.handled`."""
        bindings = (scope, json.dumps(list(keys)))
        rows = await self._connections.read(
            lambda connection: select(connection, _SQL["handled"], bindings)
        )
        return {key for (key,) in rows}

    async def forget_handled(self, scope: str, *, before: datetime) -> int:
        """See `EventStore.forget_handled`."""
        bindings = (scope, time_text(before), FORGOTTEN)
        rows = await self._connections.write(
            lambda connection: select(connection, _SQL["forget_handled"], bindings)
        )
        return len(rows)

    async def due_timers(self, process: str, *, until: datetime, limit: int) -> Sequence[Timer]:
        """See `EventStore.due_timers`."""
        bindings = (process, time_text(until), limit)
        rows = await self._connections.read(
            lambda connection: select(connection, _SQL["due_timers"], bindings)
        )
        return [
            Timer(
                process=process,
                aggregate_id=aggregate_id,
                name=name,
                due=datetime.fromisoformat(due),
            )
            for aggregate_id, name, due in rows
        ]

    async def health_check(self) -> Health:
        """See `EventStore.health_check`."""
        start = time.perf_counter()
        try:
            version, lacking = await self._connections.read(
                lambda connection: (schema_version(connection), problems(connection))
            )
        except HithertoError as error:
            return Health(status="unhealthy", backend="sqlite", problems=(str(error),))
        return Health(
            status="degraded" if lacking else "healthy",
            backend="sqlite",
            latency=time.perf_counter() - start,
            schema_version=version,
            pool=self._connections.use(),
            problems=lacking,
        )

    def usage(self) -> Usage:
        """See `EventStore.usage`."""
        return Usage(pool=self._connections.use(), queue_depth=self._group_commit.queue_depth)

    async def save_snapshot(self, snapshot: Snapshot, *, replacing: int | None = None) -> bool:
        """See `SnapshotStore.save_snapshot`."""
        bindings = (
            snapshot.aggregate_id, snapshot.aggregate_type, snapshot.version,
            snapshot.fingerprint, snapshot.data, replacing,
        )  # fmt: skip
        rows = await self._connections.write(
            lambda connection: select(connection, _SQL["save_snapshot"], bindings)
        )
        return bool(rows)

    async def read_snapshot(self, aggregate_id: str) -> Snapshot | None:
        """See `SnapshotStore.read_snapshot`."""
        return await self._connections.read(
            lambda connection: snapshot_of(connection, aggregate_id)
        )

    async def snapshot_ids(
        self, aggregate_type: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[str]:
        """See `SnapshotStore.snapshot_ids`."""
        return await self._ids("snapshot_ids", aggregate_type, after, limit)

    async def inspect(self) -> Sequence[Finding]:
        """See `Inspection.inspect`."""
        return await inspect(self._connections)

    async def _ids(self, query: str, aggregate_type: str, after: str, limit: int) -> list[str]:
        check_id_page(aggregate_type, after, limit)
        bindings = (aggregate_type, after, limit)
        rows = await self._connections.read(
            lambda connection: select(connection, _SQL[query], bindings)
        )
        return [aggregate_id for (aggregate_id,) in rows]

    async def _write_alone(self, append: Append) -> int:
        (position,) = await self._written(lambda connection: (write(connection, append),))
        return position

    async def _write_batch(self, appends: Sequence[Append]) -> Sequence[Outcome]:
        return await self._written(lambda connection: write_batch(connection, appends))

    async def _written(self, work: Callable[[apsw.Connection], S]) -> S:
        """Write something that gives positions, and tell those who wait for them."""
        outcomes = await self._connections.write(work)
        self._watch.moved(max([each for each in outcomes if isinstance(each, int)], default=0))
        return outcomes
