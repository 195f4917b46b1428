"""Publishing to Redis Streams, on a real server."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.acceptance.publishing import Arrived, PublisherSuite, assert_whole
from tests.brokers import RedisServer
from tests.messages import a_history, a_message

from hitherto.errors import PublisherUnavailable
from hitherto.infrastructure.redis import RedisPublisher

pytestmark = pytest.mark.integration


async def arrived(broker: RedisServer, *streams: str) -> list[Arrived]:
    redis: Any = Redis(port=broker.port, decode_responses=True)
    async with redis:
        return [
            Arrived(stream, fields["id"], json.loads(fields["event"]))
            for stream in streams or ["events"]
            for _, fields in await redis.xrange(stream)
        ]


@pytest.fixture
def broker() -> Iterator[RedisServer]:
    """An empty server that keeps what it has confirmed."""
    server = RedisServer()
    yield server
    server.stop()


@pytest.fixture
async def publisher(broker: RedisServer) -> AsyncIterator[RedisPublisher]:
    async with RedisPublisher(broker.url, timeout=1.0) as publisher:
        yield publisher


class TestRedis(PublisherSuite):
    async def arrived(self, broker: RedisServer) -> list[Arrived]:
        return await arrived(broker)


async def test_the_stream_follows_from_the_template(broker: RedisServer) -> None:
    """One stream for each type of aggregate, say."""
    orders, parcels = a_history("order-1", 3), a_history("parcel-1", 2)
    messages = [orders[0], *(a_message(aggregate_type="Parcel", id=each.id) for each in parcels)]
    async with RedisPublisher(broker.url, stream="{aggregate_type}s") as publisher:
        await publisher.publish([*messages, *orders[1:]])
    assert [each.id for each in await arrived(broker, "Orders")] == [each.id for each in orders]
    assert [each.id for each in await arrived(broker, "Parcels")] == [each.id for each in parcels]


async def test_an_answer_that_was_lost_for_longer_than_ids_are_remembered_repeats_nothing(
    broker: RedisServer,
) -> None:
    """Nothing is forgotten while nothing is published."""
    history = a_history("order-1", 4)
    async with RedisPublisher(broker.url, remember=0) as publisher:
        await publisher.publish(history)
        await asyncio.sleep(1.1)  # ids are remembered by the second
        await publisher.publish(history)
    assert_whole(await arrived(broker), [history])


async def test_ids_are_forgotten_after_a_while(broker: RedisServer) -> None:
    """Else they would fill the memory."""
    async with RedisPublisher(broker.url, remember=0) as publisher:
        await publisher.publish(a_history("order-1", 20))
        async with asyncio.timeout(10):
            while int(broker.cli("ZCARD", "events:ids").strip().lstrip(":")) >= 20:
                await asyncio.sleep(0.1)
                await publisher.publish([a_message()])


async def test_where_memory_is_short_a_batch_is_not_taken_at_all(
    broker: RedisServer, publisher: RedisPublisher
) -> None:
    """It is an outage, and goes on when there is room."""
    history = a_history("order-1", 5)
    broker.cli("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(PublisherUnavailable, match="maxmemory"):
        await publisher.publish(history)
    broker.cli("CONFIG", "SET", "maxmemory", "0")
    assert await arrived(broker) == []
    await publisher.publish(history)
    assert_whole(await arrived(broker), [history])


async def test_a_key_of_another_kind_is_told(
    broker: RedisServer, publisher: RedisPublisher
) -> None:
    """It can be mended there; no event is to blame."""
    broker.cli("SET", "events", "x")
    with pytest.raises(PublisherUnavailable, match="WRONGTYPE"):
        await publisher.publish([a_message()])


async def test_a_wrong_password_is_told_without_it(broker: RedisServer) -> None:
    """Errors are logged."""
    broker.cli("CONFIG", "SET", "requirepass", "s3cret")
    for url in (broker.url, broker.url.replace("//", "//:wr0ng@")):
        async with RedisPublisher(url) as publisher:
            with pytest.raises(PublisherUnavailable) as refused:
                await publisher.publish([a_message()])
        assert "wr0ng" not in str(refused.value)
    async with RedisPublisher(broker.url.replace("//", "//:s3cret@")) as publisher:
        await publisher.publish([a_message()])
