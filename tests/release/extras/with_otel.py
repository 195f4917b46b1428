"""A save, traced by whichever SDK there is; here none."""

import asyncio

from tests.release.extras.counter import count

from hitherto import connect
from hitherto.infrastructure.opentelemetry import OpenTelemetryInstrumentation


async def main() -> None:
    async with connect("memory:", instrumentation=OpenTelemetryInstrumentation()) as store:
        assert await count(store) == 2


asyncio.run(main())
