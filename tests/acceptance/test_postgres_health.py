"""Whoever holds the readers of the log back is named, so that it can be ended."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from tests.acceptance.postgres_stores import opened
from tests.acceptance.postgres_writers import Writer, an_append, writers
from tests.servers import start_cluster

from hitherto.application.health import Health
from hitherto.infrastructure.postgres import PostgresStore
from hitherto.infrastructure.postgres import health as module

pytestmark = pytest.mark.integration


@pytest.fixture
async def store(
    postgres_url: str, postgres_schema: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PostgresStore]:
    """An empty store that does not tolerate much."""
    monkeypatch.setattr(module, "_HELD_TOO_LONG", 0.2)
    async with opened(postgres_url, postgres_schema) as store:
        yield store


@pytest.fixture
async def writer(
    store: PostgresStore, postgres_url: str, postgres_schema: str
) -> AsyncIterator[Writer]:
    """A session that appends."""
    async with writers(postgres_url, postgres_schema, 1) as (writer,):
        yield writer


def told(health: Health) -> list[str]:
    """What it says of those who hold the readers back."""
    return [problem for problem in health.problems if "readers of the log" in problem]


async def test_nobody_is_blamed_for_a_moment(
    store: PostgresStore, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An append in flight is nothing to tell of, nor a transaction that has not appended."""
    await writer("BEGIN")
    await writer("SELECT 1")
    await asyncio.sleep(0.3)
    assert told(await store.health_check()) == []
    await writer("COMMIT")
    monkeypatch.setattr(module, "_HELD_TOO_LONG", 60.0)
    await writer("BEGIN")
    await writer.append("a")
    health = await store.health_check()
    assert (told(health), health.watermark_lag) == ([], 1)
    await writer("COMMIT")


async def test_an_open_transaction_is_named_by_its_process(
    store: PostgresStore, writer: Writer
) -> None:
    """As long as it lasts."""
    process = await writer.session.fetchval("SELECT pg_backend_pid()")
    loop = asyncio.get_running_loop()
    start = loop.time()
    await writer("BEGIN")
    await writer.append("a")
    await asyncio.sleep(0.3)
    health = await store.health_check()
    assert health.status == "degraded"
    (problem,) = told(health)
    assert f"process {process} " in problem
    (seconds,) = re.findall(r"has been open for (\d+) s", problem)
    assert int(seconds) < loop.time() - start + 0.6
    await writer("ROLLBACK")
    assert told(await store.health_check()) == []


async def test_a_forgotten_prepared_transaction_is_named(
    store: PostgresStore, writer: Writer
) -> None:
    """With what ends it; no process has it any more."""
    name = f"{writer.schema}'s"
    quoted = name.replace("'", "''")
    await writer("BEGIN")
    await writer("SAVEPOINT one")
    await writer.append("a")
    await writer(f"PREPARE TRANSACTION '{quoted}'")
    try:
        await asyncio.sleep(0.3)
        (problem,) = told(await store.health_check())
    finally:
        await writer(f"ROLLBACK PREPARED '{quoted}'")
    assert f"ROLLBACK PREPARED '{quoted}'" in problem
    assert "None" not in problem
    assert told(await store.health_check()) == []


async def test_the_one_that_is_named_is_the_one_whose_time_is_told(
    store: PostgresStore, writer: Writer, postgres_url: str
) -> None:
    """Beside an old transaction a younger prepared one, which no process has."""
    process = await writer.session.fetchval("SELECT pg_backend_pid()")
    async with writers(postgres_url, writer.schema, 1) as (second,):
        await writer("BEGIN")
        await writer.append("a")
        await asyncio.sleep(0.3)
        await second("BEGIN")
        await second.append("b")
        await second(f"PREPARE TRANSACTION '{writer.schema}'")
        try:
            (problem,) = told(await store.health_check())
        finally:
            await second(f"ROLLBACK PREPARED '{writer.schema}'")
            await writer("ROLLBACK")
    assert f"process {process} " in problem


async def test_a_prepared_transaction_is_named_after_a_crash_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It outlives the server's process; its locks look different then."""
    monkeypatch.setattr(module, "_HELD_TOO_LONG", 0.2)
    cluster = start_cluster()
    try:
        async with opened(cluster.url(), "crash") as store:
            async with writers(cluster.url(), "crash", 1) as (writer,):
                await writer("BEGIN")
                await writer.append("a")
                await writer("PREPARE TRANSACTION 'forgotten'")
            await asyncio.to_thread(cluster.restart, mode="immediate")
        async with opened(cluster.url(), "crash") as store:
            await store.append([an_append("b")])
            await asyncio.sleep(0.3)  # A restart may take less than is too long here.
            (problem,) = told(await store.health_check())
    finally:
        cluster.stop()
    assert "ROLLBACK PREPARED 'forgotten'" in problem
