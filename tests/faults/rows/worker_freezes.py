"""Workers of views are frozen past their lease, at any point, and go on after others took over."""

import asyncio
import signal
from functools import partial

from tests.faults.backends import Place
from tests.faults.crew import Crew, Member, behind, told_seconds
from tests.faults.following import POINTS
from tests.faults.ledger import LEDGER, SUMMARY, wrong_views
from tests.faults.load import PATIENCE, Load
from tests.faults.row import Outcome, Row, Run
from tests.faults.shared_server import new_schema, shared_server
from tests.faults.workload import recorded_connect

_LEASE = 0.6  # seconds
_LOOK = 0.01
_OF_THE_LEDGER = ("handler/before", "handler/after")  # others come by everywhere


async def run(run: Run) -> Outcome:
    """Once where one works and the other stands by, once where both share the view."""
    outcome = Outcome()
    alone = (run.count + 1) // 2
    await _on(run, outcome, alone, name="one of two works", spread=False)
    await _on(run, outcome, run.count - alone, name="both work", spread=True)
    outcome.notes.append(f"frozen in turn at {', '.join(POINTS['postgresql'])}")
    return outcome


async def _on(run: Run, outcome: Outcome, rounds: int, *, name: str, spread: bool) -> None:
    if not rounds:
        return
    place = Place("postgresql", shared_server().url(), {"schema": new_schema()})
    connect = partial(recorded_connect, place.url, run.directory, **place.settings)
    async with (
        Load(run, connect, clients=1, tasks=1, accounts=40, name=name) as load,
        Crew(place, run, load.store, lease=_LEASE, spread=spread) as crew,
    ):
        freezer = _Freezer(crew, load, run, outcome, spread=spread, name=name)
        for _ in range(rounds):
            await freezer.freeze_one()
        await load.finish(outcome)
        for view in (LEDGER, SUMMARY):
            await crew.start(view)
        outcome.violations += await behind(load.store, [LEDGER, SUMMARY])
        outcome.violations += crew.ended_by_themselves()
        await crew.dismiss()
        outcome.violations += [f"{name}: {each}" for each in await wrong_views(load.store, place)]
    outcome.notes.append(f"{name}: taken over {told_seconds(freezer.seconds, _LEASE)}")


class _Freezer:
    """Freezes one member after the other, each at another point."""

    def __init__(
        self, crew: Crew, load: Load, run: Run, outcome: Outcome, *, spread: bool, name: str
    ) -> None:
        self.seconds: list[float] = []
        self._crew = crew
        self._load = load
        self._outcome = outcome
        self._spread = spread
        self._name = name
        self._random = run.random(f"freezes, {name}")
        points = POINTS["postgresql"]
        self._points = self._random.sample(points, len(points))
        self._round = 0

    async def freeze_one(self) -> None:
        """One is frozen at a point, others take over and go on, and it goes on itself."""
        point = self._points[self._round % len(self._points)]
        view = SUMMARY if self._round % 2 and point not in _OF_THE_LEDGER else LEDGER
        self._round += 1
        frozen = await self._crew.start(
            view, at=f"{point}:{self._random.randint(1, 5)}", number=signal.SIGSTOP
        )
        other = await self._second(frozen)
        async with asyncio.timeout(PATIENCE):
            while not frozen.is_frozen:
                if not self._spread and await self._owns(other):
                    # The first has let its lease lapse, on a busy machine: it is to have it back.
                    await self._crew.dismiss(other)
                    other = await self._second(frozen)
                await asyncio.sleep(_LOOK)
        self._outcome.faults[self._name] += 1
        self.seconds.append(await self._crew.held_by_others(view, [frozen.pid]))
        await self._moves_on(view)
        frozen.thaw()
        await self._moves_on(view)
        await self._crew.dismiss(other)  # The one that was frozen is to be of use again.
        await self._crew.held_by_others(view, [other.pid])
        await self._moves_on(view)
        self._outcome.violations += self._crew.ended_by_themselves()
        await self._crew.dismiss(frozen)

    async def _second(self, first: Member) -> Member:
        """Another one of the same view; who comes second only stands by, unless they share."""
        while not (self._spread or first.is_frozen or await self._owns(first)):
            await asyncio.sleep(_LOOK)
        return await self._crew.start(first.view)

    async def _owns(self, member: Member) -> bool:
        return member.pid in await self._crew.owners(member.view)

    async def _moves_on(self, view: str) -> None:
        self._outcome.violations += await behind(self._load.store, [view])


ROW = Row(
    title="Workers of views frozen (`SIGSTOP`) past their lease, who then go on",
    promises="3, 5",
    run=run,
    full=26,
    quick=1,
)
