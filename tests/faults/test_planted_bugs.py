"""A matrix that finds nothing proves nothing: here are bugs that it has to find."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from tests.faults import load as load_module
from tests.faults.backends import Place
from tests.faults.load import Load
from tests.faults.registry import execute, row
from tests.faults.row import Outcome, Run
from tests.faults.rows import writer_kills
from tests.faults.workload import recorded
from tests.servers import PostgresCluster, start_cluster

from hitherto import connect
from hitherto.application.ids import time_ordered_id
from hitherto.application.ports import Backend
from hitherto.application.records import Append, LogPage, Snapshot
from hitherto.errors import EventStoreUnavailable, HithertoError
from hitherto.infrastructure.memory import MemoryStore
from hitherto.infrastructure.postgres import schema as postgres_schema
from hitherto.infrastructure.resilience import Resilient
from hitherto.infrastructure.sql import named_queries
from hitherto.infrastructure.sqlite import SqliteStore, appending

pytestmark = pytest.mark.integration

_EVERY = 7  # appends until the bug shows


class Planted:
    """A backend with a bug; a subclass says which."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.appended = 0

    async def append(self, appends: Sequence[Append], **options: Any) -> tuple[int, ...]:
        self.appended += 1
        append = self.wrong if self.appended % _EVERY == 0 else self.inner.append
        return await append(appends, **options)

    async def wrong(self, appends: Sequence[Append], **options: Any) -> tuple[int, ...]:
        """Now and then this is done instead."""
        return await self.inner.append(appends, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def found(backend: Any, directory: Path, *, steps: int = 100) -> list[str]:
    """What is found when two clients work on a backend for a while."""
    outcome = Outcome()
    async with Load(
        Run(seed=1, count=0, directory=directory),
        lambda client: recorded(cast("Backend", backend), directory, client),
    ) as load:
        async with asyncio.timeout(60):
            while load.done < steps and not load.violations:
                await asyncio.sleep(0.01)
        await load.finish(outcome)
    return outcome.violations


def some(violations: Sequence[str], *words: str) -> bool:
    """Whether one of them has all the words."""
    return any(all(word in each for word in words) for each in violations)


async def test_a_store_without_a_bug_passes(tmp_path: Path) -> None:
    """Else the rest would say nothing."""
    assert await found(Planted(MemoryStore()), tmp_path) == []


class AcknowledgesWithoutWriting(Planted):
    async def wrong(self, appends: Sequence[Append], **options: Any) -> tuple[int, ...]:
        return (await self.inner.watermark() + 1,) * len(appends)


async def test_an_acknowledgement_without_a_write_is_found(tmp_path: Path) -> None:
    """It loses what was promised."""
    assert some(await found(AcknowledgesWithoutWriting(MemoryStore()), tmp_path), "lost: ")


class RetriesWithNewIds(Planted):
    """The first answer is lost, and the retry loads the version anew, so as not to conflict."""

    async def wrong(self, appends: Sequence[Append], **options: Any) -> tuple[int, ...]:
        await self.inner.append(appends, **options)
        return await self.inner.append([_after(append) for append in appends])


def _after(append: Append) -> Append:
    return msgspec.structs.replace(
        append,
        expected_version=append.expected_version + len(append.events),
        events=_with_new_ids(append),
    )


def _with_new_ids(append: Append) -> tuple[Any, ...]:
    return tuple(
        msgspec.structs.replace(event, event_id=time_ordered_id()) for event in append.events
    )


async def test_a_retry_with_new_ids_is_found(tmp_path: Path) -> None:
    """It writes twice."""
    assert some(await found(RetriesWithNewIds(MemoryStore()), tmp_path), "nobody asked for event")


class LosesAnswers(Planted):
    """What it writes stands, but the client is not told."""

    async def wrong(self, appends: Sequence[Append], **options: Any) -> tuple[int, ...]:
        await self.inner.append(appends, **options)
        raise EventStoreUnavailable("the answer is lost")


async def test_lost_answers_are_settled_by_the_ids(tmp_path: Path) -> None:
    """No bug: what is found in the next test is due to the missing look-up."""
    async with _sqlite(tmp_path) as store:
        assert await found(LosesAnswers(store), tmp_path) == []


async def test_a_repetition_without_a_look_up_of_the_ids_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes itself for its rival."""
    monkeypatch.setattr(appending, "standing_of", lambda *_: (0, 0))
    async with _sqlite(tmp_path) as store:
        assert some(await found(LosesAnswers(store), tmp_path), "false conflict", "to itself")


class WritesInParts(Planted):
    """It dies between two aggregates of a group."""

    async def append(self, appends: Sequence[Append], **options: Any) -> tuple[int, ...]:
        if len(appends) == 1:
            return await self.inner.append(appends, **options)
        await self.inner.append(appends[:1])
        raise ConnectionResetError


async def test_a_group_that_is_written_in_part_is_found(tmp_path: Path) -> None:
    """All or nothing; and the driver's error is one, too."""
    violations = await found(WritesInParts(MemoryStore()), tmp_path)
    assert some(violations, "written in part")
    assert some(violations, "was given ConnectionResetError")


class FailsAndWrites(Planted):
    async def wrong(self, appends: Sequence[Append], **options: Any) -> tuple[int, ...]:
        await self.inner.append(appends, **options)
        raise HithertoError("nothing was written")


async def test_a_failure_that_has_written_is_found(tmp_path: Path) -> None:
    """Failed says: nothing was written."""
    assert some(await found(FailsAndWrites(MemoryStore()), tmp_path), "failed, but written")


class SpoilsSnapshots(Planted):
    async def save_snapshot(self, snapshot: Snapshot, *, replacing: int | None = None) -> bool:
        spoilt = msgspec.structs.replace(snapshot, data='{"count":3,"total":7}')
        return await self.inner.save_snapshot(spoilt, replacing=replacing)


async def test_a_snapshot_that_is_not_the_fold_is_found(tmp_path: Path) -> None:
    """By who loads, and by who looks at the snapshots."""
    violations = await found(SpoilsSnapshots(MemoryStore()), tmp_path)
    assert some(violations, "WrongFold")
    assert some(violations, "the snapshot of")


class SkipsPages(Planted):
    """Its readers lose what is at the start of every third page."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.pages = 0

    async def read_all(self, *, after: int, limit: int, **filters: Any) -> LogPage:
        page = await self.inner.read_all(after=after, limit=limit, **filters)
        self.pages += limit < 1000  # The checker's are whole.
        if page.events and limit < 1000 and self.pages % 3 == 0:
            return msgspec.structs.replace(page, events=page.events[1:])
        return page


async def test_a_log_with_a_hole_for_its_follower_is_found(tmp_path: Path) -> None:
    """Every event is given."""
    assert some(await found(SkipsPages(MemoryStore()), tmp_path), "follower", "skipped")


class StaysDown(Planted):
    """After its first failure it never gets up again."""

    async def append(self, appends: Sequence[Append], **options: Any) -> tuple[int, ...]:
        self.appended += 1
        if self.appended > _EVERY:
            raise EventStoreUnavailable("still down")
        return await self.inner.append(appends, **options)


async def test_work_that_does_not_go_on_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recovery is by itself, and soon."""
    monkeypatch.setattr(load_module, "PATIENCE", 0.5)
    store = StaysDown(MemoryStore())
    async with Load(
        Run(seed=1, count=0, directory=tmp_path),
        lambda client: recorded(cast("Backend", store), tmp_path, client),
    ) as load:
        for _ in range(3):
            await load.goes_on()
    assert some(load.violations, "4 of 4 tasks have saved nothing", "does not read on")


_CARELESS = """
from hitherto.infrastructure.sqlite import connections
from tests.faults.dying import main
from tests.faults.workload import Worker

Worker._amounts = lambda _: [1] * 20  # so many that each is killed in the midst of a save
connections._written = lambda connection, work, **_: work(connection)
main()
"""


async def test_writers_without_transactions_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are killed between two events of a save."""
    program = tmp_path / "careless.py"
    program.write_text(_CARELESS)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setattr(writer_kills, "_PROGRAM", (str(program),))
    monkeypatch.setattr(writer_kills, "POINTS", {"sqlite": ["append/answered"]})
    monkeypatch.setattr(writer_kills, "places", _only_sqlite)
    assert some(await _violations("writer_kills", 20), "written in part")


def _only_sqlite(run: Run) -> list[Place]:
    return [Place("sqlite", f"sqlite:///{run.directory / 'store.db'}")]


async def test_a_server_that_acknowledges_before_its_log_is_written_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With `synchronous_commit` off, `kill -9` loses what was acknowledged."""

    def start_careless(*, durable: bool) -> PostgresCluster:
        cluster = start_cluster(durable=durable)
        asyncio.run(_with_tables(cluster.url()))
        for setting in ("synchronous_commit = off", "wal_writer_delay = '10s'"):
            cluster.run("psql", "-Xqd", cluster.url(), "-c", f"ALTER SYSTEM SET {setting}")
        cluster.restart()
        return cluster

    monkeypatch.setattr("tests.faults.rows.server_kills.start_cluster", start_careless)
    assert some(await _violations("server_kills", 4), "lost: ")


async def _with_tables(url: str) -> None:
    async with connect(url):
        pass


async def test_a_reader_without_the_watermark_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """`position > checkpoint` alone skips what is committed late."""
    highest = "SELECT coalesce(max(global_position), 0) FROM {schema}.event_store"
    careless = f"SELECT ({highest}) AS watermark, 0 AS held_back"

    def careless_queries(package: Any, resource: str) -> dict[str, str]:
        queries = named_queries(package, resource)
        return {**queries, "watermark": careless} if "watermark" in queries else queries

    monkeypatch.setattr(postgres_schema, "named_queries", careless_queries)
    assert some(await _violations("open_transaction"), "skipped positions")


async def test_a_full_disk_that_is_kept_quiet_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What did not fit was acknowledged."""
    append = SqliteStore.append

    async def quiet(
        self: SqliteStore, appends: Sequence[Append], **options: Any
    ) -> tuple[int, ...]:
        try:
            return await append(self, appends, **options)
        except EventStoreUnavailable:
            return tuple([10**6 for _ in appends])

    monkeypatch.setattr(SqliteStore, "append", quiet)
    monkeypatch.setattr("tests.faults.rows.disk_full._PATIENCE", 1.0)
    monkeypatch.setattr("tests.faults.rows.disk_full._STORE", {})  # A slow disk tells nobody.
    violations = await _violations("disk_full", 1)
    assert some(violations, "is full, and nobody was told")
    assert some(violations, "lost: ")


async def test_a_store_that_does_not_retry_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its clients meet every terminated session."""

    async def give_up(
        _self: Resilient, _name: str, _call: object, failures: list[HithertoError]
    ) -> None:
        raise failures[-1]

    monkeypatch.setattr(Resilient, "_retried", give_up)
    with contextlib.suppress(EventStoreUnavailable):  # Or the row breaks off, which is told too.
        assert some(
            await _violations("terminated_backends"),
            "terminated at statement",
            "EventStoreUnavailable",
        )


async def test_a_store_that_retries_with_new_ids_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decorator itself, above a backend whose answers are lost."""

    async def again(self: Resilient, appends: Sequence[Append], **_options: Any) -> tuple[int, ...]:
        try:
            return await self.backend.append(appends)
        except EventStoreUnavailable:
            fresh = [msgspec.structs.replace(e, events=_with_new_ids(e)) for e in appends]
            return await self.backend.append(fresh)

    monkeypatch.setattr(Resilient, "append", again)
    violations = await found(Resilient(cast("Backend", LosesAnswers(MemoryStore()))), tmp_path)
    assert some(violations, "false conflict", "to itself")
    assert some(violations, "failed, but written")


@contextlib.asynccontextmanager
async def _sqlite(directory: Path) -> AsyncIterator[Backend]:
    """Without the retries of `connect`."""
    store = SqliteStore(str(directory / "store.db"))
    await store.open()
    yield store
    await store.close()


async def _violations(name: str, count: int | None = None) -> list[str]:
    """What a row finds."""
    result = await execute(name, row(name), seed=1, count=count or row(name).quick)
    return result.outcome.violations
