"""`NatsPublisher`: messages to NATS JetStream, by nats-py, an extra."""

import asyncio
import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Self

from hitherto.application.cloudevents import cloud_event
from hitherto.application.relay import Message, refused
from hitherto.errors import ConfigurationError, InvalidInput, PublisherUnavailable
from hitherto.infrastructure.routing import Route, routed
from hitherto.infrastructure.urls import check_credentials, without_password

try:
    from nats.aio.client import Client
    from nats.errors import Error
    from nats.js import JetStreamContext
    from nats.js.errors import APIError, NoStreamResponseError
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError("NATS needs nats-py: pip install 'hitherto[nats]'") from _error

SUBJECT = "events.{aggregate_type}.{event_type}"

_SEPARATORS = re.compile(r"[\x00- .*>%\x7f]")
_BETWEEN_DOTS = r"[^\x00- .*>\x7f\ud800-\udfff]+"
_SUBJECT = re.compile(rf"{_BETWEEN_DOTS}(\.{_BETWEEN_DOTS})*")
_SCHEMES = {"nats", "tls", "ws", "wss"}
_HEADERS = len("NATS/1.0\r\nNats-Msg-Id: \r\n\r\n")
_STREAM_TAKES_LESS = 10054  # JetStream's code for a message above the stream's max_msg_size
_UNDER_WAY = 1024 * 1024  # bytes that are sent together: no slow link makes an outage of a batch

_Event = tuple[Message, bytes]


