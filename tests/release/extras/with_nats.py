"""A publisher for NATS, which finds no server."""

import asyncio

from tests.release.extras.message import publish_to_nobody

from hitherto.infrastructure.nats import NatsPublisher


async def main() -> None:
    async with NatsPublisher("nats://127.0.0.1:9") as publisher:
        await publish_to_nobody(publisher)


asyncio.run(main())
