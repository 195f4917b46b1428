"""`RedisPublisher`: messages to Redis Streams, by redis-py, an extra."""

from collections.abc import Sequence
from typing import Any, Self, cast

from hitherto.application.cloudevents import cloud_event
from hitherto.application.relay import Message
from hitherto.errors import ConfigurationError, PublisherUnavailable
from hitherto.infrastructure.routing import routed
from hitherto.infrastructure.urls import check_credentials, without_password

try:
    from redis.asyncio import ConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("Redis needs redis-py: pip install 'hitherto[redis]'") from error

# Adds what is not remembered, and remembers it. Old ids are dropped last: a batch whose answer was
# lost is known as long as nothing else was published.
_ADD = """
local now = redis.call('TIME')[1]
for i = 2, #ARGV, 2 do
    if not redis.call('ZSCORE', KEYS[2], ARGV[i]) then
        redis.call('XADD', KEYS[1], '*', 'id', ARGV[i], 'event', ARGV[i + 1])
        redis.call('ZADD', KEYS[2], now, ARGV[i])
    end
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(' .. now - ARGV[1])
"""


class RedisPublisher:
    """Publishes to Redis streams: the field `id`, and a CloudEvent in JSON in the field `event`.

    ::

        async with RedisPublisher("redis://127.0.0.1:6379/0", stream="orders") as publisher:
            relay = Relay("orders", publisher, types=OrderEvent)

    What goes to one stream is added in order, all or nothing. The ids of what was added are
    remembered for a while, in a sorted set named like the stream with ``:ids`` behind it; a repeat
    is dropped. One that comes later is in the stream twice, under one id.

    How durable a message is that Redis has taken is Redis's own setting: only with `appendonly yes`
    and `appendfsync always` does it survive a crash of the server.

    It connects when there is something to publish, and again after the connection broke.

    Args:
        url: Such as ``redis://user:password@host:6379/0``, or ``rediss://…`` for TLS.
        stream: The key of the stream, a template with `{aggregate_type}`, `{aggregate_id}` and
            `{event_type}`, or one key for all.
        remember: Seconds for which ids are remembered.
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
        """See `Publisher.publish`; Redis refuses no single message."""
        by_stream: dict[str, list[bytes | str]] = {}
        for message in messages:
            parts = by_stream.setdefault(self._route(message), [])
            parts += (message.id, cloud_event(message))
        try:
            for stream, parts in by_stream.items():
                await cast(
                    "Any",
                    self._redis.eval(_ADD, 2, stream, f"{stream}:ids", self._remember, *parts),
                )
        except (RedisError, OSError) as error:
            raise PublisherUnavailable(f"Redis does not take messages: {error}") from error
