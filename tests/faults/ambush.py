"""Ends the sessions of others, at a chosen statement."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import asyncpg
from tests.faults.statements import Send

_ADMIN = "fault matrix"  # the name of sessions that are left alone
MOMENTS = ("before it", "while it ran", "while it was held by a lock", "after it")
_BLOCKED = 0.05  # seconds until a statement that does not run into the lock is past it


class Admin:
    """Sessions of their own, which end others; any number of tasks may use them."""

    def __init__(self, session: Any, locker: Any, schema: str) -> None:
        self._session = session
        self._locker = locker
        self._schema = schema
        self._asking = asyncio.Lock()
        self._locking = asyncio.Lock()

    @classmethod
    async def connected(cls, url: str, schema: str) -> "Admin":
        settings = {"application_name": _ADMIN}
        return cls(
            await asyncpg.connect(url, server_settings=settings),
            await asyncpg.connect(url, server_settings=settings),
            schema,
        )

    async def close(self) -> None:
        await self._session.close()
        await self._locker.close()

    def owns(self, connection: Any) -> bool:
        """Whether a connection is one of these."""
        return connection in {self._session, self._locker}

    async def terminate(self, process: int) -> bool:
        """End a session, and wait until it is gone; tells whether it was there."""
        found: bool = await self._value("SELECT pg_terminate_backend($1)", process)
        # (Its own waiting looks but every tenth of a second.)
        there = "SELECT EXISTS (SELECT FROM pg_stat_get_activity($1))"
        while await self._value(there, process):
            await asyncio.sleep(0)
        return found

    async def terminate_one(self, random: Random) -> bool:
        """End any of the sessions; tells whether there was one."""
        found: list[int] | None = await self._value(
            "SELECT array_agg(pid ORDER BY pid) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND application_name <> $1",
            _ADMIN,
        )
        return bool(found) and await self.terminate(random.choice(found or []))

    @contextlib.asynccontextmanager
    async def holding_the_tables(self) -> AsyncIterator[bool]:
        """Nobody else can use them meanwhile; false if that is not to be had at once."""
        async with self._locking:
            transaction = self._locker.transaction()
            await transaction.start()
            try:
                tables = f'"{self._schema}".event_store, "{self._schema}".aggregate_snapshots'
                lock = f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE NOWAIT"
                try:
                    await self._locker.execute(lock)
                except asyncpg.LockNotAvailableError:
                    yield False
                else:
                    yield True
            finally:
                await transaction.rollback()

    async def terminate_all(self) -> None:
        """End all of the sessions."""
        anyone = Random(0)
        while await self.terminate_one(anyone):
            pass

    async def blocked(self, process: int, sent: "asyncio.Future[Any]") -> bool:
        """Wait until a session waits for a lock; false if its statement is through before."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_BLOCKED):
                while not sent.done():
                    if await self._value(
                        "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1",
                        process,
                    ):
                        return True
        return False

    async def _value(self, query: str, *arguments: object) -> Any:
        async with self._asking:
            return await self._session.fetchval(query, *arguments)


class Ambush:
    """Counts statements, and terminates the session of one of them.

    Attributes:
        seen: How many statements there were.
        struck: The moment at which it terminated; "": not yet.
    """

    def __init__(self, admin: Admin, number: int = 0, moment: str = "") -> None:
        self.seen = 0
        self.struck = ""
        self._admin = admin
        self._number = number
        self._moment = moment
        self._free = asyncio.Event()
        self._free.set()

    async def around(self, connection: Any, _kind: str, send: Send) -> Any:
        """See `asyncpg_statements`."""
        if self._admin.owns(connection):
            return await send()
        self.seen += 1
        if self.struck or self.seen != self._number:
            await self._free.wait()  # The lock is for one, and the others would give up soon.
            return await send()
        self.struck = self._moment
        return await self._strike(connection.get_server_pid(), send)

    async def _strike(self, process: int, send: Send) -> Any:
        if self._moment == "before it":
            await self._admin.terminate(process)
            return await send()
        if self._moment == "after it":
            result = await send()
            await self._admin.terminate(process)
            return result
        if self._moment == "while it ran":
            sent = asyncio.ensure_future(send())
            await self._admin.terminate(process)
            return await sent
        self._free.clear()
        try:
            async with self._admin.holding_the_tables():
                sent = asyncio.ensure_future(send())
                if not await self._admin.blocked(process, sent):
                    self.struck = "while it ran"
                await self._admin.terminate(process)
        finally:
            self._free.set()
        try:
            return await sent
        except asyncpg.LockNotAvailableError:  # It gave up first, as where the machine is busy.
            self.struck = "before it"
            return await send()
