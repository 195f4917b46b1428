"""`hitherto projections list`: how far each one is."""

import asyncio
import time
from collections.abc import Mapping, Sequence

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hitherto import Store
from hitherto.application.checkpoints import ProjectionStatus
from hitherto.cli.connecting import connect
from hitherto.cli.options import AsJson, Schema, Url
from hitherto.cli.printing import plain, print_json, say
from hitherto.cli.projections.telling import age, since, table
from hitherto.connect import Settings
from hitherto.infrastructure.urls import without_password

_SAMPLE = 1.0  # seconds
_NUMBERS = ("position", "behind", "events/s", "parked", "workers")


class Row(msgspec.Struct, frozen=True):
    """A generation of a projection, and how fast it is."""

    status: ProjectionStatus
    rate: float


def list_(url: Url = None, *, schema: Schema = "public", as_json: AsJson = False) -> None:
    """Tell of every projection where it is, how far behind, how fast, and who works on it.

    While a new view is filled, it has a line of its own. The rate is measured for a second, where
    somebody works; 0 is told of the others:

        hitherto projections list postgresql://localhost/shop

    """
    where = without_password(Settings.from_environment(url=url).url)
    rows = asyncio.run(_rows(url, schema))
    console = Console(highlight=False)
    if as_json:
        told = [{**msgspec.structs.asdict(each.status), "rate": each.rate} for each in rows]
        print_json({"store": where, "projections": told})
    elif not rows:
        say(console, f"No projection has run on {where} yet.")
    else:
        console.print(_table(rows))
        for each in rows:
            _tell_workers(console, each.status)


async def _rows(url: str | None, schema: str) -> Sequence[Row]:
    async with connect(url, schema=schema, migrate=False) as store:
        before, started = await _looked(store)
        if not any(each.owners for each in before):
            return [Row(each, 0.0) for each in before]
        await asyncio.sleep(_SAMPLE)
        now, ended = await _looked(store)
    handled = {(each.name, each.generation): each.handled for each in before}
    return [Row(each, _gained(each, handled) / (ended - started)) for each in now]


async def _looked(store: Store) -> tuple[Sequence[ProjectionStatus], float]:
    return await store.backend.checkpoints.status(), time.monotonic()


def _gained(now: ProjectionStatus, before: Mapping[tuple[str, int], int]) -> int:
    """Events handled meanwhile; none where it began anew meanwhile."""
    return max(now.handled - before.get((now.name, now.generation), now.handled), 0)


def _table(rows: Sequence[Row]) -> Table:
    shown = table("projection", "state", *_NUMBERS, right=_NUMBERS)
    for row in rows:
        each = row.status
        shown.add_row(
            Text(f"{plain(each.name)}\ngeneration {each.generation}"),
            Text(f"{'paused' if each.paused else each.state}\nversion {each.version}"),
            Text(f"{each.position:,}\n{since(each.updated_at)}"),
            Text(f"{each.lag_events:,}\n{age(each.lag_seconds)}"),
            Text(f"{row.rate:,.0f}"),
            Text(f"{each.parked:,}", style="red" if each.parked else ""),
            Text(f"{len(each.owners)}"),
        )
    return shown


def _tell_workers(console: Console, status: ProjectionStatus) -> None:
    for worker, partitions in sorted(status.owners.items()):
        of = f"{partitions} of {status.partitions} partitions of " if status.partitions > 1 else ""
        say(console, f"{worker} works on {of}{status.name}, generation {status.generation}")
