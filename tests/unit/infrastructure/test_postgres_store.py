"""Moments of an append that two writers seldom hit by chance."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.acceptance.postgres_writers import Writer, an_append, writers

from hitherto import AggregateVersionConflict, InvalidInput
from hitherto.infrastructure.postgres import PostgresStore

pytestmark = pytest.mark.integration


@pytest.fixture
async def store(postgres_url: str, postgres_schema: str) -> AsyncIterator[PostgresStore]:
    """An empty store."""
    store = PostgresStore(postgres_url, schema=postgres_schema)
    await store.open()
    yield store
    await store.close()


async def waiting(writer: Writer, count: int) -> None:
    """Return when so many sessions wait for a lock in the writer's schema."""
    query = """SELECT count(*) FROM pg_stat_activity
               WHERE wait_event_type = 'Lock' AND query LIKE '%' || $1 || '%'"""
    while await writer.session.fetchval(query, writer.schema) < count:
        await asyncio.sleep(0.005)


async def test_groups_that_meet_halfway_do_not_deadlock(
    store: PostgresStore, postgres_url: str, postgres_schema: str
) -> None:
    """Each is written in the order of its ids: one waits for the other, and loses whole."""
    async with writers(postgres_url, postgres_schema, 2) as (holder, watcher):
        await asyncio.gather(*(store.read("a") for _ in range(2)))  # Opens the connections.
        await holder("BEGIN")
        await holder.append("m")
        groups: list[asyncio.Task[Any]] = []
        for names in ("amz", "zma"):
            group = [an_append(name) for name in names]
            groups.append(asyncio.create_task(store.append(group)))
            await waiting(watcher, len(groups))
        await holder("ROLLBACK")
        results = await asyncio.gather(*groups, return_exceptions=True)
    assert isinstance(results[0], tuple)
    assert isinstance(results[1], AggregateVersionConflict)


async def test_a_send_that_meets_its_twin_at_the_index_of_event_ids_succeeds(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was refused because the other one's row came between; then it finds that row its own."""
    session = store._connections.session

    @asynccontextmanager
    async def met() -> AsyncIterator[Any]:
        monkeypatch.undo()
        async with session() as connection:
            yield connection
        raise InvalidInput("event id … is stored already")

    monkeypatch.setattr(store._connections, "session", met)
    assert await store.append([an_append("a", 0, 2)]) == (2,)
    assert len(await store.read("a")) == 2
