"""Connections to PostgreSQL: a pool that grows on demand, also behind PgBouncer."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import asyncpg

from hitherto.application.health import PoolUse
from hitherto.errors import EventStoreUnavailable, HithertoError
from hitherto.infrastructure.opening import Opening
from hitherto.infrastructure.postgres.connecting import connect_to, hosts
from hitherto.infrastructure.postgres.errors import lasting, told, translated
from hitherto.infrastructure.urls import check_credentials, without_password

# Appends and readers rely on READ COMMITTED, and nobody may keep an append waiting for long;
# compiling a short query costs more than it saves.
_SESSION = """SELECT set_config('default_transaction_isolation', 'read committed', false),
                     set_config('lock_timeout', '100ms', false),
                     set_config('jit', 'off', false)"""
T = TypeVar("T")

_HOT = 4
_LONGEST = 2**31 - 1  # milliseconds
_FAREWELL = 1.0  # seconds
_TRANSACTION = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '100ms'"


class Connections:
    """A pool of connections to one database.

    A pooler in transaction mode, such as PgBouncer, is noticed by itself: the server process that
    answers is not the one that the connection was told of. Then every use is one transaction, and
    nothing is prepared or set for the session.

    Args:
        url: What asyncpg takes, several hosts included.
        limit: The most connections.
        timeout: Seconds until connecting fails.

    Attributes:
        where: The URL as it may be shown.
        failover: Whether the URL names several hosts.

    Raises:
        ConfigurationError: The URL has an @ in an odd place.
    """

    def __init__(self, url: str, *, limit: int, timeout: float) -> None:
        check_credentials(url)
        self.where: str = without_password(url)
        self.failover: bool = "," in self.where
        self._hosts = hosts(url)
        self._limit = limit
        self._timeout = timeout
        self._pool: Any = None
        # To take a connection out of the pool and to put it back costs as much as a short query:
        # a few stay out, for whoever comes next, as long as nobody waits in line for one.
        self._hot: list[Any] = []
        self._in_line = 0
        self._lending = asyncio.Semaphore(1)
        self._releases: set[asyncio.Task[None]] = set()
        self._through_pooler = False
        self._opening = Opening()

    async def open(self, prepare: Callable[[Any], Awaitable[None]]) -> None:
        """Connect once, `prepare` the database in one transaction, and set up the pool."""
        async with self._opening.lock():
            if self._pool is not None:
                return
            with translated(self.where):
                connection = await self._connect(statement_cache_size=0, **self._options())
                try:
                    async with connection.transaction(isolation="read_committed"):
                        process = await connection.fetchval("SELECT pg_backend_pid()")
                        self._through_pooler = process != connection.get_server_pid()
                        await prepare(connection)
                finally:
                    await connection.close(timeout=self._timeout)
                # One is left for who has borrowed one and asks the store: else all of them could
                # wait for one more.
                self._lending = asyncio.Semaphore(max(self._limit - 1, 1))
                self._pool = await self._make_pool()

    async def close(self) -> None:
        """Close all connections, after the operations under way; those that last are cut off."""
        pool, self._pool = self._pool, None
        hot, self._hot = self._hot, []
        if pool is not None:
            with translated(self.where):
                for connection in hot:
                    await pool.release(connection)
                try:
                    async with asyncio.timeout(self._timeout):
                        if self._releases:
                            await asyncio.wait(self._releases)
                        await pool.close()
                except TimeoutError:  # The server hangs, or somebody still works on it.
                    pool.terminate()
                    await asyncio.sleep(0)  # It closes its sockets at the loop's next turn.

    @property
    def through_pooler(self) -> bool:
        """Whether each transaction may run on another of the server's connections."""
        return self._through_pooler

    def closed(self) -> EventStoreUnavailable:
        """The error for what needs an open store."""
        return EventStoreUnavailable(
            f"the store on {self.where} is closed: open it first", transient=False
        )

    @asynccontextmanager
    async def session(self, *, bare: bool = False) -> AsyncGenerator[Any]:
        """A connection for one operation; driver errors inside leave as hitherto's.

        Args:
            bare: Whether the caller begins a transaction of its own, as a pooler needs.
        """
        if self._pool is None:
            raise self.closed()
        with translated(self.where):
            pool = self._pool
            connection = await self._acquire(pool)
            try:
                if self._through_pooler and not bare:
                    async with _transaction(connection):
                        yield connection
                else:
                    yield connection
            except asyncio.CancelledError:
                # Its caller waits no more, and a server may take long to confirm the end, or hang.
                release = asyncio.create_task(self._release(pool, connection))
                self._releases.add(release)
                release.add_done_callback(self._releases.discard)
                raise
            except BaseException as error:
                if _ends_connection(error):  # Nobody else is to have it before its end is noticed.
                    _terminate(connection)
                await self._release(pool, connection)
                raise
            if pool is self._pool and not self._in_line and len(self._hot) < _HOT:
                self._hot.append(connection)
            else:
                await self._release(pool, connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Any]:
        """A connection for several statements, all or nothing."""
        async with self.session() as connection:
            if self._through_pooler:  # It is in one already.
                yield connection
            else:
                async with _transaction(connection):
                    yield connection

    @asynccontextmanager
    async def lent(self, *, patience: float) -> AsyncGenerator[Any]:
        """A transaction in which other people's code works, too.

        It is the driver's own, so that there may be savepoints in it.

        Args:
            patience: Seconds that it may wait for a lock; and that it may stand idle, as where
                the process is frozen: then the server ends it, so that nobody waits for its locks.
        """
        limit = min(max(round(patience * 1000), 1), _LONGEST)
        async with self._lending, self.session(bare=True) as connection:
            transaction = connection.transaction(isolation="read_committed")
            try:
                await transaction.start()
                await connection.execute(
                    f"SET LOCAL lock_timeout = {limit};"
                    f"SET LOCAL idle_in_transaction_session_timeout = {limit}"
                )
                yield connection
                await transaction.commit()
            except BaseException as error:
                await _roll_back(connection, error, transaction.rollback)
                raise

    @asynccontextmanager
    async def dedicated(self) -> AsyncGenerator[Any]:
        """A connection outside the pool, with nothing set; it is closed when the block ends."""
        with translated(self.where):
            connection = await self._connect(statement_cache_size=0, **self._options())
            try:
                yield connection
            finally:
                with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await connection.close(timeout=_FAREWELL)
                await asyncio.sleep(0)  # Where that failed, its socket is closed only now.

    @asynccontextmanager
    async def probe(self) -> AsyncGenerator[Any]:
        """A session that has the connect timeout for all, though the server may hang."""
        with translated(self.where):
            async with asyncio.timeout(self._timeout), self.session() as connection:
                try:
                    yield connection
                except asyncio.CancelledError:
                    connection.terminate()  # A server that hangs would not confirm the end.
                    raise

    def use(self) -> PoolUse | None:
        """How many connections there are; None while closed."""
        pool = self._pool  # Another thread may close it meanwhile.
        if pool is None:
            return None
        idle = pool.get_idle_size() + len(self._hot)
        return PoolUse(size=pool.get_size(), idle=idle, limit=self._limit)

    async def _release(self, pool: Any, connection: Any) -> None:
        """Give it back; one whose server does not confirm that an operation ended is dropped."""
        with suppress(TimeoutError):
            await pool.release(connection, timeout=self._timeout)

    async def _acquire(self, pool: Any) -> Any:
        while self._hot:
            connection = self._hot.pop()
            if not is_cut(connection):
                return connection
        self._in_line += 1
        try:
            return await pool.acquire()
        finally:
            self._in_line -= 1

    async def _connect(self, *_url: str, **options: Any) -> Any:
        """To the first host that can be written; one that hangs takes no time from the others."""
        failures: list[Exception] = []
        causes: list[str] = []
        for url in list(self._hosts):
            try:
                connection = await connect_to(url, **options)
            except (OSError, asyncpg.PostgresError, asyncpg.InternalClientError) as error:
                self._ask(url, last=True)
                failures.append(error)
                causes.append(f"{without_password(url)}: {told(error)}")
            except asyncio.CancelledError:  # Who hangs must not be the first to be asked again.
                self._ask(url, last=True)
                raise
            else:
                self._ask(url, last=False)
                return connection
        if len(failures) == 1:
            raise failures[0]
        raise EventStoreUnavailable(
            f"no host can be written: {'; '.join(causes)}",
            transient=not all(map(lasting, failures)),
        ) from failures[-1]

    def _ask(self, url: str, *, last: bool) -> None:
        """This host is the first, or the last, to be asked from now on."""
        self._hosts.remove(url)
        self._hosts.insert(len(self._hosts) if last else 0, url)

    async def _make_pool(self) -> Any:
        options: dict[str, Any] = {"connect": self._connect, **self._options()}
        if self._through_pooler:
            options["statement_cache_size"] = 0
        else:
            options["init"] = _set_session
        return await asyncpg.create_pool(
            min_size=0, max_size=self._limit, reset=_keep_session, **options
        )

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"timeout": self._timeout}
        if self.failover and "target_session_attrs" not in self._hosts[0]:
            options["target_session_attrs"] = "read-write"
        return options


