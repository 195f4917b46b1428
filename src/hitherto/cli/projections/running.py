"""`hitherto projections run`: workers in this process."""

import asyncio
from collections.abc import Sequence
from shlex import quote
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from hitherto import Repository, Store
from hitherto.application.projection import Projection
from hitherto.application.subscription import PAGE
from hitherto.application.worker import LEASE, ProjectionWorker
from hitherto.cli.connecting import connect
from hitherto.cli.loading import load_all, load_projections
from hitherto.cli.options import Schema, Url
from hitherto.cli.printing import say
from hitherto.cli.projections.options import Aggregates, Batch, Lease
from hitherto.cli.projections.working import Ending, work


def run(
    projection: str,
    /,
    *more: str,
    url: Url = None,
    spread: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    batch: Batch = PAGE,
    lease: Lease = LEASE,
    until_caught_up: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    aggregates: Aggregates = (),
    schema: Schema = "public",
) -> int:
    """Keep projections up to date, until SIGINT or SIGTERM.

    Run it on several machines, so that another takes over within seconds where one ends; with
    --spread they also share the work:

        hitherto projections run shop.views:Balances --url postgresql://localhost/shop

    After a signal the batch that is being handled is finished, and the exit status is 0. A second
    signal rolls it back; the exit status is 1, as it is where a projection cannot go on, or where
    it has caught up but for events that are set aside.

    Parameters
    ----------
    projection:
        The projection, as MODULE:NAME: a class that needs no arguments, or an instance.
    more:
        Others that this process is to work on, too.
    spread:
        Divide the log by aggregate among all workers. It is decided when a view is begun.
    until_caught_up:
        End when all that was stored at the start has been handled.
    """
    chosen = load_projections([projection, *more])
    store = connect(url, schema=schema, migrate=False)
    for kind in load_all(aggregates):
        Repository(store, kind)  # From now on the store can decode its events.
    workers = [
        ProjectionWorker(store, each, spread=spread, batch=batch, lease=lease) for each in chosen
    ]
    console = Console(highlight=False)
    say(console, f"Working on {', '.join(each.name for each in chosen)}.")
    ending, parked = asyncio.run(_run(store, chosen, workers, catch_up=until_caught_up))
    for each, worker in zip(chosen, workers, strict=True):
        say(console, f"{each.name}: {worker.handled:,} events handled")
    for name, count in parked.items():
        see = f"hitherto projections parked {quote(name)}"
        say(console, f"{name}: {count:,} set aside: see {see}", "yellow")
    return 1 if ending == "cancelled" or parked else 0


async def _run(
    store: Store,
    projections: Sequence[Projection[Any]],
    workers: Sequence[ProjectionWorker[Any]],
    *,
    catch_up: bool,
) -> tuple[Ending, dict[str, int]]:
    """How the work ended, and, if by itself, of which projections events are set aside."""
    async with store:
        ending = await work(workers, catch_up=catch_up)
        if ending != "done":
            return ending, {}
        names = [each.name for each in projections]
        found = await store.backend.checkpoints.status()
    return ending, {each.name: each.parked for each in found if each.name in names and each.parked}
