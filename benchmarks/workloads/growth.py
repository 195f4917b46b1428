"""The same operations on ten thousand, a million and five million stored events."""

import itertools
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import uuid4

from benchmarks.contenders.ours import Ours, OursSession
from benchmarks.contenders.raw import PAGE, STREAM, Raw
from benchmarks.fines import Story, endless, first_steps, long_story
from benchmarks.measuring import Sample, Values, median, percentiles
from benchmarks.results import OURS, RAW
from benchmarks.running import Bench, Case, Family

APPEND, LOAD, PAGES = "growth: lone append", "growth: load 100 events", "growth: log page"
LEVELS = "index levels by stored events"
EVENTS = 100  # of each stored aggregate
_STORE = "growing"
_EXPLAINED = 30
_EXPLAIN = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_format": "json",
}
_PLAN = re.compile(r"plan:\n((?:\t.*\n)+)")
_CHUNK = 2500  # aggregates that one statement adds
_FILL = """
INSERT INTO {store}.event_store (event_id, event_type, aggregate_id, aggregate_type, event_version,
    schema_version, event_data, metadata, occurred_at)
SELECT uuidv7(), t.event_type, 'filled-' || g, t.aggregate_type, t.event_version,
    t.schema_version, t.event_data, t.metadata, t.occurred_at
FROM generate_series({first}, {last}) g CROSS JOIN template t ORDER BY g, t.event_version
"""
_INDEXES = """
SELECT format('DROP INDEX %I.%I', schemaname, indexname), indexdef FROM pg_indexes
WHERE schemaname = '{store}' AND tablename = 'event_store' AND indexname NOT LIKE '%pkey'
"""
_LEVELS = """
SELECT c.relname, (bt_metap(c.oid::regclass::text)).level FROM pg_class c
JOIN pg_index i ON i.indexrelid = c.oid JOIN pg_am a ON a.oid = c.relam
WHERE a.amname = 'btree' AND i.indrelid = '{store}.event_store'::regclass
"""


@dataclass(frozen=True, slots=True)
class Operation:
    """What is measured at every size.

    Attributes:
        workload: Its name.
        ours: The session's method.
        supply: The arguments for it, given the number of stored events.
    """

    workload: str
    ours: Callable[[OursSession], Callable[..., Any]]
    supply: Callable[[int], Iterator[Any]]


def new_fines(stored: int) -> Iterator[Story]:
    """Fines of one event, never seen before, whose ids fall all over the index."""
    for story, place in zip(endless(first_steps()), stored_fines(stored), strict=False):
        yield replace(story, id=f"{place}-{uuid4().int}")


def stored_fines(stored: int) -> Iterator[str]:
    """Ids all over the store."""
    chosen = random.Random(stored)
    while True:
        yield f"filled-{chosen.randrange(stored // EVENTS)}"


def positions(stored: int) -> Iterator[int]:
    """Places in the log, all over."""
    chosen = random.Random(stored)
    while True:
        yield chosen.randrange(max(1, stored - 2000))


OPERATIONS = (
    Operation(APPEND, lambda session: session.save, new_fines),
    Operation(LOAD, lambda session: session.load, stored_fines),
    Operation(PAGES, lambda session: session.read_page, positions),
)
_BY_NAME = {operation.workload: operation for operation in OPERATIONS}


def ours_at(ours: Ours, workload: str, stored: int, seconds: float) -> Sample:
    """One operation of ours, and the buffers that its statements touch."""
    operation = _BY_NAME[workload]
    supply = operation.supply(stored)
    with ours.connected(ours.server.url, schema=_STORE) as session:
        work = operation.ours(session)
        session.drive(work, itertools.islice(supply, 10))
        timings = session.drive(work, supply, seconds=seconds)
    values: Values = {**percentiles(timings.latencies), **timings.cpu}
    return Sample({**values, "buffers": _buffers(ours, operation, supply)})


