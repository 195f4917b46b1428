"""Appends under contention: each ends in the right error or in success, none spins or stalls."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from tests.acceptance.postgres_writers import Writer, an_append, new_event, writers

from hitherto import AggregateLocked, AggregateVersionConflict, EventStoreError, InvalidInput
from hitherto.application.records import Append
from hitherto.infrastructure.postgres import PostgresStore

pytestmark = pytest.mark.integration


@pytest.fixture
async def store(postgres_url: str, postgres_schema: str) -> AsyncIterator[PostgresStore]:
    """An empty store."""
    store = PostgresStore(postgres_url, schema=postgres_schema, max_connections=10)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def other(
    postgres_url: str, store: PostgresStore, postgres_schema: str
) -> AsyncIterator[Writer]:
    """A session of somebody else's."""
    async with writers(postgres_url, postgres_schema, 1) as found:
        yield found[0]


async def outcomes(*appends: "asyncio.Future[object]") -> list[object]:
    """What became of each, within a second."""
    async with asyncio.timeout(5):
        return list(await asyncio.gather(*appends, return_exceptions=True))


def append(store: PostgresStore, *group: Append) -> "asyncio.Task[object]":
    """An append under way."""
    return asyncio.ensure_future(store.append(group))


async def test_of_fifty_appends_at_one_version_one_wins(store: PostgresStore) -> None:
    """The others are told the version that won."""
    results = await outcomes(*(append(store, an_append("a", 0, n % 3 + 1)) for n in range(50)))
    lost = [result for result in results if isinstance(result, AggregateVersionConflict)]
    assert len(lost) == 49
    head = len(await store.read("a"))
    assert {conflict.actual for conflict in lost} == {head}


async def test_fifty_sends_of_one_append_at_once_all_succeed_and_write_once(
    store: PostgresStore,
) -> None:
    """They meet at the index of event ids as well as at that of versions."""
    for turn in range(5):
        same = an_append(f"a{turn}", 0, 3)
        results = await outcomes(*(append(store, same) for _ in range(50)))
        assert len(set(map(str, results))) == 1, results
        assert len(await store.read(f"a{turn}")) == 3


async def test_a_second_send_waits_for_the_first_and_succeeds(
    store: PostgresStore, other: Writer, postgres_schema: str
) -> None:
    """The first send of the same append is still in flight, as after a lost connection."""
    same = an_append("a", 0, 2)
    await other("BEGIN")
    for version, event in enumerate(same.events, 1):
        await other.session.execute(
            f"""INSERT INTO {postgres_schema}.event_store (event_id, event_type, aggregate_id,
                aggregate_type, event_version, event_data, occurred_at)
                VALUES ($1, $2, 'a', 'Thing', $3, '{{}}', now())""",
            event.event_id, event.event_type, version,
        )  # fmt: skip
    second = append(store, same)
    await asyncio.sleep(0.1)
    assert not second.done()
    await other("COMMIT")
    assert await outcomes(second) == [(2,)]


async def test_an_open_transaction_on_one_aggregate_stalls_no_other(
    store: PostgresStore, other: Writer
) -> None:
    """Appends to that aggregate are told so within a second; all others go on meanwhile."""
    await other("BEGIN")
    await other.append("held")
    blocked = [append(store, an_append("held")) for _ in range(12)]
    free = await outcomes(*(append(store, an_append(f"free-{n}")) for n in range(50)))
    assert not any(isinstance(result, Exception) for result in free)
    assert not any(each.done() for each in blocked)
    async with asyncio.timeout(3):
        for result in await outcomes(*blocked):
            assert isinstance(result, AggregateLocked)
    await other("ROLLBACK")
    assert await outcomes(append(store, an_append("held"))) != [None]
    assert len(await store.read("held")) == 1


async def test_a_rival_that_rolls_back_leaves_the_version_to_the_append_that_waited(
    store: PostgresStore, other: Writer
) -> None:
    """Nothing of the rival counts."""
    await other("BEGIN")
    await other.append("a")
    waiting = append(store, an_append("a"))
    await asyncio.sleep(0.1)
    await other("ROLLBACK")
    assert await outcomes(waiting) == [(2,)]


async def test_groups_in_opposite_orders_do_not_deadlock(store: PostgresStore) -> None:
    """Each group is written in the order of its ids, whatever order it was given in."""
    names = [f"a{n}" for n in range(8)]
    for expected in range(5):
        forth = [an_append(name, expected) for name in names]
        back = [an_append(name, expected) for name in reversed(names)]
        results = await outcomes(append(store, *forth), append(store, *back))
        lost = [result for result in results if isinstance(result, AggregateVersionConflict)]
        assert len(lost) == 1, results
        for name in names:
            assert len(await store.read(name)) == expected + 1


async def test_an_event_id_stored_elsewhere_is_refused_and_writes_nothing(
    store: PostgresStore,
) -> None:
    """A true duplicate is told from a second send."""
    first = an_append("a", 0, 2)
    await store.append([first])
    stolen = Append(
        aggregate_id="b",
        aggregate_type="Thing",
        expected_version=0,
        events=(new_event(), first.events[1]),
    )
    with pytest.raises(InvalidInput, match=str(first.events[1].event_id)):
        await store.append([stolen])
    assert await store.read("b") == []


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
async def test_a_transaction_with_a_stale_view_is_refused(
    store: PostgresStore, other: Writer, level: str
) -> None:
    """It could not see a rival, and would spin on it."""
    await other(f"BEGIN ISOLATION LEVEL {level}")
    await other.session.fetch("SELECT 1")
    await store.append([an_append("a")])
    with pytest.raises(asyncpg.PostgresError, match=f"READ COMMITTED, not {level}") as refused:
        await other.append("a", 0)
    assert refused.value.sqlstate == "HH001"
    await other("ROLLBACK")


async def test_a_lock_timeout_is_no_longer_in_force_after_the_append(other: Writer) -> None:
    """The append function does not change its caller's session."""
    await other("SET lock_timeout = '7s'")
    await other("BEGIN")
    await other.append("a")
    assert await other.session.fetchval("SHOW lock_timeout") == "7s"
    await other("COMMIT")


async def test_cancelled_appends_leave_the_pool_clean(store: PostgresStore) -> None:
    """Half of many tasks are cancelled at any point; each append is there whole or not at all."""
    tasks = [append(store, an_append(f"a{n}", 0, 2)) for n in range(200)]
    for number, task in enumerate(tasks):
        if number % 2:
            await asyncio.sleep(0)
            task.cancel()
    results = await outcomes(*tasks)
    assert not any(isinstance(result, Exception) for result in results[::2])
    for number in range(200):
        assert len(await store.read(f"a{number}")) in ({2} if number % 2 == 0 else {0, 2})
    async with asyncio.timeout(10):  # What is announced beside the appends ends soon.
        while (use := store.usage().pool) is not None and use.idle < use.size:
            await asyncio.sleep(0.01)
    assert use is not None
    assert use.size <= 10


async def test_a_closed_store_says_so(store: PostgresStore) -> None:
    """No operation hangs on a store that is closed."""
    await store.close()
    with pytest.raises(EventStoreError, match="closed"):
        await store.append([an_append("a")])
