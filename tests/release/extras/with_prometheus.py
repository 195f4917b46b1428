"""A save, counted."""

import asyncio

from tests.release.extras.counter import count

from hitherto import connect
from hitherto.infrastructure.prometheus import PrometheusInstrumentation


async def main() -> None:
    import prometheus_client

    async with connect("memory:", instrumentation=PrometheusInstrumentation()) as store:
        await count(store)
        exposed = prometheus_client.generate_latest().decode()
    assert 'aggregate_events_saved_total{aggregate_type="Counter"} 1.0' in exposed


asyncio.run(main())
