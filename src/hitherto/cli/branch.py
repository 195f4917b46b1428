"""`hitherto branch`: a store as it was, in a SQLite file."""

import asyncio
from pathlib import Path
from urllib.parse import quote

from rich.console import Console

from hitherto.application.moving.files import check_new
from hitherto.application.times import position_told
from hitherto.cli.connecting import connect
from hitherto.cli.options import Schema
from hitherto.cli.printing import say
from hitherto.cli.progress import bars
from hitherto.infrastructure.sqlite.branching import branch as branch_store


def branch(url: str, file: Path, *, until: str | None = None, schema: Schema = "public") -> None:
    """Copy a store, as it was at some point, into a new SQLite file: to look for a bug in peace.

    Events keep their ids, versions, times and positions. Snapshots are left out, and made again
    when they are wanted; so is what projections have written:

        hitherto branch postgresql://localhost/shop bug.db --until 2025-03-01T12:30Z

    Parameters
    ----------
    url:
        The URL of the store to copy.
    file:
        The SQLite file to make; it must not exist.
    until:
        Copy up to this POSITION, or up to the last event that was stored at or before this TIME
        (ISO 8601, with a zone); by default all.
    """
    check_new(file)
    count = asyncio.run(_branch(url, schema, file, until))
    made = f"sqlite:///{quote(str(file))}"
    console = Console(highlight=False)
    say(console, f"{made} has {count:,} events, each at its position.", "green")


async def _branch(url: str, schema: str, file: Path, until: str | None) -> int:
    async with connect(url, schema=schema, migrate=False) as store:
        end = None if until is None else await position_told(store.backend, until)
        with bars() as progress:
            return await branch_store(store.sealed, file, until=end, progress=progress)
