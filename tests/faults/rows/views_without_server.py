"""PostgreSQL is killed, and sessions are terminated, under workers of views and a subscription."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import asyncpg
from tests.faults.backends import Place, opened
from tests.faults.checker import read_log
from tests.faults.consumers import at_work, following, unlike
from tests.faults.crew import behind
from tests.faults.ledger import LEDGER, SUMMARY, Summary, ledger_in, wrong_views
from tests.faults.load import Load
from tests.faults.row import Outcome, Row, Run
from tests.faults.workload import recorded_connect
from tests.servers import PostgresCluster, start_cluster

from hitherto import ProjectionWorker, connect

_LEASE = 1.0  # seconds
_KILLED = 10  # one in so many
_VIEWS = (LEDGER, SUMMARY)
_SESSIONS = """SELECT pid FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"""
_THAT_LISTEN = f"{_SESSIONS} AND query ILIKE 'LISTEN%'"


async def run(run: Run) -> Outcome:
    """All of them run in this process, each with connections of its own, and are left alone."""
    outcome = Outcome()
    cluster = await asyncio.to_thread(start_cluster, durable=True)
    try:
        async with Load(
            run, lambda client: recorded_connect(cluster.url(), run.directory, client)
        ) as load:
            await _disturbed(cluster, load, run, outcome)
    finally:
        await asyncio.to_thread(cluster.stop)
    return outcome


async def _disturbed(cluster: PostgresCluster, load: Load, run: Run, outcome: Outcome) -> None:
    place = Place("postgresql", cluster.url())
    violations = outcome.violations
    async with (
        opened(connect(place.url), violations) as store,
        _working(place, violations),
        following(store, violations) as seen,
    ):
        random = run.random("faults")
        while outcome.faults.total() < run.count:
            await asyncio.sleep(random.uniform(0, 0.3))
            kind = await _harm(cluster, random, first=not outcome.faults)
            if kind is None:
                continue
            outcome.faults[kind] += 1
            await load.goes_on()
            violations += await behind(load.store, _VIEWS)
        await load.finish(outcome)
        violations += await behind(load.store, _VIEWS)
        violations += await unlike(await read_log(load.store.backend), seen)
    violations += await wrong_views(load.store, place)


async def _harm(cluster: PostgresCluster, random: Random, *, first: bool) -> str | None:
    """Do some; tells which, if there was something to harm."""
    if first or random.randrange(_KILLED) == 0:
        await asyncio.to_thread(cluster.kill)
        await asyncio.to_thread(cluster.start)
        return "kill -9 of the server"
    listening = random.random() < 0.4
    session = await asyncpg.connect(cluster.url())
    try:
        rows = await session.fetch(_THAT_LISTEN if listening else _SESSIONS)
        if not rows:
            return None
        await session.execute("SELECT pg_terminate_backend($1)", random.choice(rows)["pid"])
    finally:
        await session.close()
    return "a session that listens" if listening else "any session"


@contextlib.asynccontextmanager
async def _working(place: Place, violations: list[str]) -> AsyncIterator[None]:
    """Two race for the ledger, two share the summary."""
    async with contextlib.AsyncExitStack() as stack:
        workers: list[ProjectionWorker[Any]] = []
        for view in (ledger_in(place), ledger_in(place), Summary, Summary):
            store = await stack.enter_async_context(opened(connect(place.url), violations))
            spread = view is Summary
            workers.append(ProjectionWorker(store, view(), spread=spread, lease=_LEASE))
        await stack.enter_async_context(at_work(workers, violations))
        yield


ROW = Row(
    title="PostgreSQL killed, and sessions terminated, under views and a subscription",
    promises="3, 5",
    run=run,
    full=60,
    quick=4,
)
