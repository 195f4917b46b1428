"""A relay as a process of its own: ``python -m tests.acceptance.relay_process STORE BROKER``."""

import asyncio
import os
import sys
import threading

from tests.acceptance.publishing import Noted

from hitherto import ProjectionWorker, connect
from hitherto.application.relay import Relay
from hitherto.infrastructure.nats import NatsPublisher
from hitherto.infrastructure.redis import RedisPublisher


async def main(store_url: str, broker_url: str) -> None:
    kind = NatsPublisher if broker_url.startswith("nats") else RedisPublisher
    async with connect(store_url) as store, kind(broker_url) as publisher:
        relay = Relay("notes", publisher, types=Noted)
        await ProjectionWorker(store, relay, batch=40, lease=0.3, attempts=100).run()


def end_with_the_tests() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with_the_tests, daemon=True).start()
    asyncio.run(main(*sys.argv[1:]))