async def once_more(call: Callable[[], Awaitable[T]]) -> T:
    """What `call` gives; it is called again if its connection broke.

    Perhaps that had only been cut while it was idle. It may be called twice, whatever came of it.
    """
    try:
        return await call()
    except EventStoreUnavailable as error:
        if isinstance(error.__cause__, TimeoutError) or not error.transient:
            raise
    return await call()


def is_cut(connection: Any) -> bool:
    """Whether a connection of the pool's is known to be no more."""
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:  # The pool took it back when it was cut.
        return True


def _terminate(connection: Any) -> None:
    with suppress(asyncpg.InterfaceError):  # as in `is_cut`
        connection.terminate()


def _ends_connection(error: BaseException) -> bool:
    """Whether it tells of a broken connection, rather than of what the server refused."""
    if isinstance(error, asyncpg.PostgresError):
        return getattr(error, "severity_en", None) in {"FATAL", "PANIC"}
    return not isinstance(error, HithertoError)


@asynccontextmanager
async def _transaction(connection: Any) -> AsyncGenerator[None]:
    try:
        await connection.execute(_TRANSACTION)
        yield
        await connection.execute("COMMIT")
    except BaseException as error:
        await _roll_back(connection, error, lambda: connection.execute("ROLLBACK"))
        raise


async def _roll_back(
    connection: Any, error: BaseException, roll_back: Callable[[], Awaitable[object]]
) -> None:
    """Undo a transaction; a connection on which that is in vain is let go of."""
    if isinstance(error, asyncio.CancelledError):
        _terminate(connection)  # A server that hangs would not confirm the end.
    elif not _ends_connection(error):
        try:
            await roll_back()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            _terminate(connection)


async def _set_session(connection: Any) -> None:
    await connection.fetch(_SESSION)


async def _keep_session(_connection: Any) -> None:
    """No operation here leaves anything in the session, so resetting it would cost for nothing."""
