"""What is SQLite's own; the rest is in the contract."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator
from pathlib import Path

import apsw
import pytest
import pytest_asyncio
from tests.acceptance.postgres_writers import an_append

from hitherto import EventSerializationFailed, EventStoreUnavailable, SchemaMismatch
from hitherto.application.health import PoolUse
from hitherto.application.records import Snapshot
from hitherto.infrastructure.sql import named_queries
from hitherto.infrastructure.sqlite import SqliteStore, connections


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A file that does not exist yet."""
    return str(tmp_path / "events.db")


@pytest_asyncio.fixture
async def store(path: str) -> AsyncGenerator[SqliteStore]:
    """A store with one event."""
    store = SqliteStore(path, max_readers=2)
    await store.open()
    await store.append([an_append("a")])
    yield store
    await store.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE event_store SET event_data = '{}'",
        "DELETE FROM event_store",
        "INSERT OR REPLACE INTO event_store SELECT * FROM event_store",
    ],
)
async def test_events_are_never_changed(store: SqliteStore, path: str, change: str) -> None:
    """Triggers refuse it, in other tools too."""
    connection = apsw.Connection(path)
    connection.execute("PRAGMA recursive_triggers = ON")
    with pytest.raises(apsw.ConstraintError, match="refused"):
        connection.execute(change)
    connection.close()


async def test_every_commit_is_on_the_disk(store: SqliteStore) -> None:
    """WAL with synchronous FULL."""
    settings = await store._connections.write(
        lambda connection: (
            connection.execute("PRAGMA journal_mode").get,
            connection.execute("PRAGMA synchronous").get,
        )
    )
    assert settings == ("wal", 2)


async def test_a_file_of_newer_code_is_refused(store: SqliteStore, path: str) -> None:
    """The message says what to do."""
    await store.close()
    connection = apsw.Connection(path)
    connection.execute("INSERT INTO hitherto_migrations (version) VALUES (999)")
    connection.close()
    with pytest.raises(SchemaMismatch, match=r"version 999.*upgrade hitherto"):
        await SqliteStore(path).open()


async def test_a_store_that_may_not_migrate_only_looks(tmp_path: Path) -> None:
    """A file that is not there is not made; tables that are not there are told, with the remedy."""
    path = tmp_path / "events.db"
    with pytest.raises(EventStoreUnavailable, match=r"cannot be opened.*DATABASE_URL") as caught:
        await SqliteStore(str(path), migrate=False).open()
    assert not caught.value.transient
    assert not path.exists()
    path.touch()
    with pytest.raises(SchemaMismatch, match=r"are not there, .*migrate=True"):
        await SqliteStore(str(path), migrate=False).open()
    store = SqliteStore(str(path))
    await store.open()
    await store.close()
    looking = SqliteStore(str(path), migrate=False)
    await looking.open()
    assert await looking.append([an_append("a")]) == (1,)
    await looking.close()
    newer = apsw.Connection(str(path))
    newer.execute("INSERT INTO hitherto_migrations (version) VALUES (99)")
    newer.close()
    with pytest.raises(SchemaMismatch, match="upgrade hitherto"):
        await looking.open()


async def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    """A text file, a folder, a folder that is not there."""
    text = tmp_path / "notes.txt"
    text.write_text("Dear diary, " * 100)
    with pytest.raises(EventStoreUnavailable, match=r"notes\.txt.*is not a SQLite file"):
        await SqliteStore(str(text)).open()
    with pytest.raises(EventStoreUnavailable, match="cannot be opened"):
        await SqliteStore(str(tmp_path)).open()
    with pytest.raises(EventStoreUnavailable, match="folder exists"):
        await SqliteStore(str(tmp_path / "nowhere" / "events.db")).open()


