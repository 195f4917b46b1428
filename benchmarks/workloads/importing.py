"""The import of a whole history."""

import itertools
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from benchmarks.contenders.eventsourcing_peer import Eventsourcing, EventsourcingSession
from benchmarks.contenders.ours import Ours, OursSession
from benchmarks.contenders.raw import copy_in, write_rows
from benchmarks.fines import Story, log_lines, story_of
from benchmarks.measuring import Sample, Timings, spent
from benchmarks.results import FUNCTIONS, OURS, PEER, RAW
from benchmarks.running import Bench, Case, Family
from benchmarks.workloads.saving import best_threads
from hitherto.examples.traffic_fines import fine_of, import_fines

IMPORT = "import"
PER_TRANSACTION = 100
_PEER_FINES_PER_SECOND = 3000  # more than it can do, for it must not run out of them


def import_log(ours: Ours, log: Path | None, fines: int) -> Sample:
    """Import fines by the example's own `import_fines`; parsing and commands are timed too."""
    with ours.fresh() as session:
        assert isinstance(session, OursSession)
        return _imported(session, log, fines)


def seed_log(ours: Ours, store: str, log: Path | None, fines: int) -> int:
    """Import into a store that stays; gives the number of events."""
    with ours.opened(store) as session:
        assert isinstance(session, OursSession)
        return int(_imported(session, log, fines).values["events"])


def import_many(
    peer: Eventsourcing, log: Path | None, fines: int, transaction: int, seconds: float
) -> Sample:
    """Save fines by commands, many in a transaction, so long at most; parsing is not timed."""
    known = stories_of(log, min(fines, int(_PEER_FINES_PER_SECOND * seconds)))
    with peer.fresh() as session:
        assert isinstance(session, EventsourcingSession)
        timings = session.drive(
            session.save_many,
            chunks(known, transaction),
            concurrency=peer.threads,
            seconds=seconds,
        )
    note = f"{PER_TRANSACTION} fines a transaction; as far as it came in {seconds:.0f} s"
    values = {
        "events_per_s": timings.events / timings.seconds,
        "events": float(timings.events),
        "seconds": timings.seconds,
    }
    return Sample({**values, **timings.cpu}, note)


def log_store(bench: Bench) -> tuple[str, int]:
    """A store of ours with the whole log, made when it is first asked for, and its events."""
    store = "whole_log"
    if "events in the log" not in bench.results.facts:
        count = bench.call(OURS, seed_log, store, bench.log, bench.plan.fines)
        bench.results.facts["events in the log"] = count
        bench.server.psql(f"VACUUM ANALYZE {store}.event_store")
    return store, bench.results.facts["events in the log"]


def _imported(session: OursSession, log: Path | None, fines: int) -> Sample:
    timings = Timings()
    with spent(timings, session.server.cpu):
        done = session.run(import_fines, session.fines, log_lines(log, fines))
    values = {
        "events_per_s": done.events / timings.seconds,
        "fines_per_s": done.fines / timings.seconds,
        "events": float(done.events),
        "seconds": timings.seconds,
    }
    return Sample({**values, **timings.cpu})


@cache
def stories_of(log: Path | None, fines: int) -> list[Story]:
    """The log's first fines, parsed once."""
    return [story_of(fine_of(line)) for line in log_lines(log, fines)]


def chunks(known: list[Story], size: int) -> Iterator[list[Story]]:
    """Some at a time."""
    rest = iter(known)
    while chunk := list(itertools.islice(rest, size)):
        yield chunk


def _cases(bench: Bench) -> Sequence[Case]:
    best_threads(bench)
    plan = bench.plan
    store, count = log_store(bench)
    rows = bench.server.cluster_dir / "rows-log"
    bench.call(RAW, write_rows, store, rows, count)
    peer = (bench.log, plan.fines, PER_TRANSACTION, plan.patience)
    return [
        Case(IMPORT, plan.fines, OURS, import_log, (bench.log, plan.fines), 600),
        Case(IMPORT, plan.fines, PEER, import_many, peer),
        Case(IMPORT, plan.fines, FUNCTIONS, import_many, peer),
        Case(IMPORT, plan.fines, RAW, copy_in, (rows, count)),
    ]


FAMILIES = (Family("import", 240, _cases),)
