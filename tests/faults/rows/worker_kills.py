"""Processes that work on views are killed, at random moments and at named points, under load."""

import asyncio
import signal
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from random import Random
from statistics import median

from tests.faults.backends import Place, places
from tests.faults.crew import Crew, Member, behind, told_seconds
from tests.faults.following import POINTS
from tests.faults.ledger import LEDGER, SUMMARY, wrong_views
from tests.faults.load import Load
from tests.faults.row import Outcome, Row, Run
from tests.faults.shared_server import new_schema, shared_server
from tests.faults.workload import recorded_connect

_LEASE = 0.6  # seconds
_ENOUGH = 10  # takeovers, to have a median that says something
_VIEWS = (LEDGER, LEDGER, SUMMARY, SUMMARY)


async def run(run: Run) -> Outcome:
    """Two race for each view on SQLite and on PostgreSQL; there, they also share views."""
    outcome = Outcome()
    sqlite, postgres = places(run)
    shared = Place("postgresql", shared_server().url(), {"schema": new_schema()})
    kills = [run.count // 3 + (number < run.count % 3) for number in range(3)]
    await _on(shared, run, outcome, kills[0], name="both work", spread=True)
    await _on(sqlite, run, outcome, kills[1], name="one of two works")
    await _on(postgres, run, outcome, kills[2], name="one of two works")
    return outcome


async def _on(
    place: Place, run: Run, outcome: Outcome, kills: int, *, name: str, spread: bool = False
) -> None:
    if not kills:
        return
    where = f"{place.name}, {name}"
    connect = partial(recorded_connect, place.url, run.directory, **place.settings)
    async with (
        Load(run, connect, clients=1, tasks=1, accounts=40, name=where) as load,
        Crew(place, run, load.store, lease=_LEASE, spread=spread) as crew,
    ):
        killer = _Killer(crew, place, run, outcome, where)
        await killer.man()
        while killer.done < kills:
            await killer.kill_one()
        for view in (LEDGER, SUMMARY):  # The others may all have a point before them.
            await crew.start(view)
        await load.goes_on()
        await load.finish(outcome)
        outcome.violations += await behind(load.store, [LEDGER, SUMMARY])
        outcome.violations += crew.ended_by_themselves()
        await crew.dismiss()
        outcome.violations += [f"{where}: {each}" for each in await wrong_views(load.store, place)]
    outcome.notes.append(f"{where}: taken over {killer.told()}")


class _Killer:
    """Kills members of a crew, and has each replaced."""

    def __init__(self, crew: Crew, place: Place, run: Run, outcome: Outcome, where: str) -> None:
        self.done = 0
        self._crew = crew
        self._outcome = outcome
        self._where = where
        self._random = run.random(f"kills on {where}")
        self._points = _shuffled(POINTS[place.name], self._random)
        self._seconds: list[float] = []

    async def man(self) -> None:
        """Start the first ones, and see them at work."""
        for view in _VIEWS:
            await self._crew.start(view)
        for view in {*_VIEWS}:
            await self._crew.held_by_others(view)

    async def kill_one(self) -> None:
        """Kill a member, or find one that has died at its point; another takes its place."""
        await asyncio.sleep(self._random.uniform(0, 0.2))
        dead = next((each for each in self._crew.members if each.ended is not None), None)
        if dead is None:
            dead = await self._chosen()
            await dead.kill()
            kind = "at a random moment"
        elif dead.ended == -signal.SIGKILL:
            kind = "at a named point"
        else:
            self._outcome.violations += self._crew.ended_by_themselves()
            kind = "ended by itself"
        self.done += 1
        self._outcome.faults[f"{kind} ({self._where})"] += 1
        await self._replace(dead)

    async def _chosen(self) -> Member:
        """Mostly one that works, now and then one that stands by."""
        view = self._random.choice((LEDGER, SUMMARY))
        owners = await self._crew.owners(view)
        at_work = [each for each in self._crew.members if each.pid in owners]
        return self._random.choice(
            at_work if at_work and self._random.random() < 0.8 else self._crew.members
        )

    async def _replace(self, dead: Member) -> None:
        """Every other new one is to die at a named point."""
        held = dead.pid in await self._crew.owners(dead.view)
        self._crew.members.remove(dead)
        point = next(self._points) if self._random.random() < 0.5 else ""
        await self._crew.start(
            dead.view, at=f"{point}:{self._random.randint(1, 20)}" if point else ""
        )
        if held:
            self._seconds.append(await self._crew.held_by_others(dead.view, [dead.pid]))

    def told(self) -> str:
        """How long it took until others had taken over."""
        seconds = self._seconds
        if len(seconds) >= _ENOUGH and median(seconds) > 3 * _LEASE:
            self._outcome.violations.append(
                f"{self._where}: others took over after {median(seconds):.1f} s in the median"
            )
        return told_seconds(seconds, _LEASE)


def _shuffled(points: tuple[str, ...], random: Random) -> Iterator[str]:
    return cycle(random.sample(points, len(points)))


ROW = Row(
    title="Workers of views killed (`kill -9`), at random and at named points",
    promises="3, 5",
    run=run,
    full=150,
    quick=2,
)
