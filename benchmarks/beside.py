"""Processes beside the one that is measured: ``python -m benchmarks.beside TASK ARGUMENT …``.

Each works until its input ends, and then prints what it found as JSON. Moments are those of
CLOCK_MONOTONIC, which all processes of a machine share.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import asyncpg

from benchmarks.balances import in_bulk
from benchmarks.fines import first_steps
from benchmarks.measuring import percentiles
from hitherto import ProjectionWorker, Repository, connect
from hitherto.examples.traffic_fines import Fine

CHANNEL = "bench"
_PAUSE = 0.005  # seconds between two reads
_TICK = 0.001


class Beside:
    """A process that does a task meanwhile.

    Args:
        task: Its name in `TASKS`.
        arguments: For it.
    """

    def __init__(self, task: str, *arguments: str | int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.beside", task, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise RuntimeError(f"{task} did not begin")

    def stop(self) -> dict[str, float]:
        """End it; gives what it found.

        Raises:
            RuntimeError: It has failed.
        """
        told, _ = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError(f"{self._process.args!r} failed")
        found: dict[str, float] = json.loads(told)
        return found


async def append(ended: asyncio.Event, url: str, schema: str, rate: str) -> dict[str, float]:
    """Save new fines of one event by the clock; their ids tell when each was due."""
    (_, arguments), *_ = first_steps()[0].steps
    async with connect(url, schema=schema) as store:
        fines = Repository(store, Fine, snapshot_every=None)

        async def save(due: int) -> None:
            fine = Fine(f"due-{due}")
            fine.create(**arguments)
            await fines.save(fine)

        return await _by_the_clock(ended, float(rate), save)


async def notify(ended: asyncio.Event, url: str, rate: str) -> dict[str, float]:
    """Notify by the clock, and tell when each was due."""
    connection = await asyncpg.connect(url)
    alone = asyncio.Lock()

    async def send(due: int) -> None:
        async with alone:
            await connection.execute(f"NOTIFY {CHANNEL}, '{due}'")

    try:
        return await _by_the_clock(ended, float(rate), send)
    finally:
        await connection.close()


async def read(ended: asyncio.Event, url: str, table: str) -> dict[str, float]:
    """Read rows of a view that are there, one after the other; none may be missing."""
    connection = await asyncpg.connect(url)
    places = Random(1)
    fines = [each for (each,) in await connection.fetch(f"SELECT fine FROM {table} LIMIT 10000")]
    latencies: list[float] = []
    failed = 0
    _ready()
    while not ended.is_set():
        start = time.perf_counter()
        try:
            found = await connection.fetchval(
                f"SELECT events FROM {table} WHERE fine = $1", places.choice(fines)
            )
            failed += found is None
        except asyncpg.PostgresError:
            failed += 1
        latencies.append(time.perf_counter() - start)
        await asyncio.sleep(_PAUSE)
    await connection.close()
    return {**percentiles(latencies), "reads": len(latencies), "failed_reads": failed}


async def keep(ended: asyncio.Event, url: str, schema: str, table: str) -> dict[str, float]:
    """Keep the view up to date."""
    async with connect(url, schema=schema) as store:
        worker = ProjectionWorker(store, in_bulk(table))
        working = asyncio.create_task(worker.run())
        _ready()
        await asyncio.wait(
            [working, asyncio.create_task(ended.wait())], return_when=asyncio.FIRST_COMPLETED
        )
        worker.stop()
        await working
        return {"events": worker.handled}


async def _by_the_clock(
    ended: asyncio.Event, rate: float, act: Callable[[int], Awaitable[None]]
) -> dict[str, float]:
    """Act so many times a second, whether or not those before are done."""
    under_way: set[asyncio.Future[None]] = set()
    latencies: list[float] = []

    async def timed(due: int) -> None:
        await act(due)
        latencies.append((time.monotonic_ns() - due) / 1e9)

    await act(time.monotonic_ns())
    _ready()
    begun, sent = time.monotonic_ns(), 0
    while not ended.is_set():
        now = time.monotonic_ns()
        while (due := begun + int(sent / rate * 1e9)) <= now:
            task = asyncio.ensure_future(timed(due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            sent += 1
        await asyncio.sleep(_TICK)
    await asyncio.gather(*under_way)
    seconds = (time.monotonic_ns() - begun) / 1e9
    return {**percentiles(latencies), "per_s": sent / seconds}


def _ready() -> None:
    print("ready", flush=True)


TASKS: dict[str, Any] = {task.__name__: task for task in (append, notify, read, keep)}


async def _main(task: str, *arguments: str) -> None:
    ended = asyncio.Event()
    waiting = asyncio.create_task(_end_of_input(ended))
    found = await TASKS[task](ended, *arguments)
    await waiting
    print(json.dumps(found))


async def _end_of_input(ended: asyncio.Event) -> None:
    await asyncio.to_thread(sys.stdin.read)
    ended.set()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
