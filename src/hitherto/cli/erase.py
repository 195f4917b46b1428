"""`hitherto erase` and `hitherto erasures`: a payload that must go, and the account of it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.console import Console

from hitherto import ConfigurationError, Repository
from hitherto.application.erasing import Erased
from hitherto.application.erasing import erase as erase_fields
from hitherto.application.ports.erasures import Erasure
from hitherto.cli.connecting import connect
from hitherto.cli.loading import load_one
from hitherto.cli.options import AsJson, Schema, Url, Yes, who
from hitherto.cli.printing import print_json, say, show_left


def erase(
    aggregate: str,
    id: str,
    version: int,
    /,
    *,
    reason: str,
    fields: Annotated[Sequence[str], Parameter(name="--field", negative="")] = (),
    values: Annotated[Sequence[str], Parameter(name="--set", negative="")] = (),
    erased_by: Annotated[str | None, Parameter(name="--by", show_default=False)] = None,
    url: Url = None,
    schema: Schema = "public",
    yes: Yes = False,
    as_json: AsJson = False,
) -> int:
    """Replace fields of one event where they are stored, for the rare case that the law demands it.

    The event stays, and so do its version, position, times and hashes. The store tells for good
    what was replaced, by whom and why, and `hitherto verify` knows. Without --yes it only tells
    what would be done:

        hitherto erase shop.orders:Order order-17 3 --field note --reason "court order 12/34" --yes

    A field becomes "[redacted]", or null, or is left out, whichever is the first that the code can
    read. Old backups, the write-ahead log and what was published keep what was there. What is about
    a person is better marked Personal, and forgotten (`hitherto forget`). On PostgreSQL it takes
    the owner of the tables, or who was granted the function. The exit status is 1 where one of the
    texts still stands somewhere, which is told.

    Parameters
    ----------
    aggregate:
        The aggregate's class, as MODULE:NAME.
    id:
        The aggregate.
    version:
        The version of the aggregate with the event.
    reason:
        Why.
    fields:
        A field, as it is called in the stored event, or metadata.NAME. It may be given several
        times.
    values:
        A field and what it is to become, as NAME=JSON. It may be given several times.
    erased_by:
        Who does it; by default the user of the system.
    """
    kind = load_one(aggregate)
    given = dict(_value(each) for each in values)
    by = who(erased_by)

    async def run() -> Erased:
        async with connect(url, schema=schema, migrate=False) as store:
            return await erase_fields(
                Repository(store, kind),
                id,
                version,
                fields,
                values=given,
                reason=reason,
                erased_by=by,
                dry_run=not yes,
            )

    found = asyncio.run(run())
    if as_json:
        places = {each: getattr(found, each) for each in ("left", "unsought", "projections")}
        print_json({"dry_run": not yes, **_told(found.erasure), **places})
    else:
        _tell(Console(highlight=False), found, dry_run=not yes)
    return 1 if found.left and yes else 0


def erasures(*, url: Url = None, schema: Schema = "public", as_json: AsJson = False) -> int:
    """Tell what was erased in a store, by whom, when and why.

        hitherto erasures --url sqlite:///shop.db

    Parameters
    ----------
    """

    async def run() -> Sequence[Erasure]:
        async with connect(url, schema=schema, migrate=False) as store:
            return await store.backend.erasures.erasures()

    found = asyncio.run(run())
    if as_json:
        print_json([_told(each) for each in found])
        return 0
    console = Console(highlight=False)
    for each in found:
        when = each.erased_at.isoformat(timespec="seconds") if each.erased_at else ""
        say(console, f"{when} {each.aggregate_id} at version {each.version}", "cyan")
        say(console, f"  {', '.join(each.fields)}, by {each.erased_by}: {each.reason}")
    if not found:
        say(console, "Nothing was erased.")
    return 0


def _value(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    try:
        if not (name and equals):
            raise ValueError("it has no '='")
        return name, msgspec.json.decode(value)
    except ValueError as error:
        raise ConfigurationError(
            f"--set {text}: give NAME=JSON, such as note='\"gone\"': {error}"
        ) from error


def _told(erasure: Erasure) -> Mapping[str, Any]:
    told = msgspec.structs.asdict(erasure)
    del told["data"], told["metadata"]
    return told


def _tell(console: Console, found: Erased, *, dry_run: bool) -> None:
    erasure = found.erasure
    what = f"{', '.join(erasure.fields)} of {found.event_type}, version {erasure.version} of "
    if dry_run:
        say(console, "Nothing was changed; --yes does it.", "yellow")
        say(console, f"To be replaced: {what}{erasure.aggregate_id}")
    else:
        say(console, f"Replaced: {what}{erasure.aggregate_id}")
    say(console, f"  data: {erasure.data}")
    if erasure.metadata is not None:
        say(console, f"  metadata: {erasure.metadata}")
    if found.unsought:
        say(console, f"Too short to be looked for elsewhere: {', '.join(found.unsought)}", "yellow")
    if not found.left:
        if len(found.unsought) < len(erasure.fields):
            say(console, "None of the texts stands in any other table of the store.", "green")
        return
    show_left(console, found.left, found.projections, dry_run=dry_run)
