"""Messages for tests of publishers, and a publisher that has no broker."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

import msgspec

from hitherto import Metadata
from hitherto.application.relay import Message
from hitherto.errors import MessageRefused, PublisherUnavailable

_PLAIN = Message(
    id="",
    source="/shop",
    event_type="Paid",
    schema_version=1,
    aggregate_id="order-1",
    aggregate_type="Order",
    version=1,
    position=1,
    occurred_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    data='{"amount":7}',
    metadata=Metadata(),
)


def a_message(**changes: object) -> Message:
    """A message with an id of its own."""
    return msgspec.structs.replace(_PLAIN, **{"id": str(uuid4()), **changes})


def a_history(aggregate_id: str, count: int, *, start: int = 1) -> list[Message]:
    """Messages of one aggregate, in order."""
    return [
        a_message(aggregate_id=aggregate_id, version=version)
        for version in range(start, start + count)
    ]


class World:
    """Takes messages; it can be out, and can refuse those of some aggregates.

    Attributes:
        taken: All that it took, repeats included.
        asked: How often it was asked to take some.
        out: Whether it answers to nothing.
        refused: The aggregates whose messages it does not take.
    """

    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.asked = 0
        self.out = False
        self.refused: set[str] = set()
        self._happened = asyncio.Event()

    async def publish(self, messages: Sequence[Message]) -> None:
        """See `Publisher.publish`."""
        self.asked += 1
        self._happened.set()
        if self.out:
            raise PublisherUnavailable("the broker is out")
        for message in messages:
            if message.aggregate_id in self.refused:
                raise MessageRefused(f"not from {message.aggregate_id}")
            self.taken.append(message)

    async def until(self, *, asked: int = 0, taken: int = 0) -> None:
        """Wait until it was asked so often, and has taken so many."""
        async with asyncio.timeout(30):
            while self.asked < asked or len(self.taken) < taken:
                self._happened.clear()
                await self._happened.wait()
                await asyncio.sleep(0)
