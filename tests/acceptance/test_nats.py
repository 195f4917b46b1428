"""Publishing to NATS JetStream, on a real server."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from tests.acceptance.detours import Detour
from tests.acceptance.publishing import Arrived, Noted, PublisherSuite, note, persistently
from tests.brokers import NatsServer
from tests.messages import a_history, a_message

from hitherto import ProjectionWorker, connect
from hitherto.application.relay import Relay
from hitherto.errors import MessageRefused, PublisherUnavailable
from hitherto.infrastructure.nats import NatsPublisher

pytestmark = pytest.mark.integration

STREAM = "events"


@asynccontextmanager
async def stream_of(broker: NatsServer, **options: Any) -> AsyncIterator[JetStreamContext]:
    client = Client()
    await client.connect(broker.url, **options)
    try:
        yield JetStreamContext(client)
    finally:
        await client.close()


async def arrived(broker: NatsServer) -> list[Arrived]:
    async with stream_of(broker) as stream:
        last = (await stream.stream_info(STREAM)).state.last_seq
        found = [await stream.get_msg(STREAM, number + 1) for number in range(last)]
    return [
        Arrived(
            str(each.subject), (each.headers or {})["Nats-Msg-Id"], json.loads(each.data or b"")
        )
        for each in found
    ]


@pytest.fixture
async def broker() -> AsyncIterator[NatsServer]:
    """A server with a stream in a file."""
    server = NatsServer()
    async with stream_of(server) as stream:
        await stream.add_stream(name=STREAM, subjects=["events.>"], max_msg_size=50_000)
    yield server
    server.stop()


@pytest.fixture
async def publisher(broker: NatsServer) -> AsyncIterator[NatsPublisher]:
    async with NatsPublisher(broker.url) as publisher:
        yield publisher


@pytest.fixture
async def impatient(broker: NatsServer) -> AsyncIterator[NatsPublisher]:
    async with NatsPublisher(broker.url, timeout=1.0) as publisher:
        yield publisher


class TestNats(PublisherSuite):
    async def arrived(self, broker: NatsServer) -> list[Arrived]:
        return await arrived(broker)


async def test_the_subject_says_what_it_is_about(
    broker: NatsServer, publisher: NatsPublisher
) -> None:
    """Consumers choose by it."""
    await publisher.publish([a_message()])
    assert [each.address for each in await arrived(broker)] == ["events.Order.Paid"]


async def test_each_value_in_a_subject_is_one_token(broker: NatsServer) -> None:
    """Whatever ids and types are made of; different ones stay different."""
    ids = ["a.b", "a b", "a%2Eb", "*", ">", "tab\tand\nline", "é🦊", "x" * 255, "🦊" * 255]
    async with NatsPublisher(broker.url, subject="events.{aggregate_id}.{event_type}") as publisher:
        await publisher.publish([a_message(aggregate_id=each) for each in ids])
    found = {each.event["subject"]: each.address for each in await arrived(broker)}
    assert set(found) == set(ids)
    assert len(set(found.values())) == len(ids)
    assert all(subject.count(".") == 2 for subject in found.values())
    assert found["a.b"] == "events.a%2Eb.Paid"
    assert found["a%2Eb"] == "events.a%252Eb.Paid"


@pytest.mark.parametrize(
    ("size", "reason"), [(99_900, "above NATS's max_payload"), (60_000, "stream's max_msg_size")]
)
async def test_a_message_that_is_too_large_is_refused_and_holds_up_its_aggregate_alone(
    broker: NatsServer, publisher: NatsPublisher, size: int, reason: str
) -> None:
    """Those behind it do not overtake it; the connection goes on."""
    large = a_message(aggregate_id="order-1", version=1, data=f'"{"x" * size}"')
    behind = a_history("order-1", 2, start=2)
    others = a_history("order-2", 3)
    with pytest.raises(MessageRefused, match=reason):
        await publisher.publish([large, *behind, *others])
    assert [each.id for each in await arrived(broker)] == [each.id for each in others]


async def test_a_refused_message_is_parked_with_those_behind_it(
    broker: NatsServer, publisher: NatsPublisher
) -> None:
    """The relay goes on with the others."""
    async with connect("memory:") as store:
        await note(store, "book-1", "x" * 60_000, "behind")
        await note(store, "book-2", "other")
        await ProjectionWorker(store, Relay("notes", publisher, types=Noted), attempts=2).catch_up()
        parked = await store.backend.checkpoints.parked("notes")
        assert [(each.aggregate_id, each.version) for each in parked] == [
            ("book-1", 1), ("book-1", 2),
        ]  # fmt: skip
        assert "max_msg_size" in (parked[0].error or "")
    assert [each.event["data"] for each in await arrived(broker)] == [{"text": "other"}]


async def test_while_the_server_is_out_no_message_counts_as_refused(broker: NatsServer) -> None:
    """The relay is to wait, and not to count attempts."""
    large = a_message(aggregate_id="order-1", data=f'"{"x" * 99_900}"')
    async with NatsPublisher(broker.url, timeout=0.2) as publisher:
        await persistently(publisher, [a_message()])
        broker.suspend()
        with pytest.raises(PublisherUnavailable, match="did not answer"):
            await publisher.publish([large, a_message(aggregate_id="order-2")])
        broker.resume()


async def test_a_server_that_reads_no_more_keeps_nobody_waiting(broker: NatsServer) -> None:
    """However much was to be sent to it; what it reads later, it knows by its id."""
    large = [
        a_message(aggregate_id=f"order-{number}", data=f'"{"x" * 40_000}"') for number in range(500)
    ]
    async with NatsPublisher(broker.url, timeout=0.5) as publisher:
        await persistently(publisher, large[:1])
        broker.suspend()
        async with asyncio.timeout(60):
            for _ in range(3):
                with pytest.raises(PublisherUnavailable):
                    await publisher.publish(large)
            await publisher.close()
        broker.resume()
        await persistently(publisher, large)
    assert {each.id for each in await arrived(broker)} == {each.id for each in large}
    assert len(await arrived(broker)) == len(large)


async def test_a_batch_that_takes_longer_than_the_timeout_is_published(broker: NatsServer) -> None:
    """As over a slow link; else it would be an outage each time that it is tried."""
    large = [
        a_message(aggregate_id=f"order-{number}", data=f'"{"x" * 40_000}"') for number in range(200)
    ]
    async with (
        Detour(broker.port, rate=4_000_000).there() as way,
        NatsPublisher(f"nats://127.0.0.1:{way.port}", timeout=1.0) as publisher,
    ):
        await publisher.publish(large)
    assert len(await arrived(broker)) == len(large)


def many_large(publisher: NatsPublisher) -> "list[asyncio.Task[None]]":
    """Batches under way at once, as of several workers: the first messages have 6 MB."""
    return [
        asyncio.create_task(
            publisher.publish(
                [
                    a_message(aggregate_id=f"{number}-{order}", version=version, data=data)
                    for order in range(170)
                    for version in (1, 2)
                ]
            )
        )
        for number in range(12)
        for data in [f'"{"x" * 2_600}"']
    ]


async def test_of_a_server_that_reads_no_more_all_who_publish_are_told(broker: NatsServer) -> None:
    """However many messages wait to be sent."""
    async with NatsPublisher(broker.url, timeout=0.5) as publisher:
        await persistently(publisher, [a_message()])
        broker.suspend()
        ended, left = await asyncio.wait(many_large(publisher), timeout=60)
        broker.resume()
    assert not left
    assert {type(each.exception()) for each in ended} == {PublisherUnavailable}


async def test_who_is_cancelled_publishes_no_more(broker: NatsServer) -> None:
    """And is so at once, though the server reads no more."""
    async with NatsPublisher(broker.url, timeout=20.0) as publisher:
        await publisher.publish([a_message()])
        broker.suspend()
        publishing = many_large(publisher)
        await asyncio.sleep(0.5)
        for each in publishing:
            each.cancel()
        ended, left = await asyncio.wait(publishing, timeout=10)
        broker.resume()
        assert not left
        assert all(each.cancelled() for each in ended)
        await publisher.publish([a_message(version=2)])
    later = [each for each in await arrived(broker) if each.event["aggregateversion"] == 2]
    assert len(later) == 1


async def test_a_connection_that_went_dead_is_replaced(broker: NatsServer) -> None:
    """As behind a router that forgot it: nothing comes back, and no end of it is told."""
    history = a_history("order-1", 3)
    async with (
        Detour(broker.port).there() as way,
        NatsPublisher(f"nats://127.0.0.1:{way.port}", timeout=0.3) as publisher,
    ):
        await persistently(publisher, history[:1])
        way.go_dead()
        with pytest.raises(PublisherUnavailable, match="did not answer"):
            await publisher.publish(history)
        await persistently(publisher, history)
    assert [each.id for each in await arrived(broker)] == [each.id for each in history]


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"thanks", b"\xff", b"{}", b"[]", b"1", b'{"error": "?"}', b'{"error": {}}',
        b'{"error": {"message": "?"}}', b'"account created"', b'"a batch"',
    ],
)  # fmt: skip
async def test_an_answer_of_somebody_else_than_a_stream_is_an_outage(
    broker: NatsServer, answer: bytes
) -> None:
    """No event is to blame that others subscribe to its subject; but it was not taken, either."""

    async def respond(message: Msg) -> None:
        await message.respond(answer)

    async with NatsPublisher(broker.url, subject="asked.{event_type}") as publisher:
        client = Client()
        await client.connect(broker.url)
        await client.subscribe("asked.>", cb=respond)
        await client.flush()
        with pytest.raises(PublisherUnavailable, match=r"answers to 'asked\.Paid' is no JetStream"):
            await publisher.publish([a_message()])
        await client.close()


async def test_as_long_as_no_stream_takes_the_subject_it_is_an_outage(broker: NatsServer) -> None:
    """A stream that is still to be made is no fault of the events."""
    message = a_message()
    async with NatsPublisher(broker.url, subject="others.{event_type}") as publisher:
        with pytest.raises(PublisherUnavailable, match=r"no JetStream stream takes 'others\.Paid'"):
            await publisher.publish([message])
        async with stream_of(broker) as stream:
            await stream.update_stream(name=STREAM, subjects=["events.>", "others.>"])
        await publisher.publish([message])
    assert [each.address for each in await arrived(broker)] == ["others.Paid"]


async def test_a_stream_that_is_full_is_an_outage(
    broker: NatsServer, publisher: NatsPublisher
) -> None:
    """It may have room again; the events have not done anything."""
    async with stream_of(broker) as stream:
        await stream.add_stream(name="small", subjects=["small.>"], max_msgs=1, discard="new")
        async with NatsPublisher(broker.url, subject="small.{event_type}") as publisher:
            with pytest.raises(PublisherUnavailable, match="maximum messages exceeded"):
                await publisher.publish(a_history("order-1", 2))
            await stream.purge_stream("small")
            await publisher.publish([a_message()])


@pytest.fixture
def strict_broker() -> Iterator[NatsServer]:
    """A server that lets nobody do everything."""
    users = (
        "authorization { users = ["
        "{ user: all, password: all }, "
        "{ user: ann, password: s3cret, permissions: { publish: 'nothing' } }] }"
    )
    server = NatsServer(users)
    yield server
    server.stop()


async def test_what_the_server_forbids_is_told(strict_broker: NatsServer) -> None:
    """It can be mended where the permissions are given; the relay waits until then."""
    url = strict_broker.url.replace("//", "//ann:s3cret@")
    async with NatsPublisher(url, timeout=0.8) as publisher:
        with pytest.raises(PublisherUnavailable, match="permissions violation"):
            await publisher.publish([a_message()])


async def test_a_wrong_password_is_told_without_it(strict_broker: NatsServer) -> None:
    """Errors are logged."""
    url = strict_broker.url.replace("//", "//ann:wr0ng@")
    async with NatsPublisher(url) as publisher:
        with pytest.raises(PublisherUnavailable, match="cannot connect to NATS") as refused:
            await publisher.publish([a_message()])
    assert "wr0ng" not in str(refused.value)


async def test_of_several_servers_one_that_answers_is_used(broker: NatsServer) -> None:
    """One of a cluster may be down."""
    gone = NatsServer()
    gone.stop()
    async with NatsPublisher(f"{gone.url},{broker.url}") as publisher:
        await publisher.publish([a_message()])
    assert len(await arrived(broker)) == 1
