"""A projection's effects, by each way to write them: exactly once, or not at all."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from tests.acceptance.transaction_ways import ALL, Ways
from tests.contract.projecting import deposit

from hitherto import HandlerFailed, LeaseLost, ProjectionWorker, Store, connect
from hitherto.application.checkpoints import Generation, Progress

pytestmark = pytest.mark.integration

_TABLE = "CREATE TABLE {schema}.paid (place text PRIMARY KEY, amount int)"


@pytest_asyncio.fixture(params=ALL)
async def ways(
    request: pytest.FixtureRequest, postgres_url: str, postgres_schema: str
) -> AsyncGenerator[Ways]:
    async with request.param(postgres_url, postgres_schema) as found:
        yield found


@pytest_asyncio.fixture
async def store(ways: Ways) -> AsyncGenerator[Store]:
    async with connect(ways.url, schema=ways.schema, max_connections=5) as store:
        await ways.rows(_TABLE)
        ways.transactions = ways.transactions or store.backend.checkpoints
        yield store


def _worker(store: Store, ways: Ways, **options: Any) -> ProjectionWorker[Any]:
    return ProjectionWorker(store, ways.projection, transactions=ways.transactions, **options)


async def test_effects_and_checkpoint_are_one_transaction(store: Store, ways: Ways) -> None:
    """Each event once, over several workers."""
    await deposit(store, "a", 1, 2)
    await _worker(store, ways).catch_up()
    await deposit(store, "a", 3)
    await _worker(store, ways).catch_up()
    rows = await ways.rows("SELECT place, amount FROM {schema}.paid ORDER BY place")
    assert rows == [("a-2", 1), ("a-3", 2), ("a-4", 3)]


async def test_a_handler_that_fails_leaves_nothing(store: Store, ways: Ways) -> None:
    """What it had written is gone, so the next attempt is not refused."""
    await deposit(store, "a", 1, 2)
    ways.projection.fail_once = True
    await _worker(store, ways).catch_up()
    assert await ways.rows("SELECT count(*) FROM {schema}.paid") == [(2,)]
    assert await store.backend.checkpoints.parked("paid") == []


async def test_a_worker_that_was_replaced_writes_nothing(store: Store, ways: Ways) -> None:
    """Its token is too old."""
    position = await deposit(store, "a", 1)
    checkpoints = store.backend.checkpoints
    generation = await checkpoints.prepare(
        "paid", version=1, partitions=1, rebuild=False, setup=lambda *_: None
    )
    (old,) = (await checkpoints.attend(generation, "one", lease=0.01, held={})).leases
    await asyncio.sleep(0.02)
    await checkpoints.attend(generation, "other", lease=60, held={})
    with pytest.raises(LeaseLost):
        await _advance(ways, _progress(generation, old.token, position))
    assert await ways.rows("SELECT count(*) FROM {schema}.paid") == [(0,)]


async def test_an_error_is_told_as_the_handlers(store: Store, ways: Ways) -> None:
    """With its cause; also one that the server raises."""
    position = await deposit(store, "a", 1)
    checkpoints = store.backend.checkpoints
    generation = await checkpoints.prepare(
        "paid", version=1, partitions=1, rebuild=False, setup=lambda *_: None
    )
    (lease,) = (await checkpoints.attend(generation, "one", lease=60, held={})).leases
    progress = _progress(generation, lease.token, position)
    await _advance(ways, progress)
    with pytest.raises(HandlerFailed, match="paid"):
        await _advance(ways, progress)


async def test_a_connection_that_is_cut_is_an_outage(store: Store, ways: Ways) -> None:
    """It counts no attempt, and the batch is done again."""
    await deposit(store, "a", 1)
    projection, cut = ways.projection, [True]
    insert = projection.insert

    async def insert_and_cut(connection: Any, place: str, amount: int) -> None:
        await insert(connection, place, amount)
        if cut.pop() if cut else False:
            await ways.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE state = 'idle in transaction' AND query LIKE 'INSERT INTO {schema}.paid%'"
            )
            await insert(connection, f"{place}-again", amount)

    projection.insert = insert_and_cut  # type: ignore[method-assign]
    await _worker(store, ways, attempts=1).catch_up()
    assert await ways.rows("SELECT place FROM {schema}.paid") == [("a-2",)]
    assert await store.backend.checkpoints.parked("paid") == []


def _progress(generation: Generation, token: int, position: int) -> Progress:
    return Progress(
        generation=generation, leases={0: token}, position=position, handled={0: 1}, lease=60
    )


async def _advance(ways: Ways, progress: Progress) -> None:
    assert ways.transactions is not None
    await ways.transactions.advance(progress, lambda it: ways.projection.insert(it, "x", 1))
