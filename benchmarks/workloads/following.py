"""Following: a view that is rebuilt under load, subscriptions that idle, events as they come."""

import asyncio
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import asyncpg

from benchmarks.balances import COLUMNS, TABLE, Change, in_bulk
from benchmarks.beside import CHANNEL, Beside
from benchmarks.contenders.ours import Ours, OursSession
from benchmarks.contenders.raw import COLUMNS as STORED
from benchmarks.contenders.raw import Raw
from benchmarks.measuring import Sample, Timings, Values, percentiles, spent
from benchmarks.results import OURS, RAW
from benchmarks.running import Bench, Case, Family
from benchmarks.server import new_schema
from benchmarks.workloads.importing import seed_log
from hitherto import Batch, Context, Projection, ProjectionWorker, RecordedEvent, on
from hitherto.application.store import Store
from hitherto.examples.traffic_fines import FineEvent

REBUILD, IDLE, LIVE = "rebuild", "idle", "live"
RATE = 500  # events a second
SUBSCRIPTIONS = 10
AT_REST = f"{OURS}, no rebuild"
PROJECTED = f"{OURS}, projection"
WORKERS = f"{OURS}, workers"
_STORE = "rebuilt"
_VIEW = f"{_STORE}.{TABLE}"
_WARM_UP = 1.0  # seconds
_MULTIPLY = """
INSERT INTO {store}.event_store ({columns})
SELECT uuidv7(), event_type, '{lap}-' || aggregate_id, aggregate_type, event_version,
    schema_version, event_data, metadata, occurred_at
FROM {store}.event_store WHERE global_position <= {last} ORDER BY global_position LIMIT {count}
"""


def rebuilt(ours: Ours) -> Sample:
    """Fill the view anew while events come, it is read, and the old one is kept up to date.

    Raises:
        AssertionError: A read failed, or the view is not what the events come to.
    """
    with ours.opened(_STORE) as session:
        assert isinstance(session, OursSession)
        worker = ProjectionWorker(session.store, in_bulk(_VIEW), rebuild=True)
        timings = Timings()
        with _under_load(ours) as values:
            with spent(timings, ours.server.cpu):
                session.run(worker.catch_up)
            events = session.run(session.store.watermark)
        session.run(_check, session.store, ours.server.url)
    assert not values["failed_reads"], f"{values['failed_reads']:.0f} reads found nothing"
    rate = {"events_per_s": events / timings.seconds, "rebuild_s": timings.seconds}
    return Sample({**rate, "events": float(events), **values, **timings.cpu})


def read_at_rest(ours: Ours, seconds: float) -> Sample:
    """The same reads while events come and nothing is rebuilt."""
    with _under_load(ours) as values:
        time.sleep(seconds)
    return Sample(values)


@contextmanager
def _under_load(ours: Ours) -> Generator[Values]:
    """Meanwhile events come, a worker keeps the view up to date, and it is read."""
    url = ours.server.url
    keeping = Beside("keep", url, _STORE, _VIEW)
    appending = Beside("append", url, _STORE, RATE)
    reading = Beside("read", url, _VIEW)
    values: Values = {}
    yield values
    values.update(reading.stop())
    values["appended_per_s"] = appending.stop()["per_s"]
    with ours.opened(_STORE) as session:
        assert isinstance(session, OursSession)
        session.run(_all_seen, session.store)
    keeping.stop()


async def _all_seen(store: Store) -> None:
    await store.wait_for(TABLE, await store.watermark())


async def _check(store: Store, url: str) -> None:
    """The view must be what the events come to, all of them."""
    folded: dict[str, Change] = {}
    async for recorded in store.read_all():
        fine = recorded.aggregate_id
        folded.setdefault(fine, Change(fine)).then(recorded.event)
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(f"SELECT {COLUMNS} FROM {_VIEW}")
    await connection.close()
    assert len(rows) == len(folded), f"{len(rows)} rows of {len(folded)} fines"
    wrong = [row for row in rows if tuple(row) != folded[row["fine"]].row()]
    assert not wrong, f"{len(wrong)} rows are wrong, such as {wrong[0]}"


def idle_subscriptions(ours: Ours, seconds: float) -> Sample:
    """Subscriptions on one store, to which nothing comes."""

    async def follow(store: Store) -> None:
        async with store.subscribe() as events:
            async for _ in events:
                pass

    return _idle(ours, seconds, lambda store, _: follow(store))


def idle_workers(ours: Ours, seconds: float) -> Sample:
    """Projections on one store, to which nothing comes; their workers renew leases."""

    def work(store: Store, number: int) -> Any:
        class Nothing(Projection[None], name=f"nothing {number}"):
            @on
            def nothing(self, event: FineEvent, context: Context[None]) -> None:
                """Nothing comes."""

        return ProjectionWorker(store, Nothing()).run()

    return _idle(ours, seconds, work)


def _idle(ours: Ours, seconds: float, follow: Callable[[Store, int], Any]) -> Sample:
    async def run(store: Store) -> Timings:
        tasks = [asyncio.create_task(follow(store, number)) for number in range(SUBSCRIPTIONS)]
        await asyncio.sleep(_WARM_UP)
        timings = Timings()
        with spent(timings, ours.server.cpu):
            await asyncio.sleep(seconds)
        assert not any(task.done() for task in tasks), "a subscription ended"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return timings

    with ours.fresh() as session:
        assert isinstance(session, OursSession)
        return _cpu(session.run(run, session.store))


def idle_server(raw: Raw, seconds: float) -> Sample:
    """The server with nobody connected."""
    timings = Timings()
    with spent(timings, raw.server.cpu):
        time.sleep(seconds)
    return _cpu(timings)


