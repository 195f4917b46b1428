"""Writers that append in every way there is, and end their transactions in every way."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import uuid4

import asyncpg
from tests.faults.workload import Account

from hitherto import Repository, connect
from hitherto.errors import AggregateNotFound

WRITERS = 12
_CLIENTS = 3  # of them use hitherto; the others are other tools
_HOLDERS = 2  # who hold transactions open that have nothing to do with the log
_STREAMS = 4  # of each writer, and as many that all tools share
_LONG = 1.0  # seconds, at most, for which a transaction is held open
_LOST = (
    asyncpg.UniqueViolationError, asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError,
)  # fmt: skip
_COLUMNS = (
    "event_id", "event_type", "aggregate_id", "aggregate_type", "event_version", "event_data",
    "occurred_at",
)  # fmt: skip


class Storm:
    """Twelve writers at once, and others who hold the transaction ids back.

    Args:
        url: Of the server.
        schema: In which an open store has made its tables.
        random: Makes every choice.

    Attributes:
        faults: What became of transactions that were not simply committed.
    """

    def __init__(self, url: str, schema: str, random: Random) -> None:
        self.faults: Counter[str] = Counter()
        self._url = url
        self._schema = schema
        self._random = random
        self._stop = asyncio.Event()

    async def blow(self, enough: Callable[[], bool]) -> None:
        """Go on until it is enough."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(WRITERS):
                work = self._client if number < _CLIENTS else self._tool
                tasks.create_task(work(f"writer-{number}", Random(self._random.random())))
            for _ in range(_HOLDERS):
                tasks.create_task(self._hold(Random(self._random.random())))
            while not enough():
                await asyncio.sleep(0.01)
            self._stop.set()

    async def _client(self, name: str, random: Random) -> None:
        """One who uses hitherto."""
        async with connect(self._url, schema=self._schema, max_connections=2) as store:
            accounts = Repository(store, Account)
            while not self._stop.is_set():
                account = await _loaded(accounts, f"{name}-{random.randrange(_STREAMS)}")
                account.move(*[random.randint(-99, 99) for _ in range(random.randint(1, 3))])
                await accounts.save(account)
                await asyncio.sleep(random.random() * 0.01)

    async def _hold(self, random: Random) -> None:
        """One who has a transaction id, and does something else for long."""
        session = await asyncpg.connect(self._url)
        try:
            while not self._stop.is_set():
                async with session.transaction():
                    await session.execute("SELECT pg_current_xact_id()")
                    await asyncio.sleep(random.random() * _LONG)
                self.faults["unrelated long transactions"] += 1
        finally:
            await session.close()

    async def _tool(self, name: str, random: Random) -> None:
        """One who writes to the table, in transactions of its own."""
        tool = _Tool(self._url, self._schema, name, random, self.faults)
        try:
            while not self._stop.is_set():
                await tool.transact()
        finally:
            await tool.close()


