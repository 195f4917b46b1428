"""`hitherto forget`: a person's data, made unreadable for good."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console

from hitherto.application.forgetting import Forgotten
from hitherto.application.forgetting import forget as forget_subject
from hitherto.cli.connecting import connect
from hitherto.cli.loading import load_projections
from hitherto.cli.options import AsJson, Schema, Url, Yes
from hitherto.cli.printing import MANY, print_json, say, show_left
from hitherto.cli.progress import bars
from hitherto.cli.projections.rebuilding import rebuilt

_ELSEWHERE = (
    "Keys that were never in this store: {:,}. Who has them can still read what they have sealed. "
    "Where they are given by connect(keys=…), call forget() with that store."
)


def forget(
    subject: str,
    /,
    *,
    url: Url = None,
    projections: Annotated[Sequence[str], Parameter(negative="", show_default=False)] = (),
    schema: Schema = "public",
    yes: Yes = False,
    as_json: AsJson = False,
) -> int:
    """Destroy the keys of a person, so that nobody can read their personal fields any more.

    The events stay, with "[redacted]" in these fields; snapshots that may hold them are removed,
    and the projections that are named are rebuilt. Without --yes it only tells what is concerned:

        hitherto forget customer-17 --projections shop.views:Customers --yes

    Old backups, the write-ahead log and pages that were not vacuumed keep the keys for as long as
    they are kept. The exit status is 1 where one of the texts still stands, or a key is kept
    elsewhere, which is told.

    Parameters
    ----------
    subject:
        Whom the fields are about: an aggregate's id, or what the event's subject field holds.
    projections:
        A projection that may hold something about the person, as MODULE:NAME, to be rebuilt. It may
        be given several times.
    """
    chosen = load_projections(projections)

    async def rebuild() -> None:
        for each in chosen:
            await rebuilt(connect(url, schema=schema, migrate=False), each)

    async def run() -> Forgotten:
        async with connect(url, schema=schema, migrate=False) as store:
            with bars() as progress:
                return await forget_subject(
                    store, subject, dry_run=not yes, rebuild=rebuild, progress=progress
                )

    found = asyncio.run(run())
    if as_json:
        print_json({"dry_run": not yes, **msgspec.structs.asdict(found)})
    else:
        _tell(Console(highlight=False), found, dry_run=not yes)
    return 1 if yes and (found.left or found.elsewhere) else 0


def _tell(console: Console, found: Forgotten, *, dry_run: bool) -> None:
    if dry_run:
        say(console, "Nothing was changed; --yes does it.", "yellow")
    else:
        say(console, f"Keys destroyed: {found.keys:,}")
        say(console, f"Snapshots removed: {found.snapshots:,}")
    say(console, f"Events with fields about {found.subject}: {found.events:,}")
    say(console, f"  of types: {', '.join(found.event_types) or 'none'}")
    say(console, f"  of aggregates: {', '.join(found.aggregates[:MANY]) or 'none'}")
    if len(found.aggregates) > MANY:
        say(console, f"  … and {len(found.aggregates) - MANY:,} more")
    if found.elsewhere:
        say(console, _ELSEWHERE.format(found.elsewhere), "yellow")
    elif not found.events:
        say(console, "Nothing is stored about anybody of this name.", "yellow")
    elif not found.searched:
        say(console, "No text of theirs can be read that could be searched for.", "yellow")
    elif not found.left and not dry_run:
        say(console, "None of the texts stands in any table of the store any more.", "green")
    if found.left:
        show_left(console, found.left, found.projections, dry_run=dry_run)