async def test_a_file_that_another_process_holds_is_unavailable(
    store: SqliteStore, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some patience; then it works again."""
    monkeypatch.setattr(connections, "_BUSY_LIMIT", 0.1)
    script = (
        "import apsw, sys; c = apsw.Connection(sys.argv[1]); c.execute('BEGIN IMMEDIATE');"
        "print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(EventStoreUnavailable, match="locked by another process"):
        await store.append([an_append("b")])
    assert len(await store.read("a")) == 1, "reading goes on"
    holder.communicate()
    assert await store.append([an_append("b")]) == (2,)


async def test_a_cancelled_append_is_there_whole_or_not_at_all(store: SqliteStore) -> None:
    """The thread ends what it has begun; the next operation works."""
    tasks = [asyncio.create_task(store.append([an_append(f"b{n}", 0, 3)])) for n in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for number in range(50):
        assert len(await store.read(f"b{number}")) in ({3} if number % 2 else {0, 3})


async def test_a_closed_store_says_so_and_opens_again(store: SqliteStore) -> None:
    """What was stored is still there."""
    await store.close()
    with pytest.raises(EventStoreUnavailable, match="closed"):
        await store.read("a")
    assert (await store.health_check()).status == "unhealthy"
    await store.open()
    assert len(await store.read("a")) == 1


async def test_a_failed_open_can_be_tried_again(path: str) -> None:
    """Nothing of the first try stays."""
    Path(path).mkdir()
    store = SqliteStore(path)
    with pytest.raises(EventStoreUnavailable):
        await store.open()
    Path(path).rmdir()
    await store.open()
    await store.close()


def test_of_two_tasks_that_open_it_at_once_each_finds_the_tables(path: str) -> None:
    """Also when it is opened again under another event loop."""
    store = SqliteStore(path)

    async def open_and_read() -> int:
        await store.open()
        return len(await store.read("a"))

    async def at_once() -> None:
        assert await asyncio.gather(*(open_and_read() for _ in range(3))) == [0, 0, 0]
        await store.close()

    asyncio.run(at_once())
    Path(path).unlink()
    asyncio.run(at_once())


async def test_of_two_tasks_that_cannot_open_it_each_is_told(path: str) -> None:
    """Neither takes it for open."""
    Path(path).mkdir()
    store = SqliteStore(path)
    opening = await asyncio.gather(store.open(), store.open(), return_exceptions=True)
    assert [type(each) for each in opening] == [EventStoreUnavailable] * 2


async def test_all_its_connections_lead_to_one_file_wherever_the_process_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are opened on demand, and the path may be relative, as the default is."""
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    store = SqliteStore("store.db")
    await store.open()
    await store.append([an_append("a")])
    monkeypatch.chdir(tmp_path / "there")
    for _ in range(2):
        found = await asyncio.gather(*(store.read("a") for _ in range(8)))
        assert [len(events) for events in found] == [1] * 8
        await store.close()
        await store.open()
    await store.close()
    assert not list((tmp_path / "there").iterdir())


async def test_its_pool_use_tells_who_is_at_work(store: SqliteStore) -> None:
    """Jobs that wait for a connection are not counted."""
    go_on = threading.Event()
    started = threading.Semaphore(0)

    def work(_: apsw.Connection) -> None:
        started.release()
        go_on.wait()

    jobs = [asyncio.create_task(store._connections.read(work)) for _ in range(5)]
    jobs.append(asyncio.create_task(store._connections.write(work)))
    try:
        for _ in range(3):
            await asyncio.to_thread(started.acquire)
        assert store._connections.use() == PoolUse(size=3, idle=0, limit=3)
    finally:
        go_on.set()
        await asyncio.gather(*jobs)
    assert store._connections.use() == PoolUse(size=3, idle=3, limit=3)


async def test_another_journal_mode_is_told_by_the_health_check(
    store: SqliteStore, path: str
) -> None:
    """Somebody has switched WAL off."""
    assert (await store.health_check()).status == "healthy"
    await store.close()
    connection = apsw.Connection(path)
    connection.execute("PRAGMA journal_mode = DELETE")
    assert connections.problems(connection) == (
        "the journal mode is delete, not WAL: readers and the writer block each other",
    )
    connection.close()
    await store.open()


async def test_what_does_not_pass_by_itself_is_not_tried_again(
    store: SqliteStore, path: str
) -> None:
    """Such as tables that are gone."""
    other = apsw.Connection(path)
    other.execute("DROP TABLE aggregate_snapshots")
    other.close()
    with pytest.raises(EventStoreUnavailable, match="no such table") as caught:
        await store.read_snapshot("a")
    assert not caught.value.transient


async def test_a_connection_that_could_not_be_set_up_is_not_kept(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each try would leave a descriptor behind."""
    before = store._connections.use()
    with monkeypatch.context() as patched:
        patched.setattr(connections, "_PRAGMAS", ("no sense at all",))
        for _ in range(5):
            with pytest.raises(EventStoreUnavailable):
                await store.watermark()
    assert store._connections.use() == before
    assert await store.watermark() == 1


@pytest.mark.parametrize("table", ["event_store", "aggregate_snapshots"])
async def test_a_text_that_is_no_utf8_is_told_or_passed_over(
    store: SqliteStore, path: str, table: str
) -> None:
    """An event cannot be read without it; a snapshot costs no truth."""
    await store.save_snapshot(
        Snapshot(aggregate_id="a", aggregate_type="Thing", version=1, fingerprint="f", data="{}")
    )
    column = {"event_store": "event_data", "aggregate_snapshots": "snapshot_data"}[table]
    other = apsw.Connection(path)
    for (name,) in list(other.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")):
        other.execute(f"DROP TRIGGER {name}")
    other.execute(f"UPDATE {table} SET {column} = CAST(x'7b22ff227d' AS TEXT)")
    other.close()
    if table == "event_store":
        with pytest.raises(EventSerializationFailed, match="not UTF-8"):
            await store.load("a", fingerprint=None)
    else:
        stream = await store.load("a", fingerprint="f")
        assert stream.snapshot is not None
        assert not stream.snapshot.data


async def test_a_snapshot_with_a_version_that_is_none_is_passed_over(
    store: SqliteStore, path: str
) -> None:
    """SQLite keeps what it is given; all events are there to fold."""
    await store.save_snapshot(
        Snapshot(aggregate_id="a", aggregate_type="Thing", version=1, fingerprint="f", data="{}")
    )
    other = apsw.Connection(path)
    other.execute("UPDATE aggregate_snapshots SET version = 'abc'")
    other.close()
    stream = await store.load("a", fingerprint="f")
    assert stream.snapshot is not None
    assert (stream.snapshot.version, len(stream.events)) == (0, 1)
    again = Snapshot(
        aggregate_id="a", aggregate_type="Thing", version=1, fingerprint="f", data="{}"
    )
    assert await store.save_snapshot(again)
    assert await store.read_snapshot("a") == again


async def test_filtered_reads_use_the_index_of_types(store: SqliteStore) -> None:
    """A rare type is found at once."""
    plan = await store._connections.read(
        lambda connection: [
            row[3]
            for row in connection.execute(
                "EXPLAIN QUERY PLAN SELECT * FROM event_store WHERE global_position > 0 "
                "AND event_type IN ('Rare') ORDER BY global_position LIMIT 10"
            )
        ]
    )
    assert any("idx_event_store_event_type" in step for step in plan), plan


@pytest.mark.parametrize("name", ["aggregate_ids", "snapshot_ids"])
async def test_a_page_of_ids_sorts_nothing(store: SqliteStore, name: str) -> None:
    """Else each page would go through all events of the type."""
    query = f"EXPLAIN QUERY PLAN {named_queries('hitherto.infrastructure.sqlite')[name]}"
    plan = await store._connections.read(
        lambda connection: [row[3] for row in connection.execute(query, ("Thing", "", 5))]
    )
    assert not any("TEMP B-TREE" in step for step in plan), plan
