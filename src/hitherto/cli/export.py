"""`hitherto export`: a store's events into a file."""

import asyncio
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console

from hitherto.application.moving import Exported, Filter, export_log, writing
from hitherto.application.moving.files import Write
from hitherto.application.times import position_told
from hitherto.cli.connecting import connect
from hitherto.cli.options import Schema, Url
from hitherto.cli.printing import say
from hitherto.cli.progress import bars

_Several = Annotated[Sequence[str], Parameter(negative="", show_default=False)]


def export(
    url: Url = None,
    *,
    to: Annotated[str, Parameter(allow_leading_hyphen=True)],
    event_types: Annotated[_Several, Parameter(name="--type")] = (),
    aggregate_types: Annotated[_Several, Parameter(name="--aggregate-type")] = (),
    aggregates: Annotated[_Several, Parameter(name="--id")] = (),
    after: str = "0",
    until: str | None = None,
    positions: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    schema: Schema = "public",
) -> None:
    """Write a store's events into a file, as they are stored, in one canonical form.

    A line of JSON for each event, in the order of the log, up to where it ends at the start. No
    class is needed, and the same events make the same file, whatever kind of store they are in:

        hitherto export postgresql://localhost/shop --to shop.jsonl.gz

    Each line has a check, and the last one the hash of all, so `hitherto import` finds what was
    changed or lost on the way.

    Parameters
    ----------
    to:
        The file, which must not exist; - for stdout. What ends with .gz is packed, and what ends
        with .parquet is a Parquet file (pip install 'hitherto[parquet]').
    event_types:
        Only events of this type. It may be given several times, as the next two.
    aggregate_types:
        Only events of aggregates of this type.
    aggregates:
        Only events of the aggregate with this id.
    after:
        Only events above this POSITION, or those stored after this TIME (ISO 8601, with a zone).
    until:
        Only events up to this POSITION, or those stored up to this TIME.
    positions:
        Write the events' positions too.
    """
    wanted = Filter(
        event_types=tuple(event_types),
        aggregate_types=tuple(aggregate_types),
        aggregates=tuple(aggregates),
    )
    with _written(to) as write:
        done = asyncio.run(_export(url, schema, write, wanted, (after, until), positions=positions))
    if to != "-":
        console = Console(highlight=False)
        say(console, f"{done.events:,} events are in {to}.", "green")
        say(console, f"SHA-256 of all its lines but the last: {done.sha256}")


async def _export(
    url: str | None,
    schema: str,
    write: Write,
    wanted: Filter,
    bounds: tuple[str, str | None],
    *,
    positions: bool,
) -> Exported:
    after, until = bounds
    async with connect(url, schema=schema, migrate=False) as store:
        wanted = msgspec.structs.replace(
            wanted,
            after=await position_told(store.backend, after),
            until=None if until is None else await position_told(store.backend, until),
        )
        with bars() as progress:
            return await export_log(
                store.sealed, write, wanted, positions=positions, progress=progress
            )


@contextmanager
def _written(to: str) -> Generator[Write]:
    if to != "-":
        with writing(Path(to)) as write:
            yield write
        return
    yield sys.stdout.buffer.writelines
    sys.stdout.buffer.flush()
