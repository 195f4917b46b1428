"""The view that everybody keeps: what each fine costs and what was paid, a row for each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import apsw
import asyncpg

from benchmarks.fines import log_lines
from benchmarks.server import Server
from hitherto import Batch, Context, Documents, Projection, RecordedEvent, on
from hitherto.examples.traffic_fines import FineEvent, fine_of
from hitherto.examples.traffic_fines.views import FineDocument, Fines

COLUMNS = "fine, amount, expense, paid, dismissed, events"
TABLE = "balances"
_SUMS = "count(*), sum(amount), sum(expense), sum(paid), sum(dismissed), sum(events)"
_TABLE = """
CREATE TABLE {table} (
    fine {id} PRIMARY KEY, amount bigint, expense bigint, paid bigint NOT NULL,
    dismissed integer NOT NULL, events integer NOT NULL
)
"""
_ON_CONFLICT = """
ON CONFLICT (fine) DO UPDATE
SET amount = coalesce(excluded.amount, old.amount),
    expense = coalesce(excluded.expense, old.expense),
    paid = old.paid + excluded.paid,
    dismissed = old.dismissed + excluded.dismissed,
    events = old.events + excluded.events
"""
_UNNEST = """SELECT * FROM unnest(
    $1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::integer[])"""

Sums = tuple[int, ...]
"""Rows, and the sum of each column."""


@dataclass(slots=True)
class Change:
    """What events do to the row of their fine; euros are counted in cents.

    Attributes:
        fine: Its id.
        amount: What it costs from now on; None: as before.
        expense: The postage; None: as before.
        paid: What came in.
        dismissed: How often it was dropped.
        events: How many events this is.
    """

    fine: Any
    amount: int | None = None
    expense: int | None = None
    paid: int = 0
    dismissed: int = 0
    events: int = 0

    def row(self) -> tuple[Any, ...]:
        """Its values, in the order of the columns."""
        return (self.fine, self.amount, self.expense, self.paid, self.dismissed, self.events)

    def then(self, event: Any) -> None:
        """Add an event; the classes of all contenders have the same names and fields."""
        self.events += 1
        match type(event).__name__:
            case "FineCreated" | "PenaltyAdded":
                self.amount = int(event.amount * 100)
            case "FineSent":
                self.expense = int(event.expense * 100)
            case "PaymentReceived":
                self.paid += int(event.amount * 100)
            case "PrefectureAppealSent" if event.dismissal == "#":
                self.dismissed += 1
            case "JudgeAppealed" if event.dismissal == "G":
                self.dismissed += 1
            case _:
                pass


def change(fine: Any, event: Any) -> Change:
    """What one event does."""
    made = Change(fine)
    made.then(event)
    return made


def changes(events: Iterable[RecordedEvent[Any]]) -> list[Change]:
    """What some events do, put together fine by fine."""
    found: dict[str, Change] = {}
    for recorded in events:
        fine = recorded.aggregate_id
        known = found.get(fine)
        if known is None:
            found[fine] = change(fine, recorded.event)
        else:
            known.then(recorded.event)
    return list(found.values())


@cache
def expected(log: Path | None, fines: int) -> Sums:
    """What the view of the log's first fines must come to."""
    rows = []
    for line in log_lines(log, fines):
        whole = Change("")
        for event in fine_of(line).pending:
            whole.then(event)
        rows.append(whole.row()[1:])
    return (len(rows), *(sum(value or 0 for value in column) for column in zip(*rows, strict=True)))


def create(table: str, fine_type: str) -> str:
    """The statement that makes the view's table."""
    return _TABLE.format(table=table, id=fine_type)


def upsert(table: str, values: str) -> str:
    """The statement that books changes; `values` is what follows the columns."""
    return f"INSERT INTO {table} AS old ({COLUMNS}) {values} {_ON_CONFLICT}"


def sums_of(server: Server, table: str) -> Sums:
    """What a view on PostgreSQL comes to."""
    return tuple(map(int, server.psql(f"SELECT {_SUMS} FROM {table}").split("\t")))


def sums_of_file(path: str) -> Sums:
    """What a view on SQLite comes to."""
    (row,) = apsw.Connection(path).execute(f"SELECT {_SUMS} FROM {TABLE}")
    return tuple(map(int, row))


class _Table(Projection[Any]):
    """The common part: it makes the table."""

    def setup(self, connection: Any, batch: Batch[Any]) -> Any:
        """See `Projection.setup`."""
        return connection.execute(create(batch.table(self.tables[0]), "text"))


def in_bulk(table: str) -> Projection[asyncpg.Connection]:
    """A page of events in one statement, on PostgreSQL."""

    class Balances(_Table, name="balances", events=FineEvent, tables=[table]):
        async def handle(self, events: Sequence[RecordedEvent[Any]], batch: Batch[Any]) -> None:
            columns = zip(*(each.row() for each in changes(events)), strict=True)
            statement = upsert(batch.table(table), _UNNEST)
            await batch.connection.execute(statement, *columns)

    return Balances()


def one_by_one(table: str) -> Projection[asyncpg.Connection]:
    """A statement for each event, on PostgreSQL; the transaction has many."""

    table += "_one_by_one"

    class Balances(_Table, name="balances one by one", tables=[table]):
        @on
        async def happened(self, event: FineEvent, context: Context[Any]) -> None:
            row = change(context.recorded.aggregate_id, event).row()
            statement = upsert(context.table(table), "VALUES ($1, $2, $3, $4, $5, $6)")
            await context.connection.execute(statement, *row)

    return Balances()


def in_bulk_on_sqlite(table: str) -> Projection[apsw.Connection]:
    """A page of events in one call, on SQLite."""

    class Balances(_Table, name="balances", events=FineEvent, tables=[table]):
        def handle(self, events: Sequence[RecordedEvent[Any]], batch: Batch[Any]) -> None:
            statement = upsert(batch.table(table), "VALUES (?, ?, ?, ?, ?, ?)")
            batch.connection.executemany(statement, (each.row() for each in changes(events)))

    return Balances()


class FineDocuments(Documents[FineDocument, FineEvent], name="fine documents"):
    """The documents of the example's view, without its totals."""

    evolve = Fines.evolve


def documents(_table: str) -> Projection[Any]:
    """A document for each fine: no SQL."""
    return FineDocuments()


def totals(_table: str) -> Projection[Any]:
    """Documents, and totals by year and article: no SQL."""
    return Fines()
