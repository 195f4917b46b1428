"""`hitherto health`: how a store is."""

import asyncio
from collections.abc import Iterator

import msgspec
from rich.console import Console

from hitherto import Health
from hitherto.cli.connecting import connect
from hitherto.cli.options import AsJson, Schema, Url
from hitherto.cli.printing import print_json, say
from hitherto.connect import Settings
from hitherto.errors import EventStoreError
from hitherto.infrastructure.urls import without_password

_STYLES = {"healthy": "green", "degraded": "yellow", "unhealthy": "red"}


def health(
    url: Url = None,
    *,
    schema: Schema = "public",
    as_json: AsJson = False,
) -> int:
    """Tell whether a store can serve, and what is wrong with it; make and change nothing.

    The exit status is 0 if it serves, and 1 if it does not, be it that it cannot be reached or
    that its tables are missing or old.
    """
    where = without_password(Settings.from_environment(url=url).url)
    found = asyncio.run(_check(url, schema))
    if as_json:
        print_json({"store": where, **msgspec.structs.asdict(found)})
    else:
        _tell(Console(highlight=False), where, found)
    return 1 if found.status == "unhealthy" else 0


async def _check(url: str | None, schema: str) -> Health:
    store = connect(url, schema=schema, migrate=False)
    try:
        await store.open()
    except EventStoreError as error:
        closed = await store.health_check()  # It knows at least which kind of store it is.
        return msgspec.structs.replace(closed, status="unhealthy", problems=(str(error),))
    try:
        return await store.health_check()
    finally:
        await store.close()


def _tell(console: Console, where: str, found: Health) -> None:
    say(console, f"{where} is {found.status}.", _STYLES[found.status])
    for name, value in _rows(found):
        say(console, f"{name:<15}  {value}")
    for problem in found.problems:
        say(console, f"- {' '.join(problem.split())}", _STYLES[found.status])


def _rows(found: Health) -> Iterator[tuple[str, str]]:
    yield "backend", found.backend
    if found.latency is None:
        return  # It did not answer; the rest would be guessed.
    yield "round trip", f"{found.latency * 1000:.1f} ms"
    if found.schema_version is not None:
        yield "tables", f"version {found.schema_version}"
    if found.pool is not None:
        pool = found.pool
        yield "connections", f"{pool.size} open, {pool.idle} idle, {pool.limit} at most"
    yield "circuit breaker", found.breaker
    yield "readers", f"{found.watermark_lag:,} positions behind"
