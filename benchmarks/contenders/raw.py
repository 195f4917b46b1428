"""The machine's limit: the same rows and queries with pgbench, psql and the bare driver.

The tables are ours, with every index and trigger.
"""

import asyncio
import re
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.measuring import Sample, Timings, Values, percentiles, spent
from benchmarks.server import Server, new_schema
from hitherto import connect

COLUMNS = (
    "event_id, event_type, aggregate_id, aggregate_type, event_version, schema_version, "
    "event_data, metadata, occurred_at"
)
STREAM = """
SELECT event_version, event_type::text, schema_version, event_data::text, aggregate_type::text
FROM "{store}".event_store WHERE aggregate_id = $1 ORDER BY event_version
"""
PAGE = """
SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
       event_version, event_data::text, metadata::text, occurred_at, created_at
FROM "{store}".event_store WHERE global_position > $1 ORDER BY global_position LIMIT 1000
"""
_INSERT = """\\set n random(1, 1000000000000000)
\\set place random(1, {places})
INSERT INTO "{store}".event_store ({columns})
VALUES (uuidv7(), 'FineCreated', 'filled-' || :place || '-' || :n, 'Fine', 1, 1, :data, NULL,
        now());
"""
_DATA = (
    '{"at":"2006-07-24T00:00:00+02:00","amount":"35.0","resource":"561","dismissal":"NIL",'
    '"vehicle_class":"A","total_paid":"0.0","article":157,"points":0}'
)
_TPS = re.compile(r"tps = ([\d.]+)")


class Raw:
    """The database without a library."""

    def __init__(self, server: Server) -> None:
        self.server = server

    @contextmanager
    def fresh(self) -> Generator[str]:
        """An empty store of ours, gone afterwards."""
        store = new_schema("raw")
        asyncio.run(_made(self.server.url, store))
        try:
            yield store
        finally:
            self.server.psql(
                "SET client_min_messages = error", f'DROP SCHEMA IF EXISTS "{store}" CASCADE'
            )

    def insert(self, store: str, seconds: float, clients: int, *, places: int = 1) -> Sample:
        """One event a transaction, prepared, by pgbench; at so many places of the index of ids."""
        script = self.server.cluster_dir / f"{store}.pgbench"
        script.write_text(_INSERT.format(store=store, columns=COLUMNS, places=places))
        timings = Timings()
        with spent(timings, self.server.cpu):
            printed = self.server.run(
                "pgbench", "-n", "-M", "prepared", "-f", str(script), "-D", f"data={_DATA}",
                "-c", str(clients), "-j", str(min(clients, 2)), "-T", str(max(1, round(seconds))),
                "--log", "--log-prefix", str(script), self.server.url,
            )  # fmt: skip
        rate = _TPS.search(printed)
        if rate is None:
            raise RuntimeError(f"pgbench did not tell what was expected:\n{printed}")
        per_second = float(rate[1])
        latencies = _logged(script)
        script.unlink()
        return Sample(
            {
                "operations_per_s": per_second,
                "events_per_s": per_second,
                **percentiles(latencies),
                **timings.cpu,
            }
        )

    def repeated(self, query: str, arguments: Iterator[Any], seconds: float) -> Sample:
        """One query over and over through asyncpg, its rows fetched and no more."""
        return asyncio.run(_repeated(self.server, query, arguments, seconds))


def inserts(raw: Raw, seconds: float, clients: int) -> Sample:
    """Measure single inserts into an empty store."""
    with raw.fresh() as store:
        raw.insert(store, 1, clients)
        return raw.insert(store, seconds, clients)


def copy_in(raw: Raw, rows: Path, count: int) -> Sample:
    """Measure psql's `\\copy` of so many rows into an empty store."""
    with raw.fresh() as store:
        timings = Timings()
        with spent(timings, raw.server.cpu):
            seconds = raw.server.timed(f"\\copy \"{store}\".event_store ({COLUMNS}) from '{rows}'")
    return Sample({"events_per_s": count / seconds, "p50_ms": 1000 * seconds, **timings.cpu})


def copy_out(raw: Raw, store: str) -> Sample:
    """Measure psql's `\\copy` of a whole log to nowhere."""
    count = int(raw.server.psql(f'SELECT count(*) FROM "{store}".event_store'))
    timings = Timings()
    with spent(timings, raw.server.cpu):
        seconds = raw.server.timed(f"\\copy \"{store}\".event_store to '/dev/null'")
    return Sample({"events_per_s": count / seconds, "events": float(count), **timings.cpu})


def write_rows(raw: Raw, store: str, path: Path, count: int) -> int:
    """Write the first rows of a log to a file for `copy_in`; returns how many there were."""
    query = f'SELECT {COLUMNS} FROM "{store}".event_store ORDER BY global_position LIMIT {count}'
    raw.server.psql(f"\\copy ({query}) to '{path}'")
    with path.open("rb") as file:
        return sum(1 for _ in file)


def select_stream(raw: Raw, store: str, fine_id: str, seconds: float) -> Sample:
    """Measure the fetching of one aggregate's rows."""
    return raw.repeated(STREAM.format(store=store), _forever(fine_id), seconds)


def round_trip(raw: Raw, seconds: float) -> Sample:
    """Measure a round trip that does nothing."""
    return raw.repeated("SELECT $1::text", _forever(""), seconds)


async def _made(url: str, store: str) -> None:
    async with connect(url, schema=store):
        pass


async def _repeated(server: Server, query: str, arguments: Iterator[Any], seconds: float) -> Sample:
    connection = await asyncpg.connect(server.url)
    try:
        statement = await connection.prepare(query)
        await statement.fetch(next(arguments))
        timings = Timings()
        with spent(timings, server.cpu):
            await _until(seconds, timings, lambda: statement.fetch(next(arguments)))
    finally:
        await connection.close()
    values: Values = {**percentiles(timings.latencies), **timings.cpu}
    return Sample(values)


async def _until(
    seconds: float, timings: Timings, operation: Callable[[], Coroutine[Any, Any, Any]]
) -> None:
    end = time.perf_counter() + seconds
    now = 0.0
    while now < end:
        start = time.perf_counter()
        await operation()
        now = time.perf_counter()
        timings.latencies.append(now - start)


def _forever(value: Any) -> Iterator[Any]:
    while True:
        yield value


def _logged(script: Path) -> list[float]:
    """The latencies in pgbench's logs, one for each of its threads; they are removed."""
    latencies = []
    for log in script.parent.glob(f"{script.name}.*"):
        latencies += [int(line.split()[2]) / 1_000_000 for line in log.read_text().splitlines()]
        log.unlink()
    return latencies
