"""Reads: one aggregate, with and without a snapshot, and the whole log."""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.contenders.base import Contender, Session
from benchmarks.contenders.eventsourcing_peer import Eventsourcing, EventsourcingSession
from benchmarks.contenders.raw import copy_out, round_trip, select_stream
from benchmarks.fines import long_story, payment
from benchmarks.measuring import Sample, percentiles
from benchmarks.results import EVENTSOURCE_PY, OURS, PEER, RAW
from benchmarks.running import Bench, Case, Family
from benchmarks.workloads.importing import PER_TRANSACTION, chunks, log_store, stories_of

LOAD, SNAPSHOT, LOG = "load", "snapshot + 10", "catch-up"
SNAPSHOT_AT = 1000
_STORE = "streams"
_CHUNK = 2000  # events of a long stream that are saved at once
_WARM_UP = 3
_LONGEST = {EVENTSOURCE_PY: 10_000}  # it inserts one event a round trip: longer takes minutes


def loads(contender: Contender, store: str, events: int, seconds: float) -> Sample:
    """Load one aggregate over and over."""
    with contender.opened(store) as session:
        return measured_loads(session, stream_id(events), seconds)


def loads_from_snapshot(contender: Contender, events: int, seconds: float) -> Sample:
    """Load an aggregate that has ten events after its snapshot."""
    with contender.fresh() as session:
        fine = stream_id(events)
        _save_long(session, events)
        session.run(session.snapshot, fine)
        for _ in range(10):
            session.run(session.pay, fine)
        return measured_loads(session, fine, seconds)


def reads_of_log(contender: Contender, store: str, seconds: float) -> Sample:
    """Read the log once, from its start, every event decoded."""
    with contender.opened(store) as session:
        session.run(session.read_log, 0.0)
        timings = session.drive(session.read_log, [seconds])
    values = {
        "events_per_s": timings.events / timings.seconds,
        "events": float(timings.events),
        "seconds": timings.seconds,
    }
    return Sample({**values, **timings.cpu})


def seed_streams(contender: Contender, store: str, sizes: Sequence[int]) -> None:
    """Save aggregates with so many events."""
    with contender.opened(store) as session:
        for events in sizes:
            _save_long(session, events)


def seed_peer_log(peer: Eventsourcing, store: str, log: Path | None, fines: int) -> int:
    """Save the log's fines; gives the number of events."""
    with peer.opened(store) as session:
        assert isinstance(session, EventsourcingSession)
        supply = chunks(stories_of(log, fines), PER_TRANSACTION)
        return session.drive(session.save_many, supply).events


def seed_log_by_saves(contender: Contender, store: str, log: Path | None, fines: int) -> int:
    """The same, each fine for itself."""
    with contender.opened(store) as session:
        return session.drive(session.save, stories_of(log, fines), concurrency=50).events


def peer_log(bench: Bench) -> str:
    """A store of the peer with a part of the log, made when it is first asked for."""
    if "peer_log" not in bench.stores:
        bench.call(PEER, seed_peer_log, "peer_log", bench.log, bench.plan.peer_fines)
        bench.stores.add("peer_log")
    return "peer_log"


def other_log(bench: Bench) -> str:
    """A store of the other peer with a part of the log, made when it is first asked for."""
    if "other_log" not in bench.stores:
        fines = other_fines(bench)
        bench.call(EVENTSOURCE_PY, seed_log_by_saves, "other_log", bench.log, fines)
        bench.stores.add("other_log")
    return "other_log"


def other_fines(bench: Bench) -> int:
    """How many fines are in it, for it is slow."""
    return bench.plan.peer_fines // 10


def stream_id(events: int) -> str:
    """The id of the aggregate with so many events."""
    return f"stream-{events}"


def _save_long(session: Session, events: int) -> None:
    numbers = iter(range(1, events))
    fine = session.made(long_story(stream_id(events), 1))
    while steps := [payment(number) for number in itertools.islice(numbers, _CHUNK)]:
        session.go_on(fine, steps)
        session.run(session.append, fine)


def measured_loads(session: Session, fine: str, seconds: float) -> Sample:
    """Load one aggregate over and over, warm."""
    session.drive(session.load, _same(fine, _WARM_UP))
    timings = session.drive(session.load, itertools.repeat(fine), seconds=seconds)
    return Sample({**percentiles(timings.latencies), **timings.cpu})


def _same(fine: str, times: int) -> Iterable[str]:
    return itertools.repeat(fine, times)


def _load_cases(bench: Bench) -> Sequence[Case]:
    sizes = bench.plan.streams
    stores = {who: f"{_STORE}_{number}" for number, who in enumerate((OURS, PEER, EVENTSOURCE_PY))}
    for contender, store in stores.items():
        bench.call(contender, seed_streams, store, _sizes_of(contender, sizes))
    bench.server.psql("VACUUM ANALYZE")
    seconds = bench.plan.seconds / 2
    cases = []
    for events in sizes:
        for contender, store in stores.items():
            if events in _sizes_of(contender, sizes):
                cases.append(Case(LOAD, events, contender, loads, (store, events, seconds)))
        raw = (stores[OURS], stream_id(events), seconds)
        cases.append(Case(LOAD, events, RAW, select_stream, raw))
    return cases


def _sizes_of(contender: str, sizes: Sequence[int]) -> list[int]:
    longest = _LONGEST.get(contender)
    return [size for size in sizes if longest is None or size <= longest]


def _snapshot_cases(bench: Bench) -> Sequence[Case]:
    seconds = bench.plan.seconds / 2
    cases = [
        Case(SNAPSHOT, SNAPSHOT_AT, contender, loads_from_snapshot, (SNAPSHOT_AT, seconds))
        for contender in (OURS, PEER, EVENTSOURCE_PY)
    ]
    return [*cases, Case(SNAPSHOT, SNAPSHOT_AT, RAW, round_trip, (seconds,))]


def _log_cases(bench: Bench) -> Sequence[Case]:
    plan = bench.plan
    store, _ = log_store(bench)
    peers, others = peer_log(bench), other_log(bench)
    bench.server.psql("VACUUM ANALYZE")
    whole = bench.plan.fines
    return [
        Case(LOG, whole, OURS, reads_of_log, (store, 300.0)),
        Case(LOG, whole, PEER, reads_of_log, (peers, plan.patience)),
        Case(LOG, whole, EVENTSOURCE_PY, reads_of_log, (others, plan.patience)),
        Case(LOG, whole, RAW, copy_out, (store,)),
    ]


FAMILIES = (
    Family("load", 200, _load_cases),
    Family("snapshot", 60, _snapshot_cases),
    Family("catch-up", 120, _log_cases),
)
