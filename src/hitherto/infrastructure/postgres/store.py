"""`PostgresStore`: the backend that is made for production."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import cached_property, partial
from typing import cast

from hitherto.application.alongside import FORGOTTEN, Alongside, Timer
from hitherto.application.findings import Finding
from hitherto.application.health import Health, Usage
from hitherto.application.instrumentation import Instrumentation
from hitherto.application.ports import Backend
from hitherto.application.records import (
    Append,
    LogPage,
    PlacedEvent,
    Snapshot,
    check_group,
    check_id_page,
    check_page,
)
from hitherto.application.within import CallersTransaction
from hitherto.errors import HithertoError
from hitherto.infrastructure.batching import GroupCommit, patiently
from hitherto.infrastructure.postgres.announcing import Announcer
from hitherto.infrastructure.postgres.appending import Appender
from hitherto.infrastructure.postgres.archive import PostgresArchive
from hitherto.infrastructure.postgres.borrowing import Borrowed
from hitherto.infrastructure.postgres.chain import PostgresChain
from hitherto.infrastructure.postgres.checkpoints import PostgresCheckpoints
from hitherto.infrastructure.postgres.connections import Connections, once_more
from hitherto.infrastructure.postgres.erasures import PostgresErasures
from hitherto.infrastructure.postgres.errors import reading
from hitherto.infrastructure.postgres.health import look
from hitherto.infrastructure.postgres.importing import Importer
from hitherto.infrastructure.postgres.inspecting import inspect
from hitherto.infrastructure.postgres.looking import PostgresLooking
from hitherto.infrastructure.postgres.personal import PostgresPersonal
from hitherto.infrastructure.postgres.reading import Reading
from hitherto.infrastructure.postgres.rows import stored_event
from hitherto.infrastructure.postgres.schema import Schema
from hitherto.infrastructure.postgres.turns import Turns
from hitherto.infrastructure.postgres.watermarks import Watermarks
from hitherto.infrastructure.postgres.within import Within, queries

_LANES = 2


class PostgresStore(Reading):
    """Keeps events in PostgreSQL 14 or later.

    Args:
        url: ``postgresql://user:password@host:port/database``; several hosts, separated by
            commas, for failover to the one that can be written.
        schema: The schema that holds the tables.
        max_connections: The most connections; they are opened on demand.
        connect_timeout: Seconds until a server that does not answer is unavailable.
        batch_size: The most appends that share a transaction.
        migrate: Whether to make or migrate the tables, or only to look.
        listen_url: Where to LISTEN for appends of other processes, if not at `url`: straight at
            the server, where `url` leads through a pooler.
        instrumentation: Is told of batches.

    Attributes:
        checkpoints: Those of projections.
        looking: For people who look into it.
        chain: The hashes of its events.
        personal: The keys of personal fields.
        archive: Moves closed aggregates aside.
        erasures: Replaces payloads that must go.

    Raises:
        ConfigurationError: The schema's name cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        schema: str = "public",
        max_connections: int = 30,
        connect_timeout: float = 10.0,
        batch_size: int = 100,
        migrate: bool = True,
        listen_url: str | None = None,
        instrumentation: Instrumentation | None = None,
    ) -> None:
        self._schema = Schema(schema, migrate=migrate)
        self._connections = Connections(url, limit=max_connections, timeout=connect_timeout)
        listening = listen_url and Connections(listen_url, limit=1, timeout=connect_timeout)
        self._sql = self._schema.queries("queries.sql")
        self._archived_sql = self._schema.queries("queries.sql", archived=True)
        self.checkpoints: PostgresCheckpoints = PostgresCheckpoints(self._connections, self._schema)
        self.looking: PostgresLooking = PostgresLooking(self._connections, self._schema)
        self.chain: PostgresChain = PostgresChain(self._connections, self._schema)
        self.personal: PostgresPersonal = PostgresPersonal(self._connections, self._schema)
        self.archive: PostgresArchive = PostgresArchive(self._connections, self._schema)
        self.erasures: PostgresErasures = PostgresErasures(self._connections, self._schema)
        self._watermarks = Watermarks(self._connections, self._sql, listening or None)
        self._announcer = Announcer(self._connections, self._sql, self._watermarks.learn)
        appended = self._announcer.appended
        self._appender = Appender(self._connections, self._sql, schema, appended)
        self._turns = Turns()
        self._importer = Importer(self._connections, self._sql, schema, appended)
        self._group_commit = GroupCommit(
            self._appender.write_batch,
            self._appender.write_alone,
            lanes=_LANES,
            max_appends=batch_size,
            instrumentation=instrumentation,
        )

    @cached_property
    def _within_sql(self) -> tuple[dict[str, str], dict[str, str]]:
        return queries(self._schema), queries(self._schema, archived=True)

    async def open(self) -> None:
        """See `EventStore.open`."""
        self._group_commit.open()
        self._announcer.open()
        await self._connections.open(self._schema.prepare)
        self._watermarks.open()

    async def close(self) -> None:
        """See `EventStore.close`."""
        await self._group_commit.close()
        await self._announcer.close()
        await self._watermarks.close()
        await self._connections.close()

    async def append(
        self, appends: Sequence[Append], *, alongside: Alongside | None = None
    ) -> tuple[int, ...]:
        """See `EventStore.append`."""
        if appends or alongside is None:
            check_group(appends)
        if alongside is not None:
            return await self._turns.do(lambda: self._appender.write_alongside(appends, alongside))
        if len(appends) == 1:
            return (await self._group_commit.append(appends[0]),)
        return await patiently(lambda: self._appender.write_together(appends))

    def within(self, transaction: CallersTransaction) -> Backend:
        """The same events, in a transaction of the caller's; see `Store.within`.

        Raises:
            EventStoreUnavailable: The store is not open.
            ConfigurationError: What was handed over has no transaction.
        """
        if self._connections.use() is None:
            raise self._connections.closed()
        sql, archived_sql = self._within_sql
        borrowed = Borrowed(transaction, sql["look"], self._schema.tables)

        def appended(position: int) -> None:
            if transaction.run is None:
                self._announcer.appended(position)
            else:
                transaction.run(partial(_call, self._announcer.appended, position))

        async def handled(scope: str, keys: Sequence[str]) -> Collection[str]:
            look = partial(self.handled, scope, keys)
            return await look() if transaction.run is None else transaction.run(look)

        return cast("Backend", Within(borrowed, sql, archived_sql, appended, handled))

    async def import_events(self, events: Sequence[PlacedEvent]) -> int:
        """See `EventStore.import_events`."""
        return await patiently(lambda: self._importer.write(events))

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
        name, kinds = _filtered(event_types, aggregate_types)
        with reading(self._connections.where):
            async with self._connections.session() as connection:
                # Two statements, for the second must see what the first found released.
                watermark: int = await connection.fetchval(self._sql["watermark"])
                rows = await connection.fetch(self._sql[name], after, watermark, limit, *kinds)
        events = [stored_event(row) for row in rows]
        full = len(events) == limit
        return LogPage(
            events=events, checkpoint=events[-1].position if full else max(after, watermark)
        )

    async def aggregate_ids(
        self, aggregate_type: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[str]:
        """See `EventStore.aggregate_ids`."""
        check_id_page(aggregate_type, after, limit)
        return [row[0] for row in await self._fetch("aggregate_ids", aggregate_type, after, limit)]

    async def watermark(self) -> int:
        """See `EventStore.watermark`."""
        rows = await self._fetch("watermark")
        return int(rows[0]["watermark"])

    async def wait(self, after: int) -> int:
        """See `EventStore.wait`."""
        return await self._watermarks.wait(after)

    async def handled(self, scope: str, keys: Sequence[str]) -> Collection[str]:
        """See `EventStore.handled`."""
        return {row[0] for row in await self._fetch("handled", scope, keys)}

    async def forget_handled(self, scope: str, *, before: datetime) -> int:
        """See `EventStore.forget_handled`."""
        ((count,),) = await self._fetch("forget_handled", scope, before, FORGOTTEN)
        return int(count)

    async def due_timers(self, process: str, *, until: datetime, limit: int) -> Sequence[Timer]:
        """See `EventStore.due_timers`."""
        rows = await self._fetch("due_timers", process, until, limit)
        return [
            Timer(process=process, aggregate_id=aggregate_id, name=name, due=due)
            for _, aggregate_id, name, due in rows
        ]

    async def health_check(self) -> Health:
        """See `EventStore.health_check`."""
        try:
            return await once_more(lambda: look(self._connections, self._sql))
        except HithertoError as error:
            return Health(status="unhealthy", backend="postgresql", problems=(str(error),))

    def usage(self) -> Usage:
        """See `EventStore.usage`."""
        return Usage(pool=self._connections.use(), queue_depth=self._group_commit.queue_depth)

    async def save_snapshot(self, snapshot: Snapshot, *, replacing: int | None = None) -> bool:
        """See `SnapshotStore.save_snapshot`."""
        rows = await self._fetch(
            "save_snapshot",
            snapshot.aggregate_id,
            snapshot.aggregate_type,
            snapshot.version,
            snapshot.fingerprint,
            snapshot.data,
            replacing,
        )
        return bool(rows)

    async def snapshot_ids(
        self, aggregate_type: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[str]:
        """See `SnapshotStore.snapshot_ids`."""
        check_id_page(aggregate_type, after, limit)
        return [row[0] for row in await self._fetch("snapshot_ids", aggregate_type, after, limit)]

    async def inspect(self) -> Sequence[Finding]:
        """See `Inspection.inspect`."""
        return await inspect(self._connections, self._sql)


async def _call(function: Callable[[int], None], position: int) -> None:
    function(position)


def _filtered(
    event_types: Sequence[str] | None, aggregate_types: Sequence[str] | None
) -> tuple[str, list[list[str] | None]]:
    """The query that reads events of these types, and what it takes besides the bounds."""
    kinds = [
        None if types is None else list(dict.fromkeys(types))
        for types in (event_types, aggregate_types)
    ]
    if event_types is not None:
        return "read_all_of_event_types", kinds
    if aggregate_types is not None:
        return "read_all_of_aggregate_types", kinds[1:]
    return "read_all", []
