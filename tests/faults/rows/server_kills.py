"""PostgreSQL is killed with all its processes under load, and started again."""

import asyncio

from tests.faults.load import Load
from tests.faults.row import Outcome, Row, Run
from tests.faults.workload import recorded_connect
from tests.servers import start_cluster


async def run(run: Run) -> Outcome:
    """The clients' stores stay open all the time."""
    outcome = Outcome()
    random = run.random("kills")
    cluster = await asyncio.to_thread(start_cluster, durable=True)
    try:
        async with Load(
            run, lambda client: recorded_connect(cluster.url(), run.directory, client), tasks=3
        ) as load:
            slowest = 0.0
            for _ in range(run.count):
                await asyncio.sleep(random.uniform(0.05, 0.5))
                await asyncio.to_thread(cluster.kill)
                outcome.faults["kill -9"] += 1
                await asyncio.sleep(random.choice([0.0, 0.0, random.uniform(0.0, 1.0)]))
                await asyncio.to_thread(cluster.start)
                slowest = max(slowest, await load.goes_on())
            await load.finish(outcome)
    finally:
        await asyncio.to_thread(cluster.stop)
    outcome.notes.append(
        f"every client went on by itself {slowest:.1f} s after the server was back, at the latest"
    )
    return outcome


ROW = Row(
    title="PostgreSQL killed (`kill -9`, all processes) and restarted",
    promises="1, 2, 3, 4, 5",
    run=run,
    full=50,
    quick=2,
)
