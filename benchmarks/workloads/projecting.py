"""Catching up: a view of the whole log is filled, with its checkpoint in the same transactions."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg

from benchmarks.balances import (
    TABLE,
    Sums,
    create,
    documents,
    expected,
    in_bulk,
    in_bulk_on_sqlite,
    one_by_one,
    sums_of,
    totals,
    upsert,
)
from benchmarks.contenders import eventsource_py_views, eventsourcing_views, ours_views
from benchmarks.contenders.raw import Raw
from benchmarks.measuring import Sample, Timings, spent
from benchmarks.results import EVENTSOURCE_PY, OURS, PEER, RAW
from benchmarks.running import SQLITE, Bench, Case, Family
from benchmarks.workloads.importing import log_store, seed_log
from benchmarks.workloads.reading import other_fines, other_log, peer_log

PROJECTION = "projection"
ON_SQLITE = SQLITE + PROJECTION
_PAGE = 500
_VARIANTS: dict[str, ours_views.Make] = {
    OURS: in_bulk,
    f"{OURS}, event by event": one_by_one,
    f"{OURS}, Documents": documents,
    f"{OURS}, Totals": totals,
}
_VARIANTS_ON_SQLITE: dict[str, ours_views.Make] = {
    OURS: in_bulk_on_sqlite,
    f"{OURS}, Documents": documents,
}
_OF_PAGE = """
SELECT aggregate_id,
    (array_agg((event_data ->> 'amount')::numeric * 100 ORDER BY event_version DESC)
        FILTER (WHERE event_type IN ('FineCreated', 'PenaltyAdded')))[1],
    max((event_data ->> 'expense')::numeric * 100),
    coalesce(sum((event_data ->> 'amount')::numeric * 100)
        FILTER (WHERE event_type = 'PaymentReceived'), 0),
    count(*) FILTER (WHERE (event_type, event_data ->> 'dismissal')
        IN (('PrefectureAppealSent', '#'), ('JudgeAppealed', 'G'))),
    count(*)
FROM "{store}".event_store WHERE global_position > $1 AND global_position <= $2
GROUP BY aggregate_id
"""


def filled(
    contender: Any,
    catch_up: Callable[..., tuple[Timings, Sums | None]],
    wanted: Sums,
    *arguments: Any,
) -> Sample:
    """Fill a view from the start of a log, so long at most; what it comes to is checked.

    Raises:
        AssertionError: It has seen all events, and comes to something else.
    """
    timings, found = catch_up(contender, *arguments)
    assert found is None or found == wanted, f"{found} in the view, not {wanted}"
    values = {"events_per_s": timings.events / timings.seconds, "events": float(timings.events)}
    return Sample({**values, "seconds": timings.seconds, **timings.cpu})


def book_pages(raw: Raw, store: str, seconds: float) -> tuple[Timings, Sums | None]:
    """The same in SQL alone: an INSERT … SELECT for each page of the log."""
    return asyncio.run(_pages(raw, store, seconds))


async def _pages(raw: Raw, store: str, seconds: float) -> tuple[Timings, Sums | None]:
    table = f'"{store}".raw_{TABLE}'
    connection = await asyncpg.connect(raw.server.url)
    try:
        await connection.execute(create(table, "text"))
        last = await connection.fetchval(f'SELECT max(global_position) FROM "{store}".event_store')
        book = await connection.prepare(upsert(table, _OF_PAGE.format(store=store)))
        timings, after = Timings(), 0
        with spent(timings, raw.server.cpu):
            end = time.perf_counter() + seconds
            while after < last and time.perf_counter() < end:
                await book.fetch(after, after + _PAGE)
                after += _PAGE
        sums = sums_of(raw.server, table)
        timings.events = sums[-1]
        return timings, sums if after >= last else None
    finally:
        await connection.execute(f"DROP TABLE IF EXISTS {table}")
        await connection.close()


def _cases(bench: Bench) -> Sequence[Case]:
    plan, seconds = bench.plan, bench.plan.patience
    store, _ = log_store(bench)
    peers, others = peer_log(bench), other_log(bench)
    bench.server.psql("VACUUM ANALYZE")
    whole = expected(bench.log, plan.fines)

    def case(who: str, arguments: tuple[Any, ...], worker: str = "") -> Case:
        return Case(PROJECTION, plan.fines, who, filled, arguments, worker=worker)

    theirs = expected(bench.log, plan.peer_fines)
    other = expected(bench.log, other_fines(bench))
    return [
        *(
            case(who, (ours_views.caught_up, whole, store, make, seconds), worker=OURS)
            for who, make in _VARIANTS.items()
        ),
        case(PEER, (eventsourcing_views.caught_up, theirs, peers, seconds)),
        case(EVENTSOURCE_PY, (eventsource_py_views.caught_up, other, others, seconds)),
        case(RAW, (book_pages, whole, store, seconds)),
    ]


def _cases_on_sqlite(bench: Bench) -> Sequence[Case]:
    plan = bench.plan
    path, worker = str(bench.server.cluster_dir / "log.db"), SQLITE + OURS
    bench.call(worker, seed_log, path, bench.log, plan.fines)
    whole = expected(bench.log, plan.fines)
    return [
        Case(
            ON_SQLITE,
            plan.fines,
            who,
            filled,
            (ours_views.caught_up, whole, path, make, plan.patience),
            worker=worker,
        )
        for who, make in _VARIANTS_ON_SQLITE.items()
    ]


FAMILIES = (
    Family("projection", 300, _cases),
    Family("sqlite projection", 60, _cases_on_sqlite),
)
