"""Saves: alone, by many tasks on aggregates of their own, and by many on a few hot ones."""

import itertools
import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.contenders.base import Contender
from benchmarks.contenders.eventsourcing_peer import Eventsourcing
from benchmarks.contenders.ours import Ours, OursSession
from benchmarks.contenders.raw import Raw, copy_in, inserts, write_rows
from benchmarks.fines import endless, first_steps, long_story, stories
from benchmarks.measuring import Sample
from benchmarks.results import EVENTSOURCE_PY, FUNCTIONS, OURS, PEER, RAW
from benchmarks.running import SQLITE, Bench, Case, Family

LONE, TASKS, COPY, HOT = "lone save", "tasks", "copy in", "hot"
SINGLES = "tasks, one event each"
HOT_AGGREGATES = 50
COPIED = 20_000
_WARM_UP = 100
_PGBENCH_CLIENTS = 100  # more only wait for each other


def lone_saves(contender: Contender, seconds: float) -> Sample:
    """One save after another, of one event each."""
    with contender.fresh() as session:
        supply = endless(first_steps())
        session.drive(session.save, itertools.islice(supply, _WARM_UP))
        return Sample(session.drive(session.save, supply, seconds=seconds).rates())


def concurrent_saves(
    contender: Contender, tasks: int, seconds: float, *, singles: bool = False
) -> Sample:
    """Tasks that save one fine after another, each an aggregate of its own.

    They save it whole, or only its first event.
    """
    with contender.fresh() as session:
        supply = endless(first_steps() if singles else stories())
        warm_up = itertools.islice(supply, _WARM_UP)
        session.drive(session.save, warm_up, concurrency=min(tasks, _WARM_UP))
        timings = session.drive(session.save, supply, concurrency=tasks, seconds=seconds)
        return Sample(timings.rates())


def concurrent_singles(contender: Contender, tasks: int, seconds: float) -> Sample:
    """The same, of one event each."""
    return concurrent_saves(contender, tasks, seconds, singles=True)


def hot_updates(contender: Contender, tasks: int, seconds: float) -> Sample:
    """Tasks that pay one euro after another, of fifty fines; the sum is checked.

    Raises:
        AssertionError: A payment was lost, or counted twice.
    """
    with contender.fresh() as session:
        fines = [f"hot-{number}" for number in range(HOT_AGGREGATES)]
        for fine in fines:
            session.run(session.save, long_story(fine, 1))
        chosen = random.Random(1)
        supply = (chosen.choice(fines) for _ in itertools.count())
        timings = session.drive(session.pay, supply, concurrency=tasks, seconds=seconds)
        updates = len(timings.latencies)
        conflicts = session.conflicts.count if isinstance(session, OursSession) else timings.events
        paid = sum(session.run(session.paid, fine) for fine in fines)
        assert paid == updates, f"{updates} updates, but {paid} euros are paid"
        timings.events = updates
        values = {"conflicts": float(conflicts), "retries_per_update": conflicts / updates}
        return Sample({**timings.rates(), **values})


def calibrate(contender: Eventsourcing, counts: Sequence[int], seconds: float) -> dict[int, float]:
    """Try numbers of threads, a hundred saves under way; it keeps the best."""
    rates = {}
    for threads in counts:
        contender.threads = threads
        sample = concurrent_saves(contender, 100, seconds)
        rates[threads] = sample.values["operations_per_s"]
    contender.threads = max(rates, key=rates.__getitem__)
    return rates


def best_threads(bench: Bench) -> None:
    """Give the peer, in each of its modes, the number of threads at which it is fastest."""
    for worker in (PEER, FUNCTIONS, SQLITE + PEER):
        if f"threads of {worker}" in bench.results.facts:
            continue
        rates = bench.call(worker, calibrate, bench.plan.threads, bench.plan.seconds)
        best = max(rates, key=rates.__getitem__)
        make = bench.workers[worker].make
        bench.workers[worker].make = _with_threads(make, best)
        bench.results.facts[f"threads of {worker}"] = best
        tried = {str(threads): round(rate) for threads, rate in rates.items()}
        bench.results.facts[f"saves/s of {worker} by threads"] = tried
        bench.console.print(f"  {worker}: {best} threads are best (saves/s: {tried})")


def rows_of(bench: Bench, count: int) -> tuple[Path, int]:
    """A file with so many rows of fines, for `copy_in`, and how many there really are."""
    path = bench.server.cluster_dir / f"rows-{count}"
    if not path.exists():
        written = bench.call(RAW, _write_fines, path, count)
        bench.results.facts[f"rows in {path.name}"] = written
    return path, bench.results.facts[f"rows in {path.name}"]


def _write_fines(raw: Raw, path: Path, count: int) -> int:
    ours = Ours(raw.server)
    with raw.fresh() as store:
        with ours.opened(store) as session:
            supply = itertools.islice(endless(stories()), count // 3)
            session.drive(session.save, supply, concurrency=500)
        return write_rows(raw, store, path, count)


def _lone(bench: Bench) -> Sequence[Case]:
    best_threads(bench)
    seconds = bench.plan.seconds
    return [
        Case(LONE, 1, OURS, lone_saves, (seconds,)),
        Case(LONE, 1, PEER, lone_saves, (seconds,)),
        Case(LONE, 1, FUNCTIONS, lone_saves, (seconds,)),
        Case(LONE, 1, EVENTSOURCE_PY, lone_saves, (seconds,)),
        Case(LONE, 1, RAW, inserts, (seconds, 1)),
    ]


def _tasks(bench: Bench) -> Sequence[Case]:
    best_threads(bench)
    seconds = bench.plan.seconds
    rows, count = rows_of(bench, COPIED)
    cases: list[Case] = []
    for tasks in bench.plan.tasks:
        cases += (
            Case(TASKS, tasks, contender, concurrent_saves, (tasks, seconds))
            for contender in (OURS, PEER, FUNCTIONS, EVENTSOURCE_PY)
        )
        if tasks <= _PGBENCH_CLIENTS:
            cases.append(Case(TASKS, tasks, RAW, inserts, (seconds, tasks)))
        cases.append(Case(COPY, count, RAW, copy_in, (rows, count)))
    cases += (
        Case(SINGLES, 1000, contender, concurrent_singles, (1000, seconds))
        for contender in (OURS, PEER, FUNCTIONS, EVENTSOURCE_PY)
    )
    return cases


def _hot(bench: Bench) -> Sequence[Case]:
    best_threads(bench)
    arguments = (1000, bench.plan.seconds)
    return [
        Case(HOT, 1000, contender, hot_updates, arguments)
        for contender in (OURS, PEER, FUNCTIONS, EVENTSOURCE_PY)
    ]


def _with_threads(make: object, threads: int) -> partial[Eventsourcing]:
    assert isinstance(make, partial)
    return partial(make.func, threads=threads)


FAMILIES = (
    Family("lone", 120, _lone),
    Family("tasks", 600, _tasks),
    Family("hot", 100, _hot),
)
