# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""Connections to a SQLite file: one thread that writes, some that read."""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TypeVar

import apsw

from hitherto.application.health import PoolUse
from hitherto.errors import EventSerializationFailed, EventStoreUnavailable
from hitherto.infrastructure.opening import Opening
from hitherto.infrastructure.sqlite.schema import check, migrate

T = TypeVar("T")

_BUSY_LIMIT = 5.0  # seconds
_PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "recursive_triggers = ON")
_MADE = (
    ", that a store was made there, and that it is the store that was meant: the URL, or "
    "DATABASE_URL, says which"
)
PASSING = (apsw.IOError, apsw.FullError, apsw.NoMemError, apsw.InterruptError)


class Connections:
    """Runs functions over a connection on threads of its own.

    Args:
        path: The file.
        max_readers: The most threads that read at once.
        migrate: Whether to make or migrate the file and its tables, or only to look.
    """

    def __init__(self, path: str, *, max_readers: int, migrate: bool = True) -> None:
        self.path = path
        self._file = path
        with suppress(OSError):  # It may be opened again and again, wherever the process is then.
            self._file = str(Path(path).absolute())
        self._may_migrate = migrate
        self._max_readers = max_readers
        self._writer: ThreadPoolExecutor | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._local = threading.local()
        self._opened: list[apsw.Connection] = []
        self._at_work: set[int] = set()  # threads
        self._opening = Opening()

    async def open(self) -> None:
        """Open the file, and make or migrate the tables."""
        async with self._opening.lock():
            if self._writer is not None:
                return
            self._local = threading.local()
            self._writer = ThreadPoolExecutor(1, "hitherto-sqlite-writer")
            self._readers = ThreadPoolExecutor(self._max_readers, "hitherto-sqlite-reader")
            try:
                await (self.write(migrate) if self._may_migrate else self.read(check))
            except BaseException:
                await self.close()
                raise

    async def close(self) -> None:
        """Let running work end, then close every connection."""
        writer, readers = self._writer, self._readers
        self._writer = self._readers = None
        if writer is None or readers is None:
            return
        await asyncio.to_thread(readers.shutdown)
        await asyncio.to_thread(writer.shutdown)
        opened, self._opened = self._opened, []
        for connection in opened:
            connection.close()

    async def write(self, work: Callable[[apsw.Connection], T], *, durable: bool = True) -> T:
        """Run `work` in a transaction of the one writer; it is rolled back if `work` raises.

        Args:
            work: What to do.
            durable: Whether it has to be on the disk before this returns; what is not outlives
                this process, but perhaps not a loss of power.
        """
        return await self._run(
            self._writer, lambda connection: _written(connection, work, durable=durable)
        )

    async def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work` in a transaction that sees one state of the file."""
        return await self._run(self._readers, lambda connection: _seen(connection, work))

    async def empty_log(self) -> None:
        """Take what the write-ahead log holds into the file, and cut it off.

        Raises:
            EventStoreUnavailable: Somebody has been reading for too long.
        """
        await self._run(
            self._writer,
            lambda connection: connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE),
        )

    def use(self) -> PoolUse | None:
        """How many connections there are, and how many of them are idle; None while closed."""
        if self._writer is None:
            return None
        size = len(self._opened)
        return PoolUse(size=size, idle=size - len(self._at_work), limit=self._max_readers + 1)

    async def _run(
        self, executor: ThreadPoolExecutor | None, work: Callable[[apsw.Connection], T]
    ) -> T:
        if executor is None:
            raise EventStoreUnavailable(
                f"the store in {self.path!r} is closed: open it first", transient=False
            )
        return await asyncio.get_running_loop().run_in_executor(executor, self._translated, work)

    def _translated(self, work: Callable[[apsw.Connection], T]) -> T:
        try:
            connection = self._connection()
            self._at_work.add(threading.get_ident())
            try:
                return work(connection)
            finally:
                self._at_work.remove(threading.get_ident())
        except (apsw.BusyError, apsw.LockedError) as error:
            raise EventStoreUnavailable(
                f"{self.path!r} is locked by another process: {error}"
            ) from error
        except apsw.CantOpenError as error:
            raise EventStoreUnavailable(
                f"{self.path!r} cannot be opened: check that its folder exists and may be written"
                f"{'' if self._may_migrate else _MADE} ({error})",
                transient=False,
            ) from error
        except apsw.NotADBError as error:
            raise EventStoreUnavailable(
                f"{self.path!r} is not a SQLite file: {error}", transient=False
            ) from error
        except apsw.Error as error:
            raise EventStoreUnavailable(
                f"{self.path!r} cannot be used: {error}", transient=isinstance(error, PASSING)
            ) from error
        except UnicodeDecodeError as error:
            raise EventSerializationFailed(
                f"{self.path!r} holds a text that is not UTF-8: `hitherto verify` tells where"
            ) from error

    def _connection(self) -> apsw.Connection:
        connection: apsw.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            flags = apsw.SQLITE_OPEN_READWRITE
            if self._may_migrate:
                flags |= apsw.SQLITE_OPEN_CREATE
            connection = apsw.Connection(self._file, flags=flags)
            try:
                connection.set_busy_handler(_patience())
                for pragma in _PRAGMAS:
                    connection.execute(f"PRAGMA {pragma}")
            except BaseException:
                connection.close()
                raise
            self._opened.append(connection)
            self._local.connection = connection
        return connection


def _written(
    connection: apsw.Connection, work: Callable[[apsw.Connection], T], *, durable: bool
) -> T:
    with nullcontext() if durable else _not_synchronous(connection):
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result


@contextmanager
def _not_synchronous(connection: apsw.Connection) -> Generator[None]:
    connection.execute("PRAGMA synchronous = NORMAL")
    try:
        yield
    finally:
        connection.execute("PRAGMA synchronous = FULL")


def _seen(connection: apsw.Connection, work: Callable[[apsw.Connection], T]) -> T:
    connection.execute("BEGIN")
    try:
        return work(connection)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _patience() -> Callable[[int], bool]:
    """A busy handler: jittered pauses, up to a limit."""
    started = 0.0

    def wait(attempt: int) -> bool:
        nonlocal started
        now = time.monotonic()
        started = now if attempt == 0 else started
        if now - started > _BUSY_LIMIT:
            return False
        time.sleep(random.uniform(0.0005, min(0.05, 0.001 * 2 ** min(attempt, 6))))  # noqa: S311
        return True

    return wait


def problems(connection: apsw.Connection) -> tuple[str, ...]:
    """What the file's durability lacks."""
    mode = connection.execute("PRAGMA journal_mode").get
    if mode == "wal":
        return ()
    return (f"the journal mode is {mode}, not WAL: readers and the writer block each other",)
