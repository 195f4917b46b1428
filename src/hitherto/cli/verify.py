"""`hitherto verify`: whether a store is sound."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from hitherto import connect
from hitherto.application.findings import Finding
from hitherto.application.verifying import Verification
from hitherto.application.verifying import verify as verify_store
from hitherto.cli.loading import Kind, load_all
from hitherto.cli.progress import bars
from hitherto.connect import Settings
from hitherto.infrastructure.urls import without_password

_PLACES = 5


def verify(
    url: str | None = None,
    *,
    aggregates: Annotated[Sequence[str], Parameter(negative="", show_default=False)] = (),
    schema: str = "public",
    sample: int | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> int:
    """Look whether all that a store holds is as it should be; change nothing.

    The database looks for gaps, repetitions and missing guards. Where the aggregates are named,
    every event is decoded too, and snapshots are compared with the fold of their events:

        hitherto verify sqlite:///shop.db --aggregates shop.orders

    The exit status is 0 if all is well, and 1 if something is wrong.

    Parameters
    ----------
    url:
        The store's URL; by default DATABASE_URL, else sqlite:///hitherto.db.
    aggregates:
        An aggregate, as MODULE:NAME, or all those of a MODULE. It may be given several times.
    schema:
        The PostgreSQL schema that holds the tables.
    sample:
        How many snapshots of each kind to compare, drawn at random; by default all.
    as_json:
        Print the result as JSON.
    """
    kinds = load_all(aggregates)
    where = without_password(Settings.from_environment(url=url).url)
    result = asyncio.run(_verify(url, schema, kinds, sample))
    if as_json:
        print_json({"store": where, "sound": result.sound, **msgspec.structs.asdict(result)})
    else:
        _tell(Console(highlight=False), where, result)
    return 0 if result.sound else 1


async def _verify(
    url: str | None, schema: str, kinds: Sequence[Kind], sample: int | None
) -> Verification:
    async with connect(url, schema=schema, migrate=False) as store:
        with bars() as progress:
            return await verify_store(store, kinds, sample=sample, progress=progress)


def _tell(console: Console, where: str, result: Verification) -> None:
    if result.sound:
        say(console, f"{where} is sound.", "green")
    else:
        say(console, f"{where} is damaged.", "red")
    if not result.aggregate_types:
        say(console, "Only its structure was checked: name its aggregates, with --aggregates.")
    elif result.unread:
        say(console, "Its events and snapshots were not read: first mend what cannot be read.")
    else:
        say(console, f"Events read: {result.events:,}")
        say(console, f"Snapshots compared with them: {result.snapshots:,}")
        say(console, f"Snapshots of other code, left out: {result.foreign:,}")
    show_findings(console, result.findings, remedies=True)


def show_findings(console: Console, findings: Sequence[Finding], *, remedies: bool) -> None:
    """What is wrong, and where; of many places the first."""
    for finding in findings:
        say(console, f"\n{finding.kind}: {finding.count:,}", "bold")
        for place in finding.places[:_PLACES]:
            say(console, f"  {place.what}")
        if finding.count > _PLACES:
            say(console, f"  … and {finding.count - _PLACES:,} more")
        if remedies:
            say(console, f"  Remedy: {finding.remedy}.", "cyan")


def say(console: Console, line: str, style: str = "") -> None:
    """Print a line in one piece, however long it is; no markup is read into it."""
    console.print(Text(line, style=style), soft_wrap=True)


def print_json(value: object) -> None:
    """Print a value, for programs."""
    text = msgspec.json.format(msgspec.json.encode(value)).decode()
    sys.stdout.write(f"{text}\n")
