"""The run: families of workloads, in interleaved rounds within a time budget."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.contenders.eventsource_py_peer import EventsourcePy
from benchmarks.contenders.eventsourcing_peer import (
    Eventsourcing,
    EventsourcingFunctions,
    EventsourcingOnSqlite,
)
from benchmarks.contenders.ours import Ours, OursOnSqlite
from benchmarks.contenders.raw import Raw
from benchmarks.measuring import Sample
from benchmarks.plan import Plan
from benchmarks.results import EVENTSOURCE_PY, FUNCTIONS, OURS, PEER, RAW, Results
from benchmarks.server import Server
from benchmarks.worker import Stalled, Worker

SQLITE = "SQLite: "
_TIMEOUT = 180.0


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement of one contender in a round.

    Attributes:
        workload: Its name in the results.
        size: What it is about: tasks, events, stored events …
        contender: Who.
        measure: Called in the contender's process, with the contender and the arguments.
        arguments: For it.
        timeout: Seconds until it counts as stalled.
        worker: Whose process, where it isn't the contender's own.
    """

    workload: str
    size: int
    contender: str
    measure: Callable[..., Sample]
    arguments: tuple[Any, ...] = ()
    timeout: float = _TIMEOUT
    worker: str = ""


@dataclass(slots=True)
class Bench:
    """What a family of workloads works with.

    Attributes:
        server: The PostgreSQL under test.
        plan: How much to measure.
        log: The log of 100,000 fines, if it is there.
        results: Where samples go.
        console: Where progress is told.
        deadline: When the run should end, on the performance counter.
        workers: The contenders' processes, by name.
        stores: Stores with a part of the log that have been made.
    """

    server: Server
    plan: Plan
    log: Path | None
    results: Results
    console: Console
    deadline: float
    workers: dict[str, Worker] = field(default_factory=dict)
    stores: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        makers: dict[str, Callable[[Server], Any]] = {
            OURS: Ours,
            PEER: partial(Eventsourcing, threads=1),
            FUNCTIONS: partial(EventsourcingFunctions, threads=1),
            EVENTSOURCE_PY: EventsourcePy,
            RAW: Raw,
            SQLITE + OURS: OursOnSqlite,
            SQLITE + PEER: partial(EventsourcingOnSqlite, threads=1),
        }
        self.workers = {name: Worker(make, self.server) for name, make in makers.items()}

    def call(self, worker: str, task: Callable[..., Any], *arguments: Any) -> Any:
        """Run a preparation in a contender's process."""
        return self.workers[worker].call(task, *arguments, timeout=10 * _TIMEOUT)

    def stop(self) -> None:
        """End all processes."""
        for worker in self.workers.values():
            worker.stop()


@dataclass(frozen=True, slots=True)
class Family:
    """Workloads that belong together.

    Attributes:
        name: For the command line.
        share: The seconds that its rounds may take in a full run.
        cases: Prepares, and gives the cases of one round in their order.
    """

    name: str
    share: float
    cases: Callable[[Bench], Sequence[Case]]


def run_family(bench: Bench, family: Family) -> None:
    """Round after round, as many as the budget allows, and one at least."""
    begun = time.perf_counter()
    cases = family.cases(bench)
    prepared = time.perf_counter()
    budget = min(family.share * bench.plan.budget, bench.deadline - prepared)
    longest, rounds = 0.0, 0
    stalled: set[Case] = set()
    while rounds < bench.plan.rounds:
        start = time.perf_counter()
        if rounds and start - prepared + longest > budget:
            break
        bench.server.psql("CHECKPOINT")
        for case in cases:
            if case not in stalled and not _measured(bench, case):
                stalled.add(case)
        longest = max(longest, time.perf_counter() - start)
        rounds += 1
    ended = time.perf_counter()
    bench.results.rounds[family.name] = rounds
    bench.console.print(
        f"  [bold]{family.name}[/bold]: {rounds} round{'s' if rounds > 1 else ''}, "
        f"{prepared - begun:.0f} s to prepare, {ended - prepared:.0f} s to measure"
    )


def _measured(bench: Bench, case: Case) -> bool:
    """Measure one case; tells whether it can be measured again."""
    worker = bench.workers[case.worker or case.contender]
    with bench.console.status(f"{case.workload} {case.size:,}: {case.contender}"):
        try:
            sample = worker.call(case.measure, *case.arguments, timeout=case.timeout)
        except Stalled as stalled:
            bench.results.add(case.workload, case.size, case.contender, Sample(note=str(stalled)))
            return False
        except RuntimeError as error:
            *_, last = str(error).strip().splitlines()
            bench.console.print(f"  [red]{case.workload} {case.size}: {case.contender}:[/red]")
            bench.console.print(str(error), markup=False, highlight=False)
            sample = Sample(note=f"failed: {last}")
            bench.results.add(case.workload, case.size, case.contender, sample)
            return False
    bench.results.add(case.workload, case.size, case.contender, sample)
    return True
