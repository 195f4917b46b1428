"""The disk is full: clients are told so, nothing is half written, and with space work goes on."""

import asyncio
import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path

import apsw
import asyncpg
import msgspec
from tests.faults.backends import innermost
from tests.faults.load import Load
from tests.faults.row import Outcome, Row, Run
from tests.faults.workload import Account, recorded_connect
from tests.servers import PostgresCluster, wheel_bin_dir

from hitherto import Repository, Store
from hitherto.errors import EventStoreUnavailable

_PATIENCE = 60.0  # seconds until somebody is told
_SQLITE_SIZE, _TABLES_SIZE, _WAL_SIZE = "32m", "64m", "96m"
_UNLIMITED = 2**30
_SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "shared_buffers": "'32MB'",
    "min_wal_size": "'32MB'",
    "max_wal_size": "'48MB'",
}
_STORE = {"timeout": 1.0, "breaker_cooldown": 0.3}

Press = Callable[[], Awaitable[None]]


class _Disk(msgspec.Struct, frozen=True):
    """Where a store is, and how its disk is filled and freed.

    Attributes:
        press: Called between saves, until one of them has been told.
    """

    name: str
    url: str
    fill: Callable[[Store], Awaitable[None]]
    free: Callable[[Store], Awaitable[None]]
    press: Press


async def run(run: Run) -> Outcome:
    """Each kind of disk is filled in turn."""
    outcome = Outcome()
    kinds: list[Callable[[Run], AbstractAsyncContextManager[_Disk]]] = [_sqlite_pages]
    if _may_mount():
        kinds += [_sqlite_disk, _tables, _wal]
    else:
        outcome.notes.append("tmpfs cannot be mounted here: SQLite's limit of pages only")
    for number, kind in enumerate(kinds):
        fills = len(range(number, run.count, len(kinds)))
        if not fills:
            break
        async with kind(run) as disk:
            await _filled(run, disk, fills, outcome)
    return outcome


async def _filled(run: Run, disk: _Disk, fills: int, outcome: Outcome) -> None:
    name = disk.name.replace(" ", "-")
    slowest = 0.0
    async with Load(
        run,
        lambda client: recorded_connect(disk.url, run.directory, client, **_STORE),
        clients=1,
        tasks=4,
        name=name,
    ) as load:
        for _ in range(fills):
            await load.goes_on()
            await disk.fill(load.store)
            outcome.faults[disk.name] += 1
            if not await _told(load.store, disk.press):
                outcome.violations.append(f"{disk.name} is full, and nobody was told")
            await disk.free(load.store)
            slowest = max(slowest, await load.goes_on())
        await load.finish(outcome)
    outcome.notes.append(f"{disk.name}: work went on {slowest:.1f} s after there was space again")


async def _told(store: Store, press: Press) -> bool:
    """Save until that fails as it should; anything else is raised."""
    accounts = Repository(store, Account)
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        account = Account(f"probe-{store.new_id()}")
        account.move(*range(50))
        try:
            await accounts.save(account)
            await press()
        except EventStoreUnavailable:
            return True
    return False


@asynccontextmanager
async def _sqlite_pages(run: Run) -> AsyncIterator[_Disk]:
    """The writer's connection may not take any more pages."""

    async def limit(store: Store, pages: int | None) -> None:
        def work(connection: apsw.Connection) -> None:
            number = pages or connection.execute("PRAGMA page_count").get
            connection.execute(f"PRAGMA max_page_count = {number}")

        await innermost(store.backend)._connections.write(work)

    url = f"sqlite:///{run.directory / 'pages.db'}"
    yield _Disk(
        "SQLite's limit of pages",
        url,
        lambda store: limit(store, None),
        lambda store: limit(store, _UNLIMITED),
        _nothing,
    )


@asynccontextmanager
async def _sqlite_disk(run: Run) -> AsyncIterator[_Disk]:
    """The file's disk is full."""
    with _small_disk(_SQLITE_SIZE) as disk:
        yield _Disk("SQLite's disk", f"sqlite:///{disk / 'store.db'}", *_ballast(disk), _nothing)


@asynccontextmanager
async def _tables(run: Run) -> AsyncIterator[_Disk]:
    """The disk of PostgreSQL's tables is full."""
    cluster = await asyncio.to_thread(_cluster)
    with _small_disk(_TABLES_SIZE, cluster) as disk:
        try:
            await asyncio.to_thread(cluster.start)
            admin = await asyncpg.connect(cluster.url())
            await admin.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
            await admin.execute("ALTER DATABASE postgres SET default_tablespace = small")
            await admin.close()
            yield _Disk("PostgreSQL's tables", cluster.url(), *_ballast(disk), _nothing)
        finally:
            await asyncio.to_thread(cluster.stop)


@asynccontextmanager
async def _wal(run: Run) -> AsyncIterator[_Disk]:
    """The disk of PostgreSQL's log is full: it stops itself, and somebody has to start it."""
    cluster = await asyncio.to_thread(_cluster)
    with _small_disk(_WAL_SIZE, cluster) as disk:
        try:
            _move(cluster.data / "pg_wal", disk)
            await asyncio.to_thread(cluster.start)
            fill, free = _ballast(disk)

            async def press() -> None:
                with contextlib.suppress(OSError, asyncpg.PostgresError):
                    admin = await asyncpg.connect(cluster.url(), timeout=5)
                    try:
                        await admin.execute("SELECT pg_switch_wal()")
                    finally:
                        admin.terminate()

            async def free_and_start(store: Store) -> None:
                await free(store)
                with contextlib.suppress(RuntimeError):
                    await asyncio.to_thread(cluster.control, "stop", "-m", "immediate")
                await asyncio.to_thread(cluster.start)

            yield _Disk("PostgreSQL's log", cluster.url(), fill, free_and_start, press)
        finally:
            await asyncio.to_thread(cluster.stop)


async def _nothing() -> None:
    """The saves alone fill it."""


def _cluster() -> PostgresCluster:
    """A server that is not started yet; it waits for its disks, as in production."""
    cluster = PostgresCluster(wheel_bin_dir())
    cluster.initialise(_SETTINGS)
    return cluster


def _ballast(
    disk: Path,
) -> tuple[Callable[[Store], Awaitable[None]], Callable[[Store], Awaitable[None]]]:
    """Fills the disk to its last byte, and makes room again."""
    ballast = disk / "ballast"

    async def fill(store: Store) -> None:
        block = bytes(64 * 1024)
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(block):
                pass

    async def free(store: Store) -> None:
        ballast.unlink()

    return fill, free


@contextmanager
def _small_disk(size: str, cluster: PostgresCluster | None = None) -> Iterator[Path]:
    """A file system of its own in memory, which is the server's if there is one."""
    directory = Path(tempfile.mkdtemp(prefix="hitherto-disk-", dir="/tmp"))
    owner = (cluster.directory if cluster else directory).stat()
    options = f"size={size},mode=0700,uid={owner.st_uid},gid={owner.st_gid}"
    try:
        _run("mount", "-t", "tmpfs", "-o", options, "hitherto", str(directory))
        try:
            yield directory
        finally:
            _run("umount", "--lazy", str(directory))
    finally:
        directory.rmdir()


def _may_mount() -> bool:
    try:
        with _small_disk("1m"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def _move(directory: Path, to: Path) -> None:
    """Move a directory to another disk, and leave a link in its place."""
    _run("cp", "--archive", str(directory), str(to))
    shutil.rmtree(directory)
    directory.symlink_to(to / directory.name)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


ROW = Row(title="Full disks", promises="1, 2, 4, 5", run=run, full=12, quick=2)
