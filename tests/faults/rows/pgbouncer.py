"""Work through PgBouncer in transaction mode, whose connections break, and which goes itself."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random

import asyncpg
from tests.faults.load import Load
from tests.faults.row import Outcome, Row, Run, Skipped
from tests.faults.shared_server import new_schema, shared_server
from tests.faults.workload import recorded_connect
from tests.servers import PgBouncer, pgbouncer_program

_POOL_SIZE = 4  # connections, for many more of the clients
_OTHERS = """SELECT pid FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY pid"""


class _Pooler:
    """PgBouncer before the shared server, and what can be done to it."""

    def __init__(self, program: Path, random: Random) -> None:
        self._program = program
        self._random = random
        self._server = shared_server().url()
        self._running = PgBouncer(program, self._server, pool_size=_POOL_SIZE)

    @property
    def url(self) -> str:
        """It stays the same."""
        return self._running.url

    def stop(self) -> None:
        """For good."""
        self._running.stop()

    async def lose_one(self) -> int:
        """A server connection of it is terminated."""
        return await self._terminate(lambda pids: [self._random.choice(pids)])

    async def lose_all(self) -> int:
        """All of them are."""
        return await self._terminate(lambda pids: pids)

    async def be_killed(self) -> int:
        """It ends by ``kill -9``, and is started again a moment later."""
        self._running.kill()
        return await self.be_restarted()

    async def be_restarted(self) -> int:
        """It is stopped, and started again a moment later."""
        await asyncio.to_thread(self._running.stop)
        await asyncio.sleep(self._random.random() * 0.3)
        self._running = await asyncio.to_thread(
            PgBouncer, self._program, self._server, pool_size=_POOL_SIZE, port=self._running.port
        )
        return 1

    async def _terminate(self, chosen: Callable[[list[int]], list[int]]) -> int:
        session = await asyncpg.connect(self._server)
        try:
            pids = chosen([pid for (pid,) in await session.fetch(_OTHERS)])
            await session.execute(
                "SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid", pids
            )
        finally:
            await session.close()
        return len(pids)


_FAULTS = {
    "one server connection terminated": _Pooler.lose_one,
    "server connections terminated together": _Pooler.lose_all,
    "pgbouncer killed": _Pooler.be_killed,
    "pgbouncer restarted": _Pooler.be_restarted,
}


async def run(run: Run) -> Outcome:
    """The usual work; each kind of fault in turn."""
    program = pgbouncer_program()
    if program is None:
        raise Skipped("no pgbouncer here: apt install pgbouncer")
    outcome = Outcome()
    random = run.random("faults")
    pooler = _Pooler(program, random)
    url, schema = pooler.url, new_schema()
    load = Load(
        run, lambda client: recorded_connect(url, run.directory, client, schema=schema), tasks=4
    )
    kinds = list(_FAULTS.items())
    slowest = 0.0
    try:
        async with load:
            await load.goes_on()
            for number in range(run.count):
                await asyncio.sleep(random.random() * 0.2)
                told, fault = kinds[number % len(kinds)]
                count = await fault(pooler)
                outcome.faults[told] += count
                slowest = max(slowest, await load.goes_on())
            await load.finish(outcome)
    finally:
        await asyncio.to_thread(pooler.stop)
    outcome.notes.append(f"all clients went on after {slowest:.2f} s at most")
    return outcome


ROW = Row(
    title="Through PgBouncer in transaction mode: its connections and itself are ended",
    promises="1, 2, 3, 4, 5",
    run=run,
    full=120,
    quick=4,
)
