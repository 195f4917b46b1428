"""What waits for a synchronous standby is not acknowledged before the standby has it."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from msgspec import structs
from tests.acceptance.postgres_stores import opened
from tests.acceptance.postgres_writers import an_append, new_event
from tests.faults.pair import Pair
from tests.servers import new_schema

from hitherto import EventStoreUnavailable
from hitherto.application.records import Append, PlacedEvent
from hitherto.infrastructure.postgres import PostgresStore

pytestmark = pytest.mark.integration

_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
_TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
_HANGS = 1.0  # seconds, many times what an append takes


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Two servers of these tests."""
    pair = Pair.start()
    yield pair
    pair.stop()


@pytest.fixture
async def store(pair: Pair) -> AsyncIterator[PostgresStore]:
    """An empty store on the primary."""
    async with opened(pair.primary.url(), new_schema()) as store:
        yield store


@pytest.mark.parametrize(
    "asked",
    [
        [an_append("a", 0, 1)],
        [an_append("a", 0, 3)],
        [an_append("a", 0, 300)],
        [an_append("a", 0, 2), an_append("b", 0, 1)],
    ],
    ids=["one event", "several", "very many", "together"],
)
async def test_a_repeat_is_not_acknowledged_before_the_standby_has_what_it_repeats(
    pair: Pair, store: PostgresStore, asked: list[Append]
) -> None:
    """Whoever wrote it was terminated while it waited: it can be read, and would yet be lost."""
    with pair.standby_away():
        first = asyncio.create_task(store.append(asked))
        await _waits_for_standby(pair)
        await asyncio.to_thread(pair.primary.psql, _TERMINATE)
        with pytest.raises(EventStoreUnavailable):
            await first
        assert len(await store.read("a")) == len(asked[0].events)
        repeat = asyncio.create_task(store.append(asked))
        done, _ = await asyncio.wait([repeat], timeout=_HANGS)
        assert not done
        await _waits_for_standby(pair)
    async with asyncio.timeout(30):
        positions = await repeat
    stored = [await store.read(each.aggregate_id) for each in asked]
    assert positions == tuple(events[-1].position for events in stored)


async def test_a_repeated_import_is_not_acknowledged_before_the_standby_has_it(
    pair: Pair, store: PostgresStore
) -> None:
    """It finds that all of it stands already."""
    history = [
        PlacedEvent(
            **structs.asdict(new_event()), aggregate_id="a", aggregate_type="Thing", version=number
        )
        for number in (1, 2, 3)
    ]
    with pair.standby_away():
        first = asyncio.create_task(store.import_events(history))
        await _waits_for_standby(pair)
        await asyncio.to_thread(pair.primary.psql, _TERMINATE)
        with pytest.raises(EventStoreUnavailable):
            await first
        repeat = asyncio.create_task(store.import_events(history))
        done, _ = await asyncio.wait([repeat], timeout=_HANGS)
        assert not done
    async with asyncio.timeout(30):
        assert await repeat == 0


async def _waits_for_standby(pair: Pair) -> None:
    async with asyncio.timeout(10):
        while await asyncio.to_thread(pair.primary.psql, _WAITING) == "0":
            await asyncio.sleep(0.01)
