"""One append of many events."""

from collections.abc import Sequence

from benchmarks.contenders.base import Contender
from benchmarks.contenders.raw import copy_in
from benchmarks.fines import long_story
from benchmarks.measuring import Sample, Timings, median, spent
from benchmarks.results import EVENTSOURCE_PY, FUNCTIONS, OURS, PEER, RAW
from benchmarks.running import Bench, Case, Family
from benchmarks.workloads.saving import best_threads, rows_of

APPEND = "one append"
_REPEATS = 10_000  # events in one measurement, so that short appends are repeated
_MOST = 20


def one_append(contender: Contender, events: int) -> Sample:
    """Save an aggregate with so many pending events; making them by commands is told apart."""
    repeats = max(1, min(_MOST, _REPEATS // events))
    with contender.fresh() as session:
        session.run(session.save, long_story("warm-up", 2))
        commands = Timings()
        with spent(commands, session.server.cpu):
            fines = [session.made(long_story(f"fine-{n}", events)) for n in range(repeats)]
        timings = session.drive(session.append, fines)
    typical = median(timings.latencies)
    values = {
        "events_per_s": events / typical,
        "p50_ms": 1000 * typical,
        "commands_ms": 1000 * commands.seconds / repeats,
    }
    return Sample({**values, **timings.cpu})


def _cases(bench: Bench) -> Sequence[Case]:
    best_threads(bench)
    cases = []
    for events in bench.plan.appends:
        rows, count = rows_of(bench, events)
        for contender in (OURS, PEER, FUNCTIONS, EVENTSOURCE_PY):
            timeout = bench.plan.stall * (1 if contender == OURS else 2)
            cases.append(Case(APPEND, events, contender, one_append, (events,), timeout))
        cases.append(Case(APPEND, events, RAW, copy_in, (rows, count)))
    return cases


FAMILIES = (Family("append", 150, _cases),)
