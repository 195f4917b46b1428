"""Processes that write are killed, at random moments and at named points; others take over."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import Counter
from functools import partial
from pathlib import Path

from tests.faults.backends import Place, places
from tests.faults.dying import DIES_AT, POINTS
from tests.faults.load import Load
from tests.faults.row import Outcome, Row, Run
from tests.faults.workload import recorded_connect

_ROOT = Path(__file__).parents[3]
_PROGRAM = ("-m", "tests.faults.dying")
_AT_ONCE = 3  # processes
_TOO_LONG = 8.0  # seconds for a process to come to its point, or to begin
_LONGEST_LIFE = 0.4  # seconds, of one that has begun to write


async def run(run: Run) -> Outcome:
    """On each backend half of the kills, while a client in this process goes on."""
    outcome = Outcome()
    for place in places(run):
        async with Load(
            run,
            partial(recorded_connect, place.url, run.directory, **place.settings),
            clients=1,
            tasks=1,
            name=place.name,
        ) as load:
            writers = _Writers(place, run, outcome)
            await writers.kill((run.count + 1) // 2)
            await load.goes_on()
            await load.finish(outcome)
        outcome.notes.append(f"named points on {place.name}: {writers.told()}")
    return outcome


class _Writers:
    """Processes on one store, each of which is killed and replaced by the next."""

    def __init__(self, place: Place, run: Run, outcome: Outcome) -> None:
        self._place = place
        self._run = run
        self._outcome = outcome
        points = POINTS[place.name]
        self._points = run.random(f"points of {place.name}").sample(points, len(points))
        self._hit = Counter[str]()

    async def kill(self, count: int) -> None:
        """Start so many, some at a time, and see the end of each."""
        names = [f"{self._place.name}-writer-{number}" for number in range(1, count + 1)]
        waiting = iter(enumerate(names))

        async def one_after_the_other() -> None:
            for number, name in waiting:
                turn, at_random = divmod(number, 2)
                point = self._points[turn % len(self._points)]
                await self._live_and_die(name, "" if at_random else point)

        await asyncio.gather(*(one_after_the_other() for _ in range(_AT_ONCE)))

    def told(self) -> str:
        """How often each point was hit."""
        return ", ".join(f"{point} {self._hit[point]}" for point in sorted(self._hit))

    async def _live_and_die(self, name: str, point: str) -> None:
        random = self._run.random(name)
        times = random.randint(1, 2 if self._needs_copy(point) else 8)
        process = await self._started(name, f"{point}:{times}" if point else "")
        killed = False
        if random.random() < 0.8:
            await self._begun(name, process)
        try:
            patience = _TOO_LONG if point else random.uniform(0, _LONGEST_LIFE)
            await asyncio.wait_for(process.wait(), patience)
        except TimeoutError:
            killed = True
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if process.returncode != -signal.SIGKILL:
            told = self._errors(name).read_text()[-2000:]
            self._outcome.violations.append(
                f"{name} ended by itself ({process.returncode}): {told}"
            )
            return
        if point and not killed:
            self._hit[point] += 1
        kind = "at a random moment" if killed else "at a named point"
        self._outcome.faults[f"{kind} on {self._place.name}"] += 1

    async def _started(self, name: str, point: str) -> asyncio.subprocess.Process:
        with self._errors(name).open("w") as errors:
            return await asyncio.create_subprocess_exec(
                sys.executable, *_PROGRAM,
                self._place.url, str(self._run.directory), name,
                "--seed", str(self._run.seed), "--settings", json.dumps(self._place.settings),
                "--often", "0.2" if self._needs_copy(point) else "0.01",
                cwd=_ROOT, env={**os.environ, DIES_AT: point}, stdout=errors, stderr=errors,
            )  # fmt: skip

    def _needs_copy(self, point: str) -> bool:
        """Whether only very many events at once come by the point."""
        return self._place.name == "postgresql" and point.startswith(("copy", "commit"))

    def _errors(self, name: str) -> Path:
        return self._run.directory / f"{name}.errors"

    async def _begun(self, name: str, process: asyncio.subprocess.Process) -> None:
        """Wait for its first append, or its end."""
        history = self._run.directory / f"{name}.jsonl"
        for _ in range(int(_TOO_LONG / 0.01)):
            if process.returncode is not None or (history.exists() and history.stat().st_size):
                return
            await asyncio.sleep(0.01)


ROW = Row(
    title="Writers killed (`kill -9`), at random and at named points",
    promises="1, 2, 3, 4, 5",
    run=run,
    full=220,
    quick=10,
)