class NatsPublisher:
    """Publishes to a JetStream stream, each message as a CloudEvent in JSON.

    The stream must be there, and take the subjects::

        async with NatsPublisher("nats://127.0.0.1:4222") as publisher:
            relay = Relay("orders", publisher, types=OrderEvent)

    A message has the event's id as `Nats-Msg-Id`, so the stream drops a repeat that comes within
    its duplicate window (two minutes if nothing else was set).

    Each message of an aggregate is sent when the one before it is acknowledged; those of different
    aggregates are under way together, about 1 MiB at a time. So no failure, and no broken
    connection, lets a message overtake an earlier one of its aggregate. It follows that a long
    history of one aggregate is published at the rate of one message a round trip.

    How durable a message is that NATS has taken is the stream's own setting: its storage and its
    replicas. It connects when there is something to publish, and again after the connection broke.

    Args:
        servers: One URL or several, separated by commas; the first that answers is used.
        subject: Where a message goes, a template with `{aggregate_type}`, `{aggregate_id}` and
            `{event_type}`. In a value each space, control character and one of ``.*>%`` is
            written as % and two hexadecimal digits, so that it stays one token.
        timeout: Seconds to wait for an answer: to connecting, and to each message.
        options: Further arguments of nats-py's `connect`, such as `user_credentials` and `tls`.

    Raises:
        ConfigurationError: A URL is not one of NATS's.
        InvalidInput: The template has other placeholders, or makes no subject: its tokens stand
            between single dots, without spaces, control characters, * and >.
        TypeError: An option that nats-py does not know, or that is set here.
    """

    def __init__(
        self,
        servers: str = "nats://127.0.0.1:4222",
        *,
        subject: str = SUBJECT,
        timeout: float = 5.0,
        **options: Any,
    ) -> None:
        self._route = _checked_route(subject)
        self._timeout = timeout
        # The client's own reconnecting is off: it would keep messages whose publishing has failed,
        # and send them later.
        self._options: dict[str, Any] = dict(
            servers=_checked(servers.split(",")),
            error_cb=self._remember,
            connect_timeout=timeout,
            pending_size=0,  # Above it each message would wait for a flush, which may never end.
            allow_reconnect=False,
            max_reconnect_attempts=1,  # of a server, while connecting
            reconnect_time_wait=0.05,
            **options,
        )
        inspect.signature(Client.connect).bind(None, **self._options)
        self._client: Client | None = None
        self._connecting = asyncio.Lock()
        self._told: Exception | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connection."""
        if self._client is not None:
            await self._let_go(self._client)

    async def publish(self, messages: Sequence[Message]) -> None:
        """See `Publisher.publish`."""
        for events in _slices((each, cloud_event(each)) for each in messages):
            await self._publish_together(events)

    async def _publish_together(self, events: Sequence[_Event]) -> None:
        client = await self._connected()
        by_aggregate: dict[str, list[_Event]] = {}
        for event in events:
            by_aggregate.setdefault(event[0].aggregate_id, []).append(event)
        ended = await asyncio.gather(
            *(self._publish_in_order(client, each) for each in by_aggregate.values()),
            return_exceptions=True,
        )
        errors = [each for each in ended if each is not None]
        if errors:
            # While the broker is out it says nothing final about a message.
            raise next(
                (each for each in errors if isinstance(each, PublisherUnavailable)), errors[0]
            )

    async def _publish_in_order(self, client: Client, events: Sequence[_Event]) -> None:
        stream = JetStreamContext(client)
        for message, payload in events:
            await self._publish_one(client, stream, message, payload)

    async def _publish_one(
        self, client: Client, stream: JetStreamContext, message: Message, payload: bytes
    ) -> None:
        subject = self._route(message)
        if len(payload) + len(message.id) + _HEADERS > client.max_payload:
            raise refused(message, f"{len(payload)} bytes are above NATS's max_payload")
        try:
            await stream.publish(
                subject, payload, timeout=self._timeout, headers={"Nats-Msg-Id": message.id}
            )
        except NoStreamResponseError as error:
            raise PublisherUnavailable(f"no JetStream stream takes {subject!r}: add one") from error
        except APIError as error:
            if error.err_code == _STREAM_TAKES_LESS:
                told = f"{len(payload)} bytes are above the stream's max_msg_size"
                raise refused(message, told) from error
            raise PublisherUnavailable(f"JetStream does not take {subject!r}: {error}") from error
        except (Error, OSError) as error:
            await self._let_go(client)  # The connection may be dead, and the server not.
            told = f"; NATS said: {self._told}" if self._told else ""
            raise PublisherUnavailable(
                f"NATS did not answer to {subject!r}: {error}{told}"
            ) from error
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise PublisherUnavailable(
                f"what answers to {subject!r} is no JetStream stream; no other may subscribe and "
                f"answer there: {error}"
            ) from error

    async def _let_go(self, client: Client) -> None:
        if client is self._client:
            self._client = None
            await _closed(client)

    async def _connected(self) -> Client:
        async with self._connecting:
            if self._client is None or not self._client.is_connected:
                await self.close()
                self._client = await self._connect()
            return self._client

    async def _connect(self) -> Client:
        client = Client()
        self._told = None
        try:
            await client.connect(**self._options)
        except (Error, OSError) as error:
            await _closed(client)
            raise PublisherUnavailable(f"cannot connect to NATS: {self._told or error}") from error
        except BaseException:
            await _closed(client)
            raise
        return client

    async def _remember(self, error: Exception) -> None:
        self._told = error


def _slices(events: Iterable[_Event]) -> Iterator[Sequence[_Event]]:
    """What is under way together, slice after slice; an event above the bound is alone."""
    some: list[_Event] = []
    size = 0
    for event in events:
        if some and size + len(event[1]) > _UNDER_WAY:
            yield some
            some, size = [], 0
        some.append(event)
        size += len(event[1])
    if some:
        yield some


async def _closed(client: Any) -> None:
    """Cut it off: what was not acknowledged is published again.

    To close it in peace would mean to wait until a server that hangs has read the rest.
    """
    client._pending_data_size = 0
    transport = getattr(client, "_transport", None)
    writer = getattr(transport, "_io_writer", None)  # A WebSocket has none.
    if writer is not None:
        writer.transport.abort()
    with suppress(Error, OSError, AssertionError):  # that of a client that never came so far
        await client.close()


def _checked(servers: list[str]) -> list[str]:
    for url in servers:
        check_credentials(url)
        if url.partition("://")[0] not in _SCHEMES:
            raise ConfigurationError(
                f"{without_password(url)} is no URL of NATS: give nats://host:port, or tls://, "
                "ws:// or wss://"
            )
    return servers


def _checked_route(subject: str) -> Route:
    route = routed(subject, _as_token)
    if not _SUBJECT.fullmatch(subject.format(aggregate_type="a", aggregate_id="b", event_type="c")):
        raise InvalidInput(
            f"subject={subject!r} makes no subject of NATS: give tokens with a single dot between "
            "them, without spaces, control characters, * and >"
        )
    return route


def _as_token(value: str) -> str:
    return _SEPARATORS.sub(lambda found: f"%{ord(found[0]):02X}", value)
