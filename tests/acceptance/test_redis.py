"""Publishing to Redis Streams, on a real server."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.acceptance.detours import Detour
from tests.acceptance.publishing import (
    Arrived,
    Noted,
    PublisherSuite,
    assert_whole,
    note,
    persistently,
)
from tests.brokers import RedisServer
from tests.messages import a_history, a_message

from hitherto import ProjectionWorker, connect
from hitherto.application.cloudevents import cloud_event
from hitherto.application.relay import Message, Relay
from hitherto.errors import MessageRefused, PublisherUnavailable
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
    async with RedisPublisher(broker.url) as publisher:
        yield publisher


@pytest.fixture
async def impatient(broker: RedisServer) -> AsyncIterator[RedisPublisher]:
    async with RedisPublisher(broker.url, timeout=1.0) as publisher:
        yield publisher


def let_an_hour_pass(broker: RedisServer, stream: str = "events") -> None:
    """For the ids that are remembered."""
    script = """for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
                    redis.call('ZINCRBY', KEYS[1], -3600, id)
                end"""
    broker.cli("EVAL", script, "1", f"{stream}:ids")


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
    broker: RedisServer, publisher: RedisPublisher
) -> None:
    """Nothing is forgotten while nothing is published."""
    history = a_history("order-1", 4)
    await publisher.publish(history)
    let_an_hour_pass(broker)
    await publisher.publish(history)
    assert_whole(await arrived(broker), [history])


async def test_ids_are_forgotten_after_a_while(broker: RedisServer) -> None:
    """Else they would fill the memory."""
    async with RedisPublisher(broker.url, remember=0) as publisher:
        await publisher.publish(a_history("order-1", 20))
        async with asyncio.timeout(30):
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


LIMITS = ["proto-max-bulk-len", "client-query-buffer-limit"]


def a_large(size: int, **changes: object) -> Message:
    return a_message(data=f'"{"x" * size}"', **changes)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("size", [1_100_000, 20_000_000])
async def test_a_message_above_a_limit_of_the_server_is_refused(
    broker: RedisServer, publisher: RedisPublisher, limit: str, size: int
) -> None:
    """It will never be taken, whether Redis says so or cuts the connection; others are."""
    broker.cli("CONFIG", "SET", limit, "1048576")
    large = a_large(size, version=2)
    for messages in ([large], [a_message(), large, a_message(version=3)]):
        with pytest.raises(MessageRefused, match=r"'order-1' at version 2: .* limit, 1048576"):
            await publisher.publish(messages)
    await publisher.publish(others := a_history("order-2", 3))
    assert_whole(await arrived(broker), [others])


@pytest.mark.parametrize("limit", LIMITS)
async def test_a_message_just_below_a_limit_of_the_server_is_taken(
    broker: RedisServer, publisher: RedisPublisher, limit: str
) -> None:
    """Not more is refused than has to be; the envelope counts."""
    envelope = len(cloud_event(a_large(0)))
    broker.cli("CONFIG", "SET", limit, "2000000")
    message = a_large(2_000_000 - 2 - envelope)
    await publisher.publish([message])
    with pytest.raises(MessageRefused):
        await publisher.publish([a_large(2_000_000 - 1 - envelope)])
    assert_whole(await arrived(broker), [[message]])


async def test_where_its_limits_may_not_be_asked_for_the_server_tells(broker: RedisServer) -> None:
    """Now and then; at other times the connection is gone before that is heard."""
    broker.cli("CONFIG", "SET", "proto-max-bulk-len", "1048576")
    broker.cli("ACL", "SETUSER", "ann", "on", ">s3cret", "~*", "+@all", "-config")
    url = broker.url.replace("//", "//ann:s3cret@")
    async with RedisPublisher(url) as publisher:
        with pytest.raises(MessageRefused, match=r"'order-1' at version 1: .*invalid bulk length"):
            await persistently(publisher, [a_large(1_100_000)])


async def test_a_refused_message_is_parked_and_the_relay_goes_on(
    broker: RedisServer, publisher: RedisPublisher
) -> None:
    """With those behind it."""
    broker.cli("CONFIG", "SET", "proto-max-bulk-len", "1048576")
    async with connect("memory:", max_payload=3_000_000) as store:
        await note(store, "book-1", "x" * 2_000_000, "behind")
        await note(store, "book-2", "other")
        relay = Relay("notes", publisher, types=Noted)
        async with asyncio.timeout(60):
            await ProjectionWorker(store, relay, attempts=2).catch_up()
        parked = await store.backend.checkpoints.parked("notes")
        assert [(each.aggregate_id, each.version) for each in parked] == [
            ("book-1", 1), ("book-1", 2),
        ]  # fmt: skip
        assert "above Redis's limit" in (parked[0].error or "")
    assert [each.event["data"] for each in await arrived(broker)] == [{"text": "other"}]


async def test_a_batch_that_is_large_goes_in_parts(
    broker: RedisServer, publisher: RedisPublisher
) -> None:
    """None keeps Redis from others for long, or the answer away until it counts as an outage."""
    history = [a_large(300_000, version=version) for version in range(1, 21)]
    broker.cli("CONFIG", "RESETSTAT")
    await publisher.publish(history)
    assert_whole(await arrived(broker), [history])
    assert "cmdstat_eval:calls=7," in broker.cli("INFO", "commandstats")


async def test_a_large_batch_whose_answer_was_lost_repeats_nothing(
    broker: RedisServer, publisher: RedisPublisher
) -> None:
    """Its first part does not make Redis forget what the last one brought."""
    history = [a_large(300_000, version=version) for version in range(1, 9)]
    await publisher.publish(history)
    let_an_hour_pass(broker)
    await publisher.publish(history)
    assert_whole(await arrived(broker), [history])


async def test_a_lasting_outage_of_one_stream_repeats_nothing_in_the_others(
    broker: RedisServer,
) -> None:
    """The batch is published again and again until all of it is taken."""
    broker.cli("SET", "Paid", "no stream")
    placed = [a_message(event_type="Placed", version=version) for version in (1, 2)]
    async with RedisPublisher(broker.url, stream="{event_type}") as publisher:
        for _ in range(3):
            with pytest.raises(PublisherUnavailable, match="WRONGTYPE"):
                await publisher.publish([*placed, a_message(version=3)])
            let_an_hour_pass(broker, "Placed")
    assert_whole(await arrived(broker, "Placed"), [placed])


async def test_no_message_overtakes_one_of_its_aggregate_that_goes_to_another_stream(
    broker: RedisServer,
) -> None:
    """Where that one is not taken, none behind it is."""
    broker.cli("SET", "Paid", "no stream")
    types = ["Placed", "Paid", "Placed", "Sent"]
    history = [a_message(event_type=each, version=at + 1) for at, each in enumerate(types)]
    others = [a_message(aggregate_id="order-2", event_type="Placed", version=1)]
    async with RedisPublisher(broker.url, stream="{event_type}") as publisher:
        with pytest.raises(PublisherUnavailable, match="WRONGTYPE"):
            await publisher.publish([*history, *others])
        assert [each.id for each in await arrived(broker, "Placed", "Sent")] == [history[0].id]
        broker.cli("DEL", "Paid")
        await publisher.publish([*history, *others])
    assert [each.id for each in await arrived(broker, "Placed")] == [
        history[0].id, history[2].id, others[0].id,
    ]  # fmt: skip
    assert [each.id for each in await arrived(broker, "Paid", "Sent")] == [
        history[1].id, history[3].id,
    ]  # fmt: skip


async def test_a_stream_is_never_named_like_the_ids_of_another(broker: RedisServer) -> None:
    """Else who may choose an aggregate's id could stop the relay for ever."""
    ids = ["a", "a:ids", "a:ids:ids", "ids", ":ids", "a%3Aids"]
    async with RedisPublisher(broker.url, stream="{aggregate_id}") as publisher:
        await publisher.publish([a_message(aggregate_id=each) for each in ids])
    found = await arrived(broker, "a", "a%3Aids", "a:ids%3Aids", "ids", "%3Aids", "a%253Aids")
    assert [each.event["subject"] for each in found] == ids


async def test_nor_is_it_where_the_template_makes_that_of_an_id(broker: RedisServer) -> None:
    """The name counts, whatever of it is the id."""
    ids = ["a", "as:id"]
    async with RedisPublisher(broker.url, stream="{aggregate_id}s") as publisher:
        for each in ids:
            await publisher.publish([a_message(aggregate_id=each)])
    found = await arrived(broker, "as", "as%3Aids")
    assert [each.event["subject"] for each in found] == ids


async def test_a_server_that_became_a_replica_is_left(broker: RedisServer) -> None:
    """Its name leads to another one by now; the connection would stay with it."""
    other = RedisServer()
    history = a_history("order-1", 2)
    async with (
        Detour(broker.port).there() as way,
        RedisPublisher(f"redis://127.0.0.1:{way.port}") as publisher,
    ):
        await publisher.publish(history[:1])
        broker.cli("REPLICAOF", "127.0.0.1", str(other.port))
        way.leads_to = other.port
        with pytest.raises(PublisherUnavailable, match="read only replica"):
            await publisher.publish(history)
        await publisher.publish(history)
    assert_whole(await arrived(other), [history])
    other.stop()


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
