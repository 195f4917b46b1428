"""What publishers do on a real broker, whichever it is: a suite to subclass."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest
from tests.brokers import Broker
from tests.messages import a_history, a_message

from hitherto import Aggregate, Event, Metadata, ProjectionWorker, Repository, Store, connect
from hitherto.application.relay import Message, Publisher, Relay
from hitherto.errors import PublisherUnavailable
from hitherto.infrastructure.publishing import Guarded


class Noted(Event):
    text: str


class Notebook(Aggregate[Noted]):
    def apply(self, event: Noted) -> None:
        pass


class Arrived(msgspec.Struct, frozen=True):
    """A message as a consumer finds it: where, under which id, and what."""

    address: str
    id: str
    event: Any


class Closing(Publisher, Protocol):
    """A publisher that has a connection."""

    async def close(self) -> None:
        """Let go of it."""
        ...


class PublisherSuite:
    """Subclass it with fixtures `broker`, `publisher` and `impatient`, and with `arrived`.

    `impatient` waits for answers for a second only: it is for what has to wait so long, and
    whatever is to be taken is published with it until it is.
    """

    async def arrived(self, broker: Any) -> Sequence[Arrived]:
        """All that is kept by the broker, in its order."""
        raise NotImplementedError

    async def test_each_message_arrives_with_its_id_and_envelope(
        self, broker: Broker, publisher: Closing
    ) -> None:
        """It is whole, and is known by the event's id."""
        message = a_message(data='{"text":"é\\n"}', metadata=Metadata(correlation_id="c-1"))
        await publisher.publish([message])
        (found,) = await self.arrived(broker)
        assert found.id == found.event["id"] == message.id
        assert found.event["data"] == {"text": "é\n"}
        assert found.event["correlationid"] == "c-1"

    async def test_messages_of_an_aggregate_arrive_in_order(
        self, broker: Broker, publisher: Closing
    ) -> None:
        """Whatever else is in the batch, and whoever else publishes."""
        histories = [a_history(f"order-{number}", 12) for number in range(10)]
        halves = histories[:5], histories[5:]
        await asyncio.gather(*(publisher.publish(shuffled(half)) for half in halves))
        assert_whole(await self.arrived(broker), histories)

    async def test_a_batch_that_is_published_again_is_kept_once(
        self, broker: Broker, publisher: Closing
    ) -> None:
        """The worker ended before it had noted how far it had come."""
        history = a_history("order-1", 6)
        await publisher.publish(history[:4])
        await publisher.publish(history)
        assert_whole(await self.arrived(broker), [history])

    async def test_a_server_that_is_not_there_is_an_outage(
        self, broker: Broker, publisher: Closing
    ) -> None:
        """At the first message, too; it is not told of as a fault of the message."""
        history = a_history("order-1", 3)
        broker.kill()
        with pytest.raises(PublisherUnavailable) as out:
            await publisher.publish(history)
        assert out.value.transient
        broker.start()
        await publisher.publish(history)
        assert_whole(await self.arrived(broker), [history])

    async def test_a_frozen_server_is_an_outage_and_no_message_overtakes(
        self, broker: Broker, impatient: Closing
    ) -> None:
        """What was under way then comes late, and what is published again is known."""
        histories = [a_history(f"order-{number}", 6) for number in range(4)]
        await persistently(impatient, shuffled(each[:2] for each in histories))
        broker.suspend()
        with pytest.raises(PublisherUnavailable):
            await impatient.publish(shuffled(each[2:] for each in histories))
        broker.resume()
        await persistently(impatient, shuffled(each[2:] for each in histories))
        assert_whole(await self.arrived(broker), histories)

    async def test_a_server_that_is_killed_in_the_middle_loses_and_repeats_nothing(
        self, broker: Broker, impatient: Closing
    ) -> None:
        """Batches are published until they are taken, as a relay does."""
        histories = [a_history(f"order-{number}", 200) for number in range(8)]
        batches = [shuffled(each[at : at + 10] for each in histories) for at in range(0, 200, 10)]
        taken = asyncio.Event()

        async def publish_all() -> None:
            for number, batch in enumerate(batches):
                await persistently(impatient, batch)
                if number in {3, 10}:
                    taken.set()

        async def kill_and_start() -> None:
            for _ in range(2):
                await taken.wait()
                taken.clear()
                await asyncio.sleep(0.003)  # in the middle of a batch, if it may be so
                broker.kill()
                broker.start()

        async with asyncio.timeout(60):
            await asyncio.gather(publish_all(), kill_and_start())
        assert_whole(await self.arrived(broker), histories)

    async def test_closing_leaves_nothing_behind(self, broker: Broker, publisher: Closing) -> None:
        """Neither after use, nor after an outage; doing it again does nothing."""
        before = asyncio.all_tasks()
        await publisher.publish([a_message()])
        await publisher.close()
        broker.kill()
        with pytest.raises(PublisherUnavailable):
            await publisher.publish([a_message()])
        await publisher.close()
        await publisher.close()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    async def test_a_relay_outlives_the_broker_and_the_breaker_lets_it_through_again(
        self, broker: Broker, publisher: Closing
    ) -> None:
        """Nobody has to do anything but start the broker."""
        guarded = Guarded(publisher, threshold=2, cooldown=0.05)
        async with connect("memory:") as store:
            await note(store, "book-1", "a", "b")
            async with relaying(store, guarded) as worker:
                await until(lambda: worker.handled == 2)
                broker.kill()
                await note(store, "book-1", "c")
                await note(store, "book-2", "d")
                await until(lambda: guarded.breaker == "open")
                broker.start()
                await until(lambda: worker.handled == 4)
                assert guarded.breaker == "closed"
            assert await store.backend.checkpoints.parked("notes") == []
        told = [(each.event["subject"], each.event["data"]) for each in await self.arrived(broker)]
        assert sorted(told, key=json.dumps) == [
            ("book-1", {"text": "a"}),
            ("book-1", {"text": "b"}),
            ("book-1", {"text": "c"}),
            ("book-2", {"text": "d"}),
        ]

    async def test_a_relay_that_is_killed_again_and_again_loses_nothing_and_keeps_the_order(
        self, broker: Broker, tmp_path: Path
    ) -> None:
        """What it had published and not noted is published again, under the same ids."""
        books = [f"book-{number}" for number in range(6)]
        url = f"sqlite:///{tmp_path}/notes.db"
        async with connect(url) as store:
            for page in range(20):
                for book in books:
                    await note(store, book, *(f"{page}/{line}" for line in range(5)))
            for goal in (50, 170, 290, 410, 600):
                async with relay_process(url, broker):
                    async with asyncio.timeout(60):
                        while len(await self.arrived(broker)) < goal:
                            await asyncio.sleep(0.002)
            recorded = [each async for each in store.read_all()]
        arrived = await self.arrived(broker)
        for book in books:
            expected = [str(each.event_id) for each in recorded if each.aggregate_id == book]
            assert [each.id for each in arrived if each.event["subject"] == book] == expected
        assert len(arrived) == 600


