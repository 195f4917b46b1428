"""The same on a SQLite file, where nothing is installed."""

import sqlite3
from collections.abc import Sequence

from benchmarks.contenders.base import Contender
from benchmarks.contenders.eventsourcing_peer import EventsourcingOnSqlite
from benchmarks.contenders.ours import sqlite_file
from benchmarks.fines import long_story
from benchmarks.measuring import Sample
from benchmarks.results import OURS, PEER
from benchmarks.running import SQLITE, Bench, Case, Family
from benchmarks.workloads.reading import measured_loads
from benchmarks.workloads.saving import best_threads, concurrent_saves, lone_saves

LONE, TASKS, LOAD = SQLITE + "lone save", SQLITE + "tasks", SQLITE + "load"
_MODES = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}


def loads(contender: Contender, events: int, seconds: float) -> Sample:
    """Load one aggregate over and over."""
    with contender.fresh() as session:
        session.run(session.save, long_story("long", events))
        return measured_loads(session, "long", seconds)


def peer_durability(peer: EventsourcingOnSqlite) -> str:
    """What the peer's connection is set to."""
    with sqlite_file() as path, peer.opened(str(path)) as session:
        datastore = session.app.factory.datastore  # type: ignore[attr-defined]
        with datastore.get_connection(commit=False) as connection:
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode")
            (journal,) = cursor.fetchone()
            cursor.execute("PRAGMA synchronous")
            (synchronous,) = cursor.fetchone()
    return f"{journal.upper()}, synchronous={_MODES[synchronous]}, SQLite {sqlite3.sqlite_version}"


def _cases(bench: Bench) -> Sequence[Case]:
    best_threads(bench)
    seconds = bench.plan.seconds
    told = bench.call(SQLITE + PEER, peer_durability)
    bench.results.facts["SQLite durability of the peer"] = told
    cases = []
    for contender in (OURS, PEER):
        worker = SQLITE + contender
        cases += [
            Case(LONE, 1, contender, lone_saves, (seconds,), worker=worker),
            Case(TASKS, 1000, contender, concurrent_saves, (1000, seconds), worker=worker),
            Case(LOAD, 1000, contender, loads, (1000, seconds / 2), worker=worker),
        ]
    return sorted(cases, key=lambda case: case.workload)


FAMILIES = (Family("sqlite", 100, _cases),)
