"""Ours keeps the view: a `ProjectionWorker` and a projection."""

import asyncio
from collections.abc import Callable
from typing import Any

from benchmarks.balances import TABLE, Sums, sums_of, sums_of_file
from benchmarks.contenders.ours import Ours, OursOnSqlite, OursSession
from benchmarks.measuring import Timings, spent
from hitherto import Projection, ProjectionWorker
from hitherto.application.rebuild import drop_and_set_up
from hitherto.application.store import Store

Make = Callable[[str], Projection[Any]]
"""Makes a projection that keeps its view in a table, if it needs one."""


def caught_up(ours: Ours, store: str, make: Make, seconds: float) -> tuple[Timings, Sums | None]:
    """Catch up with a log, so long at most; gives what the view comes to, if that was all."""
    on_file = isinstance(ours, OursOnSqlite)
    table = TABLE if on_file else f"{store}.{TABLE}"
    with ours.opened(store) as session:
        assert isinstance(session, OursSession)
        projection = make(table)
        timings, whole = session.run(_timed, session, projection, seconds)
    if not whole or not projection.tables:
        return timings, None
    return timings, sums_of_file(store) if on_file else sums_of(ours.server, projection.tables[0])


async def _timed(
    session: OursSession, projection: Projection[Any], seconds: float
) -> tuple[Timings, bool]:
    store = session.store
    await begin_anew(store, projection)
    worker = ProjectionWorker(store, projection)
    timings = Timings()
    end = asyncio.get_running_loop().call_later(seconds, worker.stop)
    with spent(timings, session.server.cpu):
        await worker.catch_up()
    end.cancel()
    timings.events = worker.handled
    return timings, worker.position >= await store.watermark()


async def begin_anew(store: Store, projection: Projection[Any]) -> None:
    """Empty a projection's view, if there is one, and go back to the first event."""
    checkpoints = store.backend.checkpoints
    await checkpoints.reset(projection.name, setup=drop_and_set_up(projection, checkpoints))
