"""`RedisPublisher`: messages to Redis Streams, by redis-py, an extra."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from hitherto.application.cloudevents import cloud_event
from hitherto.application.relay import Message, refused
from hitherto.errors import ConfigurationError, PublisherUnavailable
from hitherto.infrastructure.routing import routed
from hitherto.infrastructure.urls import check_credentials, without_password

try:
    from redis.asyncio import ConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError, ResponseError
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError("Redis needs redis-py: pip install 'hitherto[redis]'") from _error

# Adds what is not remembered, and remembers it from now on: also what comes again and again, while
# another stream is out. Old ids are dropped last, if at all: a batch whose answer was lost is known
# as long as nothing else was published.
_ADD = """
local now = redis.call('TIME')[1]
for i = 2, #ARGV, 2 do
    if not redis.call('ZSCORE', KEYS[2], ARGV[i]) then
        redis.call('XADD', KEYS[1], '*', 'id', ARGV[i], 'event', ARGV[i + 1])
    end
    redis.call('ZADD', KEYS[2], now, ARGV[i])
end
if ARGV[1] ~= '' then
    redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(' .. now - ARGV[1])
end
"""
_IDS = ":ids"

_SURE = 1024 * 1024  # bytes that an event may have everywhere: no limit of Redis's can be lower
_LIMITS = {"proto-max-bulk-len": 512 * _SURE, "client-query-buffer-limit": 1024 * _SURE}
_TOO_LARGE = "invalid bulk length"  # what Redis says of an event above the first of them


@dataclass
class _Part:
    """What one call adds to a stream: about 1 MiB at the most, or one message that is larger."""

    stream: str
    messages: list[Message] = field(default_factory=list[Message])
    events: list[bytes] = field(default_factory=list[bytes])
    size: int = 0
    last: bool = True  # of the stream's

    def add(self, message: Message, event: bytes) -> None:
        self.messages.append(message)
        self.events.append(event)
        self.size += len(event)


class RedisPublisher:
    """Publishes to Redis streams: the field `id`, and a CloudEvent in JSON in the field `event`.

    ::

        async with RedisPublisher("redis://127.0.0.1:6379/0", stream="orders") as publisher:
            relay = Relay("orders", publisher, types=OrderEvent)

    What goes to one stream is added in order, in parts of about 1 MiB, each all or nothing. The ids
    of what was added are remembered for a while, in a sorted set named like the stream with
    ``:ids`` behind it; a repeat is dropped. One that comes later is in the stream twice, under one
    id.

    An event above Redis's own limits, `proto-max-bulk-len` and `client-query-buffer-limit`, is
    refused. They are asked for by `CONFIG GET`; where that is forbidden, Redis's defaults are
    taken, and what it says of the event.

    How durable a message is that Redis has taken is Redis's own setting: only with `appendonly yes`
    and `appendfsync always` does it survive a crash of the server.

    It connects when there is something to publish, and again after the connection broke.

    Args:
        url: Such as ``redis://user:password@host:6379/0``, or ``rediss://…`` for TLS.
        stream: The key of the stream, a template with `{aggregate_type}`, `{aggregate_id}` and
            `{event_type}`, or one key for all. In the key each % is written as ``%25``, and
            ``:ids`` at its end as ``%3Aids``: that is the name of a set.
        remember: Seconds for which ids are remembered since they were last published.
        timeout: Seconds to wait for an answer.
        options: Further arguments of redis-py's connections, such as `ssl_ca_certs`.

    Raises:
        ConfigurationError: The URL is not one of Redis's, or redis-py does not know an option.
        InvalidInput: The template has other placeholders.
    """

    def __init__(
        self,
        url: str = "redis://127.0.0.1:6379/0",
        *,
        stream: str = "events",
        remember: float = 120.0,
        timeout: float = 5.0,
        **options: Any,
    ) -> None:
        self._route = routed(stream)
        self._remember = remember
        check_credentials(url)
        pools: Any = ConnectionPool  # its types are half told
        try:
            pool = pools.from_url(
                url,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                retry=Retry(NoBackoff(), 0),
                **options,
            )
            pool.make_connection()
        except (ValueError, TypeError):
            raise ConfigurationError(
                f"{without_password(url)}: give redis://host:port/database, rediss:// or unix://, "
                "and options that redis-py knows"
            ) from None
        self._redis = Redis.from_pool(pool)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._redis.aclose()

    async def publish(self, messages: Sequence[Message]) -> None:
        """See `Publisher.publish`."""
        parts = self._parts(messages)
        try:
            await self._check_sizes(parts)
            for part in parts:
                await self._add(part)
        except (RedisError, OSError) as error:
            # A server that is a replica by now would stay one: the next connection is a new one.
            pool: Any = self._redis.connection_pool
            with suppress(RedisError, OSError):
                await pool.disconnect(inuse_connections=False)
            raise PublisherUnavailable(f"Redis does not take messages: {error}") from error

    def _parts(self, messages: Sequence[Message]) -> Sequence[_Part]:
        """What to add, part after part, so that no message overtakes one of its aggregate."""
        parts: list[_Part] = []
        newest: dict[str, int] = {}  # part of a stream
        reached: dict[str, int] = {}  # by an aggregate
        for message in messages:
            stream, event = _as_name(self._route(message)), cloud_event(message)
            at = newest.get(stream, -1)
            if at < reached.get(message.aggregate_id, 0) or parts[at].size + len(event) > _SURE:
                if at >= 0:
                    parts[at].last = False
                at = len(parts)
                parts.append(_Part(stream))
            newest[stream] = reached[message.aggregate_id] = at
            parts[at].add(message, event)
        return parts

    async def _check_sizes(self, parts: Sequence[_Part]) -> None:
        """Refuse what is above a limit: for that Redis cuts the connection, and may not say why."""
        large = [part for part in parts if part.size > _SURE]  # It is one message then.
        if large:
            limit = await self._limit()
            for part in large:
                if part.size + len("\r\n") > limit:
                    told = f"{part.size} bytes are above Redis's limit, {limit}"
                    raise refused(part.messages[0], told)

    async def _limit(self) -> int:
        redis: Any = self._redis
        limits = dict(_LIMITS)
        for name in _LIMITS:
            with suppress(ResponseError):  # It is forbidden, or there is no such command.
                told = await redis.config_get(name)
                limits[name] = int(told.get(name, limits[name]))
        return min(limits.values())

    async def _add(self, part: _Part) -> None:
        redis: Any = self._redis
        pairs = zip(part.messages, part.events, strict=True)
        told = [each for message, event in pairs for each in (message.id, event)]
        remember = self._remember if part.last else ""
        try:
            await redis.eval(_ADD, 2, part.stream, part.stream + _IDS, remember, *told)
        except ResponseError as error:
            if _TOO_LARGE not in str(error):
                raise
            raise refused(part.messages[0], f"Redis says: {error}") from error


def _as_name(filled: str) -> str:
    name = filled.replace("%", "%25")
    return f"{name.removesuffix(_IDS)}%3Aids" if name.endswith(_IDS) else name
