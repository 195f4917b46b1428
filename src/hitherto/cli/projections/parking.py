"""`hitherto projections parked`, `retry` and `skip`: events that could not be handled."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hitherto import ConfigurationError
from hitherto.application.checkpoints import ParkedEvent
from hitherto.cli.connecting import connect
from hitherto.cli.options import AsJson, Schema, Url, Yes
from hitherto.cli.printing import plain, print_json, say
from hitherto.cli.projections.options import known
from hitherto.cli.projections.telling import since, table
from hitherto.domain.identifiers import check_identifier


def parked(
    name: str, /, *, url: Url = None, schema: Schema = "public", as_json: AsJson = False
) -> None:
    """List the events of a projection that were set aside.

    That is those that failed in all their attempts, and those that wait behind them, for a later
    event of an aggregate is never handled before an earlier one:

        hitherto projections parked Balances --url postgresql://localhost/shop

    Parameters
    ----------
    name:
        The projection's stored name.
    """
    found = asyncio.run(_parked(name, url, schema))
    if as_json:
        print_json({"projection": name, "parked": found})
    elif found:
        Console(highlight=False).print(_table(found))
    else:
        say(Console(highlight=False), f"{name} has no event set aside.")


async def _parked(name: str, url: str | None, schema: str) -> Sequence[ParkedEvent]:
    """Of the active generation, and of one that is being filled."""
    async with connect(url, schema=schema, migrate=False) as store:
        checkpoints = store.backend.checkpoints
        generations = [each.generation for each in await known(store, name)]
        return [each for number in generations for each in await checkpoints.parked(name, number)]


def _table(events: Sequence[ParkedEvent]) -> Table:
    shown = table("position", "event", "aggregate", "error", right=["position"])
    for each in events:
        tried = f"{each.attempts} attempts" if each.attempts else "not tried"
        error = plain(" ".join((each.error or "waits for an earlier one").split()))
        shown.add_row(
            Text(f"{each.position:,}\n{since(each.parked_at)}"),
            Text(f"{plain(each.event_type)}\n{tried}"),
            Text(f"{plain(each.aggregate_id)}\nversion {each.version}"),
            Text(f"{error}\n(will be tried again)" if each.retry else error),
        )
    return shown


def retry(
    name: str,
    /,
    *,
    url: Url = None,
    aggregate: Annotated[str | None, Parameter(show_default=False)] = None,
    every: Annotated[bool, Parameter(name="--all", negative="", show_default=False)] = False,
    schema: Schema = "public",
) -> None:
    """Have events that were set aside tried again, by the projection's workers.

    It is done within seconds, in order. One that fails again stays where it is, and the later ones
    of its aggregate with it:

        hitherto projections retry Balances --all --url postgresql://localhost/shop

    Parameters
    ----------
    name:
        The projection's stored name.
    aggregate:
        The id of an aggregate whose events are meant.
    every:
        Those of all aggregates.
    """
    if (aggregate is not None) == every:
        raise ConfigurationError("say which events are meant: give --aggregate ID, or --all")
    count = asyncio.run(_retry(name, aggregate, url, schema, skip=False))
    say(Console(highlight=False), f"{_events(count)} of {name} will be tried again.")


def skip(
    name: str,
    /,
    *,
    aggregate: Annotated[str, Parameter(show_default=False)],
    url: Url = None,
    schema: Schema = "public",
    yes: Yes = False,
) -> None:
    """Drop what failed of an aggregate, and have what waits behind it tried.

    The projection never handles the failed events, so its view lacks what they tell, until it is
    rebuilt. The log keeps them:

        hitherto projections skip Balances --aggregate A100 --yes

    Parameters
    ----------
    name:
        The projection's stored name.
    aggregate:
        The aggregate's id.
    """
    if not yes:
        raise ConfigurationError(
            f"{name!r} will then lack what the failed events of {aggregate!r} tell: say --yes if "
            "that is meant"
        )
    count = asyncio.run(_retry(name, aggregate, url, schema, skip=True))
    say(
        Console(highlight=False),
        f"{_events(count)} of {name}: what failed is dropped, the others will be tried.",
    )


async def _retry(
    name: str, aggregate: str | None, url: str | None, schema: str, *, skip: bool
) -> int:
    if aggregate is not None:
        check_identifier("aggregate id", aggregate)
    async with connect(url, schema=schema, migrate=False) as store:
        await known(store, name)
        count = await store.backend.checkpoints.retry_parked(name, aggregate, skip=skip)
    if aggregate is not None and not count:
        raise ConfigurationError(
            f"{name!r} has no event of {aggregate!r} set aside: hitherto projections parked {name}"
        )
    return count


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count:,} events"
