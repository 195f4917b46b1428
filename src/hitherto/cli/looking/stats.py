"""`hitherto stats`: what a store holds, how it grows, and what it takes."""

import asyncio
from collections.abc import Sequence
from itertools import groupby

import msgspec
from rich.console import Console
from rich.table import Table

from hitherto import Store
from hitherto.application.looking.values import (
    Amount,
    KindStatistics,
    Length,
    Relation,
    Statistics,
)
from hitherto.application.store import utc_now
from hitherto.cli.connecting import connect
from hitherto.cli.looking.showing import amount, cell, screen, table
from hitherto.cli.options import AsJson, Schema, Url
from hitherto.cli.printing import print_json, say
from hitherto.connect import Settings
from hitherto.infrastructure.urls import without_password


def stats(url: Url = None, *, schema: Schema = "public", as_json: AsJson = False) -> None:
    """Tell what a store holds, how it grows, and what its tables and indexes take.

    Events and bytes by type, and how many came a day, of late; the longest aggregates, and those
    that want a snapshot by EVENT_STORE_SNAPSHOT_THRESHOLD, by default 100; on PostgreSQL also how
    often each index was used. It reads all that is stored, and changes nothing:

        hitherto stats postgresql://localhost/shop
    """
    where = without_password(Settings.from_environment(url=url).url)
    found, threshold = asyncio.run(_stats(url, schema))
    if as_json:
        report = msgspec.structs.asdict(found)
        print_json({"store": where, "snapshot_threshold": threshold, **report})
    else:
        with screen() as console:
            _tell(console, where, found, threshold)


async def _stats(url: str | None, schema: str) -> tuple[Statistics, int]:
    async with connect(url, schema=schema, migrate=False) as store:
        return await _counted(store), store.snapshot_threshold


async def _counted(store: Store) -> Statistics:
    return await store.backend.looking.statistics(
        now=utc_now(), snapshot_every=store.snapshot_threshold
    )


def _tell(console: Console, where: str, found: Statistics, threshold: int) -> None:
    events = sum(each.total.events for each in found.kinds)
    say(console, f"{where} has {events:,} events of {found.aggregates:,} aggregates.", "bold")
    say(console, f"The log can be read up to position {found.watermark}; {_behind(found)}.")
    if not found.kinds:
        return
    console.print("", _kinds(found.kinds))
    console.print("", _lengths("Longest aggregates", found.longest))
    say(
        console,
        f"\nAggregates with {threshold:,} or more events after their snapshot: {found.wanting:,}",
        "bold",
    )
    if found.most_wanting:
        console.print(_lengths(None, found.most_wanting))
    if found.relations:
        console.print("", _relations(found.relations))


def _behind(found: Statistics) -> str:
    appends = "append is" if found.open_appends == 1 else "appends are"
    return f"{found.open_appends} {appends} open, {found.held_back:,} positions are held back"


def _kinds(kinds: Sequence[KindStatistics]) -> Table:
    """Each type of aggregate, and below it its events."""
    numbers = ("events", "bytes", "a day\n(7 days)", "a day\n(30 days)", "bytes a day\n(30 days)")
    made = table("aggregate, event", *numbers, right=numbers)
    for aggregate_type, group in groupby(kinds, lambda each: each.aggregate_type):
        own = list(group)
        sums = [_sum(amounts) for amounts in zip(*map(_amounts, own), strict=True)]
        made.add_row(cell(aggregate_type), *_cells(*sums), style="bold")
        for each in own:
            made.add_row(cell(f"  {each.event_type}"), *_cells(*_amounts(each)))
    return made


def _amounts(kind: KindStatistics) -> tuple[Amount, Amount, Amount]:
    return kind.total, kind.last_7_days, kind.last_30_days


def _sum(amounts: Sequence[Amount]) -> Amount:
    return Amount(sum(each.events for each in amounts), sum(each.bytes for each in amounts))


def _cells(total: Amount, week: Amount, month: Amount) -> tuple[str, ...]:
    return (
        f"{total.events:,}",
        amount(total.bytes),
        _per_day(week.events, 7),
        _per_day(month.events, 30),
        amount(month.bytes / 30),
    )


def _per_day(count: int, days: int) -> str:
    rate = count / days
    return f"{rate:,.0f}" if rate >= 10 or not count else f"{rate:.2g}"


def _lengths(title: str | None, lengths: Sequence[Length]) -> Table:
    numbers = ("events", "snapshot at", "after it")
    made = table("aggregate", "id", *numbers, right=numbers, title=title)
    for each in lengths:
        made.add_row(
            cell(each.aggregate_type),
            cell(each.aggregate_id),
            f"{each.events:,}",
            "none" if each.snapshot is None else f"{each.snapshot:,}",
            f"{each.events - (each.snapshot or 0):,}",
        )
    return made


def _relations(relations: Sequence[Relation]) -> Table:
    counted = any(each.scans is not None for each in relations)
    numbers = ("size", "scans") if counted else ("size",)
    made = table("table or index", *numbers, right=numbers)
    for each in relations:
        indent = "  " if each.kind == "index" else ""
        used = () if not counted else (_used(each),)
        made.add_row(cell(f"{indent}{each.name}"), amount(each.bytes), *used)
    return made


def _used(relation: Relation) -> str:
    if relation.scans is None:
        return ""
    return f"{relation.scans:,}" if relation.scans else "never"
