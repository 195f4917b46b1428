"""`hitherto replay`: snapshots built again from the events."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console

from hitherto import Repository
from hitherto.application.replaying import Replayed
from hitherto.application.replaying import replay as replay_events
from hitherto.cli.connecting import connect
from hitherto.cli.loading import Kind, load_one
from hitherto.cli.options import AsJson, Schema, Url
from hitherto.cli.printing import print_json, say, show_findings
from hitherto.cli.progress import bars


def replay(
    aggregate: str,
    /,
    *,
    url: Url = None,
    ids: Annotated[Sequence[str], Parameter(name="--id", negative="", show_default=False)] = (),
    schema: Schema = "public",
    dry_run: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    as_json: AsJson = False,
) -> int:
    """Fold aggregates from their events again, and replace the snapshots that are of no use.

    A snapshot that equals the fold stays. An aggregate without one gets one if it has as many
    events as EVENT_STORE_SNAPSHOT_THRESHOLD says, by default 100. The store may be in use:

        hitherto replay shop.orders:Order --url sqlite:///shop.db

    The exit status is 1 if an aggregate could not be folded, or if a dry run found a snapshot that
    is wrong.

    Parameters
    ----------
    aggregate:
        The aggregate, as MODULE:NAME.
    ids:
        One aggregate's id. It may be given several times; by default all of the kind.
    dry_run:
        Only compare.
    """
    kind = load_one(aggregate)
    result = asyncio.run(_replay(kind, url, schema, ids, dry_run=dry_run))
    if as_json:
        print_json({"aggregate": aggregate, "dry_run": dry_run, **msgspec.structs.asdict(result)})
    else:
        _tell(Console(highlight=False), result)
    return 1 if result.unfoldable or (dry_run and result.wrong) else 0


async def _replay(
    kind: Kind, url: str | None, schema: str, ids: Sequence[str], *, dry_run: bool
) -> Replayed:
    async with connect(url, schema=schema, migrate=False) as store:
        repository = Repository(store, kind)
        with bars() as progress:
            return await replay_events(repository, ids or None, dry_run=dry_run, progress=progress)


def _tell(console: Console, result: Replayed) -> None:
    say(console, f"Aggregates: {result.aggregates:,}")
    say(console, f"Snapshots that equal the fold: {result.equal:,}")
    say(console, f"Snapshots that are wrong: {result.wrong:,}")
    say(console, f"Snapshots of other code: {result.foreign:,}")
    say(console, f"Snapshots that are missing: {result.missing:,}")
    say(console, f"Snapshots taken: {result.taken:,}")
    show_findings(console, result.findings, remedies=False)
