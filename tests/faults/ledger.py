"""Views that rows keep of the workload's accounts, and what each has to be in the end."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apsw
import asyncpg
import msgspec
from tests.faults.backends import Place
from tests.faults.checker import read_log
from tests.faults.workload import Audited, Moved

from hitherto import Amounts, Batch, Key, Projection, RecordedEvent, Store, Totals

LEDGER, SUMMARY = "ledger", "summary"
_TOLD = 5  # of each kind of violation
_ENTRIES = """INSERT INTO {entries} (event_id, aggregate_id, version, amount)
    VALUES ($1, $2, $3, $4)"""
_SUMS = """INSERT INTO {sums} AS sums VALUES ($1, $2, $3) ON CONFLICT (aggregate_id)
    DO UPDATE SET count = sums.count + excluded.count, total = sums.total + excluded.total"""

Passing = Callable[[str], None]
"""Told of the points that a projection passes by."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it is booked."""

    event_id: str
    aggregate_id: str
    version: int
    amount: int


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """All of an account's entries; as a document, what the summary has of it."""

    count: int = 0
    total: int = 0

    def plus(self, amount: int, count: int = 1) -> "Sum":
        """With some more."""
        return Sum(count=self.count + count, total=self.total + amount)


def _passed(_point: str) -> None:
    """Nobody is interested."""


class Ledger(Projection[Any], name=LEDGER):
    """A row for each event, in the order in which they were booked, and the sums of each account.

    No key keeps an event from being booked twice, so that it shows.

    Args:
        passing: Told of "handler/before", "handler/after" and, for each event, its id.
    """

    def __init__(self, passing: Passing = _passed) -> None:
        self._passing = passing

    def _statements(
        self, events: Sequence[RecordedEvent[Any]], batch: Batch[Any]
    ) -> Iterable[tuple[str, list[tuple[Any, ...]]]]:
        entries, sums = map(batch.table, self.tables)
        booked = [_entry(each) for each in events]
        changed = _sums(booked)
        yield _ENTRIES.format(entries=entries), [msgspec.structs.astuple(each) for each in booked]
        yield (
            _SUMS.format(sums=sums),
            [(each, changed[each].count, changed[each].total) for each in sorted(changed)],
        )


class SqliteLedger(
    Ledger, name=LEDGER, events=Moved | Audited, tables=["ledger_entries", "ledger_sums"]
):
    """The same in a file of SQLite."""

    def setup(self, connection: Any, batch: Batch[Any]) -> None:
        """See `Projection.setup`."""
        for statement in _tables(batch, self.tables, "integer"):
            connection.execute(statement)

    def handle(self, events: Sequence[RecordedEvent[Any]], batch: Batch[Any]) -> None:
        """See `Projection.handle`."""
        self._passing("handler/before")
        for statement, rows in self._statements(events, batch):
            batch.connection.executemany(statement.replace("$", "?"), rows)
        for each in events:
            self._passing(each.aggregate_id)
        self._passing("handler/after")


def ledger_in(place: Place, name: str = LEDGER) -> type[Ledger]:
    """The ledger in a database; there may be several, under other names."""
    if place.name == "sqlite":
        return SqliteLedger
    schema = place.settings.get("schema", "public")

    class PostgresLedger(
        Ledger,
        name=name,
        events=Moved | Audited,
        tables=[f"{schema}.{name}_entries", f"{schema}.{name}_sums"],
    ):
        async def setup(self, connection: Any, batch: Batch[Any]) -> None:
            for statement in _tables(batch, self.tables, "bigint GENERATED ALWAYS AS IDENTITY"):
                await connection.execute(statement)

        async def handle(self, events: Sequence[RecordedEvent[Any]], batch: Batch[Any]) -> None:
            self._passing("handler/before")
            for statement, rows in self._statements(events, batch):
                await batch.connection.executemany(statement, rows)
            for each in events:
                self._passing(each.aggregate_id)
            self._passing("handler/after")

    return PostgresLedger


class Summary(Totals[Sum, Moved | Audited], name=SUMMARY):
    """The sums of each account as a document, and of all accounts that end in the same digit."""

    def evolve(self, document: Sum | None, recorded: RecordedEvent[Moved | Audited]) -> Sum:
        """See `Documents.evolve`."""
        return (document or Sum()).plus(_entry(recorded).amount)

    def amounts(self, document: Sum) -> dict[Key, Amounts]:
        """See `Totals.amounts`."""
        return {(document.count % 10,): {"accounts": 1, "total": document.total}}


async def wrong_views(store: Store, place: Place) -> list[str]:
    """What in the ledger and in the summary is not the fold of the log, in sentences."""
    sums = _sums(await expected_entries(store))
    return [
        *await wrong_ledger(store, place),
        *_differences("the document", sums, await store.documents(Summary).find()),
        *_differences("the total", _totals(sums), await store.totals(Summary).all()),
        *await _set_aside(store, SUMMARY),
    ]


