"""Whether the server serves as it should, and who holds readers back."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from hitherto.application.health import Health
from hitherto.infrastructure.postgres.connections import Connections
from hitherto.infrastructure.postgres.schema import latest_version

_HELD_TOO_LONG = 5.0  # seconds


async def look(connections: Connections, sql: Mapping[str, str]) -> Health:
    """What the server tells of itself."""
    async with connections.probe() as connection:
        start = time.perf_counter()
        (found,) = await connection.fetch(sql["health"], _HELD_TOO_LONG)
        latency = time.perf_counter() - start
        lag = 0
        if not found["standby"]:
            ((_, lag),) = await connection.fetch(sql["watermark"])
    problems = (*_problems(found, failover=connections.failover), *_holding_back(found, lag))
    standby: bool = found["standby"]
    return Health(
        status="unhealthy" if standby else "degraded" if problems else "healthy",
        backend="postgresql",
        latency=latency,
        schema_version=found["schema_version"],
        pool=connections.use(),
        watermark_lag=lag,
        problems=problems,
    )


def _problems(found: Mapping[str, Any], *, failover: bool) -> Iterator[str]:
    if found["standby"]:
        yield "this server is a standby: it takes no appends, and the log cannot be read from it"
    if found["schema_version"] != latest_version():
        yield f"the tables have version {found['schema_version']}, not {latest_version()}"
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
        if found[setting] == "off":
            yield f"{setting} is off: an acknowledged append can be lost in a crash"
    waits_for_standby = found["synchronous_commit"] not in {"off", "local"}
    if failover and not (found["synchronous_standbys"] and waits_for_standby):
        yield "no standby is synchronous: an acknowledged append can be lost in a failover"


def _holding_back(found: Mapping[str, Any], lag: int) -> Iterator[str]:
    """Who holds the readers of the log back for too long, or perhaps does."""
    process, prepared, seconds = found["process"], found["prepared"], found["held_seconds"]
    if seconds is None:
        if process is not None and lag:
            yield (
                f"process {process} has held the readers of the log back for an unknown time: "
                "a member of pg_read_all_stats is told for how long"
            )
    elif seconds > _HELD_TOO_LONG:
        if prepared is None:
            yield (
                f"process {process} holds the readers of the log back: its transaction has "
                f"appended, and has been open for {seconds:.0f} s"
            )
        else:
            quoted = "'" + prepared.replace("'", "''") + "'"
            yield (
                f"a transaction that was prepared {seconds:.0f} s ago holds the readers of the "
                f"log back: COMMIT PREPARED {quoted} or ROLLBACK PREPARED {quoted}"
            )