def shuffled(histories: Any) -> list[Message]:
    """Turn by turn a message of each history."""
    return [message for row in zip(*histories, strict=True) for message in row]


def assert_whole(arrived: Sequence[Arrived], histories: Sequence[Sequence[Message]]) -> None:
    """Each message is there once, and behind the earlier ones of its aggregate."""
    for history in histories:
        own = [each.id for each in arrived if each.event["subject"] == history[0].aggregate_id]
        assert own == [message.id for message in history]
    assert len(arrived) == sum(map(len, histories))


async def persistently(publisher: Publisher, messages: Sequence[Message]) -> None:
    """Publish until it is done."""
    async with asyncio.timeout(60):
        while True:
            try:
                await publisher.publish(messages)
            except PublisherUnavailable:
                await asyncio.sleep(0.02)
            else:
                return


async def note(store: Store, aggregate_id: str, *texts: str) -> None:
    """Save some events."""
    books = Repository(store, Notebook)
    book = await books.load(aggregate_id) if await books.exists(aggregate_id) else None
    book = book or Notebook(aggregate_id)
    for text in texts:
        book.record(Noted(text=text))
    await books.save(book)


@asynccontextmanager
async def relaying(store: Store, publisher: Publisher) -> AsyncGenerator[ProjectionWorker[Any]]:
    """A relay at work, until the block is left."""
    worker = ProjectionWorker(store, Relay("notes", publisher, types=Noted))
    running = asyncio.create_task(worker.run())
    try:
        yield worker
        worker.stop()
        await running
    finally:
        running.cancel()


@asynccontextmanager
async def relay_process(store_url: str, broker: Broker) -> AsyncGenerator[None]:
    """A relay in another process, which is killed at the end of the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.acceptance.relay_process", store_url, broker.url,
        cwd=Path(__file__).parents[2], stdin=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield
        assert process.returncode is None
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something to come about."""
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.005)