def raw_at(raw: Raw, workload: str, stored: int, seconds: float) -> Sample:
    """The same on the same table, without a library."""
    if workload == APPEND:
        return raw.insert(_STORE, seconds, 1, places=stored // EVENTS)
    query = STREAM if workload == LOAD else PAGE
    supply = _BY_NAME[workload].supply(stored)
    return raw.repeated(query.format(store=_STORE), supply, seconds)


def seed(ours: Ours) -> None:
    """Store the aggregate that `fill` multiplies."""
    with ours.opened(_STORE) as session:
        session.run(session.save, long_story("filled-0", EVENTS))


def fill(raw: Raw, first: int, last: int) -> None:
    """Add aggregates inside the server; where they are many, the indexes are built afterwards."""
    psql = raw.server.psql
    template = f"CREATE TEMP TABLE template AS SELECT * FROM {_STORE}.event_store LIMIT {EVENTS}"
    statements = [template]
    for start in range(first, last + 1, _CHUNK):
        end = min(start + _CHUNK - 1, last)
        statements.append(_FILL.format(store=_STORE, first=start, last=end))
    if last - first > _CHUNK:
        indexes = psql(_INDEXES.format(store=_STORE)).splitlines()
        drops, builds = zip(*(line.split("\t") for line in indexes), strict=True)
        statements = [template, *drops, *statements[1:], *builds]
    settings = {"synchronous_commit": "off", "work_mem": "256MB", "maintenance_work_mem": "512MB"}
    psql(*(f"SET {name} = '{value}'" for name, value in settings.items()), *statements)
    psql(f"VACUUM (ANALYZE, FREEZE) {_STORE}.event_store", "CHECKPOINT")


def index_levels(raw: Raw) -> dict[str, int]:
    """How deep each index is."""
    extension = "CREATE EXTENSION IF NOT EXISTS pageinspect"
    quiet = "SET client_min_messages = error"
    rows = raw.server.psql(quiet, extension, _LEVELS.format(store=_STORE)).splitlines()
    return {name: int(level) for name, level in (row.split("\t") for row in rows)}


def _buffers(ours: Ours, operation: Operation, supply: Iterator[Any]) -> float:
    """The buffers of one operation: the server explains every statement that it really gets."""
    options = "%20".join(f"-c%20{name}%3D{value}" for name, value in _EXPLAIN.items())
    log = ours.server.cluster_dir / "log"
    with ours.connected(f"{ours.server.url}?options={options}", schema=_STORE) as session:
        work = operation.ours(session)
        session.drive(work, itertools.islice(supply, 5))
        found = []
        for item in itertools.islice(supply, _EXPLAINED):
            offset = log.stat().st_size
            session.run(work, item)
            with log.open() as file:
                file.seek(offset)
                found.append(sum(map(_touched, _PLAN.findall(file.read()))))
    return median(found)


def _touched(text: str) -> int:
    plan = json.loads(text)["Plan"]
    return int(plan.get("Shared Hit Blocks", 0) + plan.get("Shared Read Blocks", 0))


def _cases(bench: Bench, step: int) -> Sequence[Case]:
    stored = bench.plan.growth[step]
    if step == 0:
        bench.call(OURS, seed)
    first = bench.plan.growth[step - 1] // EVENTS if step else 1
    bench.call(RAW, fill, first, stored // EVENTS - 1)
    levels = bench.results.facts.setdefault(LEVELS, {})
    levels[stored] = bench.call(RAW, index_levels)
    seconds = bench.plan.seconds
    cases = []
    for workload in (APPEND, LOAD, PAGES):
        cases.append(Case(workload, stored, OURS, ours_at, (workload, stored, seconds)))
        cases.append(Case(workload, stored, RAW, raw_at, (workload, stored, seconds)))
    return cases


FAMILIES = tuple(Family(f"growth {step + 1}", 90, partial(_cases, step=step)) for step in range(3))
