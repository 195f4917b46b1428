"""A steady load, come what may: fines arrive by the clock, not when the one before is done."""

import asyncio
import time
from collections.abc import Sequence

from benchmarks.contenders.ours import Ours, OursSession
from benchmarks.fines import Story, endless, stories
from benchmarks.measuring import Sample, Timings, percentiles, spent
from benchmarks.results import OURS
from benchmarks.running import Bench, Case, Family

SUSTAINED = "sustained"
RATE = 10_000  # events a second
_TICK = 0.005
_PATIENCE = 30.0  # seconds for the backlog to be worked off afterwards


class _Load:
    """Starts a save for each fine that is due, and keeps count."""

    def __init__(self, session: OursSession, seconds: float) -> None:
        self._session = session
        self._seconds = seconds
        self._supply = endless(stories())
        self._under_way: set[asyncio.Task[None]] = set()
        self.latencies: list[float] = []
        self.backlog: list[int] = []
        self.events = 0

    async def run(self) -> None:
        """Send the load, and wait for what is under way."""
        start = time.perf_counter()
        sent = 0
        while (now := time.perf_counter() - start) < self._seconds:
            while sent < RATE * now:
                story = next(self._supply)
                due = start + sent / RATE
                sent += len(story.steps)
                task = asyncio.create_task(self._save(story, due))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
            self.backlog.append(len(self._under_way))
            await asyncio.sleep(_TICK)
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=_PATIENCE)

    async def _save(self, story: Story, due: float) -> None:
        """Save one; its latency counts from when it was due, however late it was begun."""
        events = await self._session.save(story)
        self.events += events
        self.latencies.append(time.perf_counter() - due)


def sustained(ours: Ours, seconds: float) -> Sample:
    """Offer ten thousand events a second for so long."""
    with ours.fresh() as session:
        assert isinstance(session, OursSession)
        session.drive(session.save, stories()[:500], concurrency=100)
        load = _Load(session, seconds)
        timings = Timings()
        with spent(timings, ours.server.cpu):
            session.run(load.run)
    values = {
        "events_per_s": load.events / timings.seconds,
        "offered_per_s": float(RATE),
        "seconds": timings.seconds,
        "backlog_max": float(max(load.backlog)),
        "backlog_end": float(load.backlog[-1]),
        "backlog_mean": sum(load.backlog) / len(load.backlog),
    }
    return Sample({**values, **percentiles(load.latencies), **timings.cpu})


def _cases(bench: Bench) -> Sequence[Case]:
    return [Case(SUSTAINED, RATE, OURS, sustained, (bench.plan.sustained,), 300)]


FAMILIES = (Family("sustained", 60, _cases),)
