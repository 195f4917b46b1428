"""`hitherto projections rebuild`: a view filled anew, beside the one that is read."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.console import Console

from hitherto import ConfigurationError, EventStoreUnavailable, Repository, Store
from hitherto.application.checkpoints import ProjectionStatus
from hitherto.application.projection import Projection
from hitherto.application.refolding import Progress
from hitherto.application.subscription import PAGE
from hitherto.application.worker import LEASE, ProjectionWorker
from hitherto.cli.connecting import connect
from hitherto.cli.loading import load_all, load_projection
from hitherto.cli.options import AsJson, Schema, Url
from hitherto.cli.printing import print_json, say
from hitherto.cli.progress import bars
from hitherto.cli.projections.options import Aggregates, Batch, Lease
from hitherto.cli.projections.working import work

_LOOKS_EVERY = 0.5  # seconds


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebuild has come to.

    Attributes:
        projection: Its name.
        version: Of its code.
        generation: The newest one's number; 0 where none was begun.
        in_place: Whether it is the one that is read now.
        position: Up to where it has handled the log.
        events: Events that were handled this time.
        seconds: How long that took.
    """

    projection: str
    version: int
    generation: int
    in_place: bool
    position: int
    events: int
    seconds: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


def rebuild(
    projection: str,
    /,
    *,
    url: Url = None,
    spread: Annotated[bool | None, Parameter(show_default=False)] = None,
    batch: Batch = PAGE,
    lease: Lease = LEASE,
    aggregates: Aggregates = (),
    schema: Schema = "public",
    as_json: AsJson = False,
) -> int:
    """Fill a view anew beside the one that is read, and put it in its place.

    Reads are served by the old one until then, and its workers go on. Side effects are not done
    again. A rebuild that was broken off goes on where it was when it is run again:

        hitherto projections rebuild shop.views:Balances --url postgresql://localhost/shop

    The exit status is 0 when the new view is in place, and 1 if a signal was first.

    Parameters
    ----------
    projection:
        The projection, as MODULE:NAME: a class that needs no arguments, or an instance.
    spread:
        Divide the log by aggregate among all workers; by default as in the view that there is.
    """
    chosen = load_projection(projection)
    store = connect(url, schema=schema, migrate=False)
    for kind in load_all(aggregates):
        Repository(store, kind)  # From now on the store can decode its events.
    found = asyncio.run(rebuilt(store, chosen, spread=spread, batch=batch, lease=lease))
    if as_json:
        print_json({**msgspec.structs.asdict(found), "rate": found.rate})
    else:
        _tell(Console(highlight=False), found)
    return 0 if found.in_place else 1


async def rebuilt(
    store: Store,
    projection: Projection[Any],
    *,
    spread: bool | None = None,
    batch: int = PAGE,
    lease: float = LEASE,
) -> Rebuilt:
    """Rebuild a projection of a store, which is opened for it."""
    async with store:
        before = await store.backend.checkpoints.status(projection.name)
        if any(each.paused for each in before):
            raise ConfigurationError(
                f"{projection.name!r} is paused: hitherto projections resume {projection.name}"
            )
        if spread is None:
            spread = any(each.partitions > 1 for each in before if each.state == "active")
        worker = ProjectionWorker(
            store, projection, spread=spread, batch=batch, lease=lease, rebuild=True
        )
        started = time.monotonic()
        with bars() as tell:
            showing = asyncio.create_task(_show(store, projection.name, tell))
            try:
                ending = await work([worker], catch_up=True)
            finally:
                showing.cancel()
        seconds = time.monotonic() - started
        newest = await _newest(store, projection.name)
        return Rebuilt(
            projection=projection.name,
            version=projection.version,
            generation=newest.generation if newest else 0,
            in_place=ending == "done",
            position=newest.position if newest else 0,
            events=_handled(newest, before) if newest else 0,
            seconds=seconds,
        )


async def _show(store: Store, name: str, tell: Progress) -> None:
    """Tell how far the newest generation is, whoever works on it, again and again."""
    total = 0
    while True:
        await asyncio.sleep(_LOOKS_EVERY)
        with suppress(EventStoreUnavailable):
            found = await _newest(store, name)
            if found is None:
                continue
            if found.position >= total:  # The bar measures anew where the total changes.
                total = found.position + found.lag_events
            tell(name, found.position, total)


async def _newest(store: Store, name: str) -> ProjectionStatus | None:
    """There is none until the first has been begun."""
    found = await store.backend.checkpoints.status(name)
    return max(found, key=lambda each: each.generation, default=None)


def _handled(newest: ProjectionStatus, before: Sequence[ProjectionStatus]) -> int:
    """Events since then."""
    own = [each for each in before if each.generation == newest.generation]
    return newest.handled - sum(each.handled for each in own)


def _tell(console: Console, found: Rebuilt) -> None:
    handled = f"{found.events:,} events in {found.seconds:,.1f} s, {found.rate:,.0f} a second"
    if found.in_place:
        say(console, f"{found.projection}: generation {found.generation} is in place", "green")
    else:
        at = f"broken off at position {found.position:,}; run it again to go on"
        say(console, f"{found.projection}: {at}", "yellow")
    say(console, handled)
