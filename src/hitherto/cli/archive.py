"""Closed aggregates: `hitherto archive` and `restore` move them, `tombstone` lets none go on."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console

from hitherto import ConfigurationError, Repository
from hitherto.application.archiving import OLDEST, Archived
from hitherto.application.archiving import archive as archive_closed
from hitherto.application.archiving import tombstone as close_for_good
from hitherto.cli.connecting import connect
from hitherto.cli.loading import load_function, load_one
from hitherto.cli.options import AsJson, Schema, Url, Yes, who
from hitherto.cli.printing import print_json, say
from hitherto.cli.progress import bars


def archive(
    aggregate: str,
    /,
    *,
    closed: str | None = None,
    older_than: float | None = None,
    ids: Annotated[Sequence[str], Parameter(name="--id", negative="", show_default=False)] = (),
    url: Url = None,
    schema: Schema = "public",
    dry_run: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    as_json: AsJson = False,
) -> int:
    """Move the events of closed aggregates into a table of their own, all but the last of each.

    Whoever reads is given them as before, and an archived aggregate may go on. The store may be in
    use; run it again, by and by, for those that were closed since:

        hitherto archive shop.orders:Order --closed shop.orders:is_delivered --older-than 90

    On PostgreSQL it takes the owner of the tables, or who was granted the function.

    Parameters
    ----------
    aggregate:
        The aggregate, as MODULE:NAME.
    closed:
        A function that is given an aggregate and tells whether it is closed, or a method of its
        class, as MODULE:NAME.
    older_than:
        Only those whose last event was stored more than so many days ago.
    ids:
        Only this aggregate. It may be given several times.
    dry_run:
        Only tell what would be moved.
    """
    kind = load_one(aggregate)
    is_closed = None if closed is None else load_function(closed)
    age = None if older_than is None else _age(older_than)

    async def run() -> Archived:
        async with connect(url, schema=schema, migrate=False) as store:
            with bars() as progress:
                return await archive_closed(
                    Repository(store, kind),
                    closed=is_closed,
                    older_than=age,
                    ids=ids or None,
                    dry_run=dry_run,
                    progress=progress,
                )

    result = asyncio.run(run())
    if as_json:
        print_json({"aggregate": aggregate, "dry_run": dry_run, **msgspec.structs.asdict(result)})
    else:
        _tell(Console(highlight=False), result, dry_run=dry_run)
    return 0


def restore(*ids: str, url: Url = None, schema: Schema = "public", as_json: AsJson = False) -> int:
    """Move archived events back to the others.

    It is needed for nothing but tools that read the table of events themselves:

        hitherto restore order-1 order-2

    The exit status is 1 if none of the aggregates has events in the archive.

    Parameters
    ----------
    ids:
        The aggregates.
    """
    if not ids:
        raise ConfigurationError("no aggregate is named: give the ids of those to restore")

    async def run() -> Mapping[str, int]:
        async with connect(url, schema=schema, migrate=False) as store:
            return await store.backend.archive.restore(ids)

    moved = asyncio.run(run())
    if as_json:
        print_json({"events": dict(moved)})
    else:
        console = Console(highlight=False)
        for each, events in sorted(moved.items()):
            say(console, f"{each}: {events:,} events")
        if not moved:
            say(console, "None of them has events in the archive.", "yellow")
    return 0 if moved else 1


def _age(days: float) -> timedelta:
    if not 0 <= days <= OLDEST.days:
        raise ConfigurationError(
            f"--older-than {days:g}: give a number of days from 0 to {OLDEST.days}"
        )
    return timedelta(days=days)


def tombstone(
    aggregate: str,
    id: str,
    /,
    *,
    reason: str,
    closed_by: Annotated[str | None, Parameter(name="--by", show_default=False)] = None,
    url: Url = None,
    schema: Schema = "public",
    yes: Yes = False,
    as_json: AsJson = False,
) -> int:
    """Close an aggregate for good: its events can be read as before, but none added.

    There is no way back, so it takes --yes. On PostgreSQL it takes the owner of the tables, or who
    was granted the function:

        hitherto tombstone shop.orders:Order order-17 --reason "sold twice by mistake" --yes

    Parameters
    ----------
    aggregate:
        The aggregate's class, as MODULE:NAME.
    id:
        The aggregate.
    reason:
        Why.
    closed_by:
        Who does it; by default the user of the system.
    """
    kind = load_one(aggregate)
    if not yes:
        raise ConfigurationError(f"{id} would be closed for good: give --yes to do it")
    by = who(closed_by)

    async def run() -> int:
        async with connect(url, schema=schema, migrate=False) as store:
            return await close_for_good(Repository(store, kind), id, reason=reason, closed_by=by)

    version = asyncio.run(run())
    if as_json:
        print_json({"aggregate_id": id, "version": version})
    else:
        say(Console(highlight=False), f"{id} stays at version {version:,} for good.")
    return 0


def _tell(console: Console, result: Archived, *, dry_run: bool) -> None:
    if dry_run:
        say(console, "Nothing was changed.", "yellow")
    say(console, f"Aggregates: {result.aggregates:,}")
    say(console, f"Of one event, which stays: {result.single:,}")
    say(console, f"In the archive before: {result.already:,}")
    say(console, f"With a recent event: {result.recent:,}")
    say(console, f"Not closed: {result.open:,}")
    say(console, f"{'To be archived' if dry_run else 'Archived'}: {result.closed:,}", "green")
    say(console, f"  events: {result.events:,}")
