"""`Relay`: a store's events as messages to the world outside, through a `Publisher`."""

import re
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

import msgspec

from hitherto.application.codec import JsonCodec
from hitherto.application.ports import Codec
from hitherto.application.projection import Batch, Projection, Recorded
from hitherto.domain.event import Event
from hitherto.domain.handlers import event_classes
from hitherto.domain.identifiers import check_identifier
from hitherto.domain.metadata import Metadata
from hitherto.errors import InvalidInput, MessageRefused

_SOURCE = re.compile(r"[!-~]+")


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """An event on its way to the world outside.

    Attributes:
        id: The event's, as text: by it a message that comes twice is known.
        source: Whence it comes, a URI reference.
        event_type: Its stored name.
        schema_version: The version of the fields in `data`.
        aggregate_id: The aggregate that it belongs to.
        aggregate_type: The stored name of that aggregate's type.
        version: Its place in its aggregate's history: 1, 2, 3 …
        position: Its place in the whole log.
        occurred_at: When it happened, in UTC.
        data: The event's own fields, a JSON object.
        metadata: Correlation, causation, actor and keys of the application's own.
    """

    id: str
    source: str
    event_type: str
    schema_version: int
    aggregate_id: str
    aggregate_type: str
    version: int
    position: int
    occurred_at: datetime
    data: str
    metadata: Metadata


class Publisher(Protocol):
    """Hands messages to a broker."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Publish messages, and return when the broker has taken all of them durably.

        No message overtakes an earlier one of its aggregate: where one is not taken, none of those
        behind it is. After an error it is open which of the others were taken, so all are to be
        published again, in the same order; a broker that remembers their ids drops the repeats.

        Raises:
            PublisherUnavailable: The broker cannot be reached, or takes no messages now.
            MessageRefused: It will never take one of these messages.
        """
        ...


def refused(message: Message, reason: str) -> MessageRefused:
    """The error for a message that a broker will never take."""
    return MessageRefused(
        f"event {message.id}, {message.event_type!r} of {message.aggregate_id!r} at version "
        f"{message.version}: {reason}"
    )


class Relay(Projection[None], elsewhere=True):
    """Publishes events: each at least once, and those of one aggregate in order.

    A worker runs it, and keeps how far it has come::

        orders = Relay("orders", publisher, types=OrderEvent, source="/shop")
        await ProjectionWorker(store, orders).run()

    While the broker is out it waits, and goes on by itself. A message that the broker refuses is
    parked with the later ones of its aggregate, and the others go on.

    Args:
        name: The stored name, under which it knows how far it has come.
        publisher: Takes the messages.
        types: Event classes, or a union of them; None: every event.
        source: Whence they come, as a URI reference: whoever receives them knows a message by its
            source and its id. Left out: the name.
        codec: The store's, where it was given one of its own.

    Raises:
        InvalidInput: A name that cannot be stored, a class that is no event's, or a source that is
            no URI reference.
    """

    def __init__(
        self,
        name: str,
        publisher: Publisher,
        *,
        types: Any = None,
        source: str | None = None,
        codec: Codec | None = None,
    ) -> None:
        self.name: str = check_identifier("the relay's name", name)
        self.events: tuple[type[Event], ...] | None = (
            None if types is None else event_classes(types)
        )
        self._publisher = publisher
        self._source = quote(name) if source is None else source
        self._encode = (codec or JsonCodec(max_payload=sys.maxsize)).encode  # as it was stored
        if not _SOURCE.fullmatch(self._source):
            raise InvalidInput(f"source={source!r}: give a URI reference, such as '/shop/orders'")

    async def handle(self, events: Sequence[Recorded], batch: Batch[None]) -> None:  # noqa: ARG002
        """Publish the events; they have no effect in the store."""
        await self._publisher.publish([self._message(recorded) for recorded in events])

    def _message(self, recorded: Recorded) -> Message:
        event: Event = recorded.event
        return Message(
            id=str(recorded.event_id),
            source=self._source,
            event_type=event.__event_type__,
            schema_version=event.__schema_version__,
            aggregate_id=recorded.aggregate_id,
            aggregate_type=recorded.aggregate_type,
            version=recorded.version,
            position=recorded.position,
            occurred_at=recorded.occurred_at,
            data=self._encode(event),
            metadata=recorded.metadata,
        )