class _Tool:
    """A session, and the streams to which it appends; hitherto knows the classes of some."""

    def __init__(
        self, url: str, schema: str, name: str, random: Random, faults: Counter[str]
    ) -> None:
        self._url = url
        self._schema = schema
        self._name = name
        self._random = random
        self._faults = faults
        self._session: Any = None
        self._versions: Counter[str] = Counter()
        self._number = 0

    async def transact(self) -> None:
        """One transaction, from its begin to its end."""
        random = self._random
        if self._session is None:
            self._session = await asyncpg.connect(
                self._url, server_settings={"lock_timeout": "200ms"}
            )
        self._number += 1
        await self._session.execute("BEGIN")
        if random.random() < 0.3:  # It has an early transaction id.
            await self._session.execute("SELECT pg_current_xact_id()")
            await asyncio.sleep(random.random() * 0.02)
        before = self._versions.copy()
        try:
            if random.random() < 0.2:
                await self._session.execute("SAVEPOINT s")
                await self._append()
                await self._session.execute("ROLLBACK TO s")
                self._faults["savepoints rolled back"] += 1
                self._versions = before.copy()
            for _ in range(random.randint(1, 3)):
                await self._append()
                await asyncio.sleep(random.random() * 0.01)
        except _LOST:
            await self._session.execute("ROLLBACK")
            self._faults["lost to another writer"] += 1
            self._versions = before
        else:
            await self._end(before)

    async def close(self) -> None:
        """Let go of the session."""
        if self._session is not None:
            await self._session.close()

    async def _append(self) -> None:
        ways: list[Callable[[str, str, str, int], Awaitable[None]]] = [
            self._call, self._insert, self._copy,
        ]  # fmt: skip
        known = self._random.random() < 0.7
        kind, event_type = ("Account", "Moved") if known else ("Thing", "Happened")
        shared = self._random.random() < 0.3
        owner = "all" if shared else self._name
        stream = f"{kind}-{owner}-{self._random.randrange(_STREAMS)}"
        if shared:
            self._versions[stream] = await self._session.fetchval(
                f"""SELECT coalesce(max(event_version), 0) FROM {self._schema}.event_store
                    WHERE aggregate_id = $1""",
                stream,
            )
        count = self._random.randint(1, 3)
        await self._random.choice(ways)(stream, kind, event_type, count)
        self._versions[stream] += count

    async def _call(self, stream: str, kind: str, event_type: str, count: int) -> None:
        """As hitherto's appends do."""
        expected = self._versions[stream]
        rows = await self._session.fetch(
            f"SELECT * FROM {self._schema}.append_events"
            "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            [stream], [kind], [expected], [1] * count, [uuid4() for _ in range(count)],
            [event_type] * count, [1] * count, list(range(expected + 1, expected + count + 1)),
            [self._data() for _ in range(count)], [None] * count, [datetime.now(UTC)] * count,
        )  # fmt: skip
        if rows[0]["last_position"] is None:
            raise asyncpg.UniqueViolationError

    async def _insert(self, stream: str, kind: str, event_type: str, count: int) -> None:
        places = ", ".join(f"${number}" for number in range(1, len(_COLUMNS) + 1))
        for row in self._rows(stream, kind, event_type, count):
            await self._session.execute(
                f"INSERT INTO {self._schema}.event_store ({', '.join(_COLUMNS)}) VALUES ({places})",
                *row,
            )

    async def _copy(self, stream: str, kind: str, event_type: str, count: int) -> None:
        await self._session.copy_records_to_table(
            "event_store",
            schema_name=self._schema,
            columns=_COLUMNS,
            records=self._rows(stream, kind, event_type, count),
        )

    def _rows(self, stream: str, kind: str, event_type: str, count: int) -> list[tuple[Any, ...]]:
        return [
            (uuid4(), event_type, stream, kind, version, self._data(), datetime.now(UTC))
            for version in range(self._versions[stream] + 1, self._versions[stream] + count + 1)
        ]

    def _data(self) -> str:
        return f'{{"amount": {self._random.randint(-99, 99)}}}'

    async def _end(self, before: Counter[str]) -> None:
        """Commit, in one of several ways, or not."""
        kinds = ("", "rolled back", "prepared", "prepared, rolled back", "backends killed", "held")
        (kind,) = self._random.choices(kinds, [12, 3, 3, 2, 1, 1])
        if kind:
            self._faults[kind] += 1
        if kind == "backends killed":
            self._versions = before
            session, self._session = self._session, None
            try:
                await session.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                session.terminate()
            return
        if kind == "held":
            await asyncio.sleep(self._random.random() * _LONG)
        end = "ROLLBACK" if kind.endswith("rolled back") else "COMMIT"
        if kind.startswith("prepared"):
            name = f"{self._schema}-{self._name}-{self._number}"
            await self._session.execute(f"PREPARE TRANSACTION '{name}'")
            await asyncio.sleep(self._random.random() * 0.02)
            await self._session.execute(f"{end} PREPARED '{name}'")
        else:
            await self._session.execute(end)
        if end == "ROLLBACK":
            self._versions = before


async def _loaded(accounts: Repository[Account], id: str) -> Account:
    try:
        return await accounts.load(id)
    except AggregateNotFound:
        return Account(id)