async def wrong_ledger(store: Store, place: Place, name: str = LEDGER) -> list[str]:
    """The same of a ledger alone."""
    booked = await expected_entries(store)
    entries, sums = await read_ledger(place, name)
    return [
        *_misbooked(booked, entries),
        *_differences("the sum", _sums(booked), sums),
        *await _set_aside(store, name),
    ]


async def expected_entries(store: Store) -> list[Entry]:
    """What the ledger is to have, by the log."""
    kinds = {("Account", "Moved"), ("Account", "Audited")}
    return [
        Entry(
            event_id=str(event.event_id),
            aggregate_id=event.aggregate_id,
            version=event.version,
            amount=msgspec.json.decode(event.data).get("amount", 0),
        )
        for event in await read_log(store.backend)
        if (event.aggregate_type, event.event_type) in kinds
    ]


async def read_ledger(place: Place, name: str = LEDGER) -> tuple[list[Entry], dict[str, Sum]]:
    """The entries in order, and the sums by account, in one snapshot of the database."""
    entries, sums = ledger_in(place, name).tables
    queries = (
        f"SELECT event_id, aggregate_id, version, amount FROM {entries} ORDER BY number",
        f"SELECT aggregate_id, count, total FROM {sums}",
    )
    if place.name == "sqlite":
        connection = apsw.Connection(place.url.removeprefix("sqlite:///"))
        with connection:
            found = [list(connection.execute(query)) for query in queries]
        connection.close()
    else:
        session = await asyncpg.connect(place.url)
        async with session.transaction(isolation="repeatable_read", readonly=True):
            found = [await session.fetch(query) for query in queries]
        await session.close()
    return (
        [
            Entry(event_id=row[0], aggregate_id=row[1], version=row[2], amount=row[3])
            for row in found[0]
        ],
        {row[0]: Sum(count=row[1], total=row[2]) for row in found[1]},
    )


def _misbooked(expected: Sequence[Entry], found: Sequence[Entry]) -> list[str]:
    """Entries twice, entries missing, entries out of order, strangers."""
    times = Counter(each.event_id for each in found)
    known = {each.event_id: each for each in expected}
    twice = [
        f"twice: event {each} was booked {count} times"
        for each, count in times.items()
        if count > 1
    ]
    skipped = [
        f"skipped: version {each.version} of {each.aggregate_id!r} was not booked"
        for each in expected
        if each.event_id not in times
    ]
    strange = [f"strange: {each} was booked" for each in found if known.get(each.event_id) != each]
    versions: dict[str, int] = {}
    disordered: list[str] = []
    for each in found:
        before = versions.get(each.aggregate_id, 0)
        if each.version < before:
            disordered.append(
                f"out of order: version {each.version} of {each.aggregate_id!r} was booked after "
                f"{before}"
            )
        versions[each.aggregate_id] = each.version
    return [line for kind in (twice, skipped, strange, disordered) for line in kind[:_TOLD]]


async def _set_aside(store: Store, name: str) -> list[str]:
    return [
        f"{name}: the event at {each.position} was set aside: {each.error}"
        for each in await store.backend.checkpoints.parked(name)
    ][:_TOLD]


def _sums(entries: Sequence[Entry]) -> dict[str, Sum]:
    sums: dict[str, Sum] = {}
    for each in entries:
        sums[each.aggregate_id] = sums.get(each.aggregate_id, Sum()).plus(each.amount)
    return sums


def _differences(what: str, expected: dict[Any, Any], found: dict[Any, Any]) -> list[str]:
    return [
        f"{what} of {each!r} is {found.get(each)}; the events give {expected.get(each)}"
        for each in sorted({*expected, *found})
        if expected.get(each) != found.get(each)
    ][:_TOLD]


def _totals(expected: dict[str, Sum]) -> dict[Key, Amounts]:
    totals: dict[Key, Counter[str]] = {}  # They are equal, whether or not a zero is there.
    for each in expected.values():
        group = totals.setdefault((each.count % 10,), Counter())
        group["accounts"] += 1
        group["total"] += each.total
    return dict(totals)


def _entry(recorded: RecordedEvent[Any]) -> Entry:
    return Entry(
        event_id=str(recorded.event_id),
        aggregate_id=recorded.aggregate_id,
        version=recorded.version,
        amount=getattr(recorded.event, "amount", 0),
    )


def _tables(batch: Batch[Any], tables: Sequence[str], number: str) -> tuple[str, str]:
    entries, sums = map(batch.table, tables)
    return (
        f"""CREATE TABLE {entries} (number {number} PRIMARY KEY, event_id text NOT NULL,
            aggregate_id text NOT NULL, version integer NOT NULL, amount bigint NOT NULL)""",
        f"""CREATE TABLE {sums} (aggregate_id text PRIMARY KEY, count bigint NOT NULL,
            total bigint NOT NULL)""",
    )