def _cpu(timings: Timings) -> Sample:
    return Sample({**timings.cpu, "cpu_pct": sum(timings.cpu.values())})


class Arrivals:
    """When events arrived, against when they were due."""

    def __init__(self) -> None:
        self._from: int | None = None
        self.latencies: list[float] = []

    def count(self) -> None:
        """Those that are due from now on count."""
        self._from = time.monotonic_ns()

    def note(self, due: int) -> None:
        """It is here."""
        if self._from is not None and due >= self._from:
            self.latencies.append((time.monotonic_ns() - due) / 1e9)


def live_subscription(ours: Ours, seconds: float) -> Sample:
    """Events as a subscription gives them, appended by another process."""

    async def follow(store: Store, _view: str, arrivals: Arrivals) -> None:
        async with store.subscribe() as events:
            async for recorded in events:
                arrivals.note(_due(recorded))

    return _live(ours, seconds, follow)


def live_projection(ours: Ours, seconds: float) -> Sample:
    """Events as a projection's handler is given them, in the transaction of its view."""

    async def follow(store: Store, view: str, arrivals: Arrivals) -> None:
        projection = in_bulk(view)
        handle = type(projection).handle

        def noted(events: Sequence[RecordedEvent[Any]], batch: Batch[Any]) -> Any:
            for recorded in events:
                arrivals.note(_due(recorded))
            return handle(projection, events, batch)

        projection.handle = noted  # type: ignore[method-assign]
        await ProjectionWorker(store, projection).run()

    return _live(ours, seconds, follow)


def _live(ours: Ours, seconds: float, follow: Callable[..., Any]) -> Sample:
    schema = new_schema("live")

    async def run(store: Store) -> Sample:
        arrivals = Arrivals()
        task = asyncio.create_task(follow(store, f"{schema}.{TABLE}", arrivals))
        appending = await asyncio.to_thread(Beside, "append", ours.server.url, schema, RATE)
        sample = await _watched(ours, arrivals, appending, seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return sample

    try:
        with ours.opened(schema) as session:
            assert isinstance(session, OursSession)
            return session.run(run, session.store)
    finally:
        ours.drop(schema)


def live_notify(raw: Raw, seconds: float) -> Sample:
    """A bare NOTIFY and a bare LISTEN."""

    async def run() -> Sample:
        arrivals = Arrivals()
        connection = await asyncpg.connect(raw.server.url)
        await connection.add_listener(CHANNEL, lambda *told: arrivals.note(int(told[-1])))
        notifying = await asyncio.to_thread(Beside, "notify", raw.server.url, RATE)
        sample = await _watched(raw, arrivals, notifying, seconds)
        await connection.close()
        return sample

    return asyncio.run(run())


async def _watched(
    contender: Ours | Raw, arrivals: Arrivals, sending: Beside, seconds: float
) -> Sample:
    await asyncio.sleep(_WARM_UP)
    arrivals.count()
    timings = Timings()
    with spent(timings, contender.server.cpu):
        await asyncio.sleep(seconds)
    sent = await asyncio.to_thread(sending.stop)
    told = {"events_per_s": sent["per_s"], "sent_p50_ms": sent["p50_ms"]}
    return Sample({**percentiles(arrivals.latencies), **told, **timings.cpu})


def _due(recorded: RecordedEvent[Any]) -> int:
    """When the append was due, as its fine's id tells."""
    return int(recorded.aggregate_id.rpartition("-")[2])


def prepare(ours: Ours, events: int) -> None:
    """Multiply the log until it has so many events, and fill the view for the first time."""
    psql = ours.server.psql
    have = int(psql(f"SELECT count(*) FROM {_STORE}.event_store"))
    for lap in range(1, -(-events // have)):
        count = min(have, events - lap * have)
        psql(_MULTIPLY.format(store=_STORE, columns=STORED, lap=lap, last=have, count=count))
    psql(f"VACUUM ANALYZE {_STORE}.event_store", "CHECKPOINT")
    with ours.opened(_STORE) as session:
        assert isinstance(session, OursSession)
        session.run(ProjectionWorker(session.store, in_bulk(_VIEW)).catch_up)


def _rebuild_cases(bench: Bench) -> Sequence[Case]:
    plan = bench.plan
    bench.call(OURS, seed_log, _STORE, bench.log, plan.fines)
    bench.call(OURS, prepare, plan.rebuild)
    seconds = plan.sustained / 4
    return [
        Case(REBUILD, plan.rebuild, OURS, rebuilt, (), 600),
        Case(REBUILD, plan.rebuild, AT_REST, read_at_rest, (seconds,), worker=OURS),
    ]


def _idle_cases(bench: Bench) -> Sequence[Case]:
    seconds = bench.plan.sustained / 2
    return [
        Case(IDLE, SUBSCRIPTIONS, OURS, idle_subscriptions, (seconds,)),
        Case(IDLE, SUBSCRIPTIONS, WORKERS, idle_workers, (seconds,), worker=OURS),
        Case(IDLE, SUBSCRIPTIONS, RAW, idle_server, (seconds,)),
    ]


def _live_cases(bench: Bench) -> Sequence[Case]:
    seconds = bench.plan.sustained / 4
    return [
        Case(LIVE, RATE, OURS, live_subscription, (seconds,)),
        Case(LIVE, RATE, PROJECTED, live_projection, (seconds,), worker=OURS),
        Case(LIVE, RATE, RAW, live_notify, (seconds,)),
    ]


FAMILIES = (
    Family("rebuild", 150, _rebuild_cases),
    Family("idle", 60, _idle_cases),
    Family("live", 250, _live_cases),
)
