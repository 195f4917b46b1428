"""A publisher for Redis, which finds no server."""

import asyncio

from tests.release.extras.message import publish_to_nobody

from hitherto.infrastructure.redis import RedisPublisher


async def main() -> None:
    async with RedisPublisher("redis://127.0.0.1:9/0") as publisher:
        await publish_to_nobody(publisher)


asyncio.run(main())
