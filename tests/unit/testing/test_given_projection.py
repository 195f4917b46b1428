"""Given events, when more come, then a projection has made this of them."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import apsw
import asyncpg
import msgspec
import pytest

from hitherto import (
    Batch,
    Context,
    Documents,
    Event,
    InvalidInput,
    Projection,
    RecordedEvent,
    Totals,
    on,
    projection,
)
from hitherto.errors import ConfigurationError
from hitherto.testing import given


class Opened(Event):
    branch: str


class Deposited(Event):
    amount: int


class Closed(Event):
    pass


AccountEvent = Opened | Deposited | Closed


class Renamed(Event):
    pass


class Account(msgspec.Struct):
    branch: str
    balance: Decimal = Decimal(0)
    since: datetime | None = None


def evolved(document: Account | None, recorded: RecordedEvent[AccountEvent]) -> Account | None:
    match recorded.event:
        case Opened(branch=branch):
            return Account(branch, since=recorded.occurred_at)
        case Deposited(amount=amount):
            assert document is not None
            return msgspec.structs.replace(document, balance=document.balance + amount)
        case Closed():
            return None


class Accounts(Documents[Account, AccountEvent]):
    def evolve(
        self, document: Account | None, recorded: RecordedEvent[AccountEvent]
    ) -> Account | None:
        return evolved(document, recorded)


class Branches(Totals[Account, AccountEvent]):
    def evolve(
        self, document: Account | None, recorded: RecordedEvent[AccountEvent]
    ) -> Account | None:
        return evolved(document, recorded)

    def amounts(self, document: Account) -> dict[tuple[str], dict[str, Decimal | int]]:  # type: ignore[override]
        return {(document.branch,): {"accounts": 1, "balance": document.balance}}


class Balances(Projection[apsw.Connection], tables=["balances"]):
    def setup(self, connection: apsw.Connection, batch: Batch[apsw.Connection]) -> None:
        connection.execute(
            f"CREATE TABLE {batch.table('balances')} (account TEXT PRIMARY KEY, balance INTEGER"
            " CHECK (balance < 100))"
        )

    @on
    def deposited(self, event: Deposited, context: Context[apsw.Connection]) -> None:
        context.connection.execute(
            f"INSERT INTO {context.table('balances')} VALUES (?, ?)"
            " ON CONFLICT (account) DO UPDATE SET balance = balance + excluded.balance",
            (context.recorded.aggregate_id, event.amount),
        )


class PostgresBalances(Projection[Any], tables=["balances"]):
    async def setup(self, connection: Any, batch: Batch[Any]) -> None:
        await connection.execute(
            f"CREATE TABLE {batch.table('balances')} (account text PRIMARY KEY, balance int"
            " CHECK (balance < 100))"
        )

    @on
    async def deposited(self, event: Deposited, context: Context[Any]) -> None:
        table = context.table("balances")
        await context.connection.execute(
            f"INSERT INTO {table} AS old VALUES ($1, $2)"
            " ON CONFLICT (account) DO UPDATE SET balance = old.balance + excluded.balance",
            context.recorded.aggregate_id,
            event.amount,
        )


START = datetime(2024, 1, 1, tzinfo=UTC)
OPENED, FIVE = Opened(branch="Graz"), Deposited(amount=5)


def test_a_view_of_documents_is_checked_by_its_documents() -> None:
    """Event by event and many at once; a document may go."""
    accounts = given(Accounts(), OPENED, FIVE, id="a")
    accounts.then_documents({"a": Account("Graz", Decimal(5), START)})
    accounts.when(timedelta(days=1), ("b", OPENED), FIVE).then_documents(
        {
            "a": Account("Graz", Decimal(10), START),
            "b": Account("Graz", since=START + timedelta(days=1)),
        }
    )
    accounts.when(Closed(), Renamed(), ("b", Closed())).then_documents({})


def test_what_a_view_does_not_ask_for_is_passed_over() -> None:
    """As by a worker."""
    given(Accounts(), OPENED).when(Renamed()).then_documents(
        {"given-1": Account("Graz", since=START)}
    )


def test_a_view_of_totals_is_checked_by_its_totals() -> None:
    """And by the documents of which they are made."""
    branches = given(Branches(), OPENED, FIVE, id="a").when(("b", OPENED), ("b", FIVE))
    branches.then_totals({("Graz",): {"accounts": 2, "balance": 10}})
    branches.when(("b", Closed())).then_totals({("Graz",): {"accounts": 1, "balance": 5}})
    branches.then_documents({"a": Account("Graz", Decimal(5), START)})
    branches.when(Closed()).then_totals({})


def test_tables_are_checked_by_their_rows() -> None:
    """In whatever order; events that the projection does not ask for are passed over."""
    balances = given(Balances(), OPENED, FIVE, id="a").when(FIVE, ("b", FIVE))
    balances.then_table("balances", ("b", 5), ("a", 10))


def test_a_handler_that_raises_leaves_nothing_behind() -> None:
    """A `when` is one transaction, and the next one finds what was there before."""
    balances = given(Balances(), FIVE, id="a").when(FIVE, Deposited(amount=100))
    balances.then_raises(apsw.ConstraintError, match="balance < 100")
    balances.when(FIVE).then_table("balances", ("a", 10))


@pytest.mark.integration
def test_handlers_on_postgresql_are_given_a_connection_to_it(postgres_url: str) -> None:
    """In transactions that never end: two tests do not meet, and nothing is left."""
    first = given(PostgresBalances(), FIVE, id="a", url=postgres_url)
    second = given(PostgresBalances(), FIVE, id="b", url=postgres_url)
    first.when(FIVE, Deposited(amount=100)).then_raises(asyncpg.CheckViolationError)
    first.when(FIVE).then_table("balances", ("a", 10))
    second.then_table("balances", ("b", 5))

    del first, second

    async def left() -> int:
        """Connections that are in a transaction."""
        connection = await asyncpg.connect(postgres_url)
        try:
            found: int = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
            )
            return found
        finally:
            await connection.close()

    for _ in range(1000):
        if not asyncio.run(left()):
            return
        time.sleep(0.02)
    raise AssertionError("a transaction is left")


@pytest.mark.integration
def test_a_row_that_another_test_has_locked_is_not_waited_for_without_end(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where handlers write to tables that are not their own."""
    monkeypatch.setattr("hitherto.testing.handlers_connection.LOCK_TIMEOUT", "50ms")

    class Locked(Projection[Any]):
        @on
        async def opened(self, event: Opened, context: Context[Any]) -> None:
            await context.connection.execute("SELECT pg_advisory_xact_lock(17)")

    first = given(Locked(), OPENED, url=postgres_url)
    given(Locked(), url=postgres_url).when(OPENED).then_raises(asyncpg.LockNotAvailableError)
    first.when(OPENED)


def test_a_function_is_given_its_events() -> None:
    """With an idempotency key; what it does is the test's to look at. It may be async."""
    sent: list[Any] = []

    async def tell(event: Opened, context: Context[None]) -> None:
        await asyncio.sleep(0)
        sent.append((context.recorded.aggregate_id, context.connection, context.idempotency_key))

    given(projection("letters", tell, elsewhere=True), FIVE, id="a").when(OPENED, FIVE)
    ((who, connection, key),) = sent
    assert (who, connection) == ("a", None)
    assert key.startswith("letters:")


async def test_it_also_runs_where_a_loop_does() -> None:
    """In an async test."""
    given(Accounts()).when(OPENED).then_documents({"given-1": Account("Graz", since=START)})


def test_a_projection_that_does_nothing_is_refused() -> None:
    """As by a worker, and a URL of which it would get no connection, too."""

    class Empty(Projection[None]):
        pass

    with pytest.raises(InvalidInput, match="handles nothing"):
        given(Empty())
    with pytest.raises(ConfigurationError, match="give postgresql://"):
        given(Balances(), url="sqlite:///secret")


@pytest.mark.parametrize(
    ("check", "told"),
    [
        (
            lambda accounts, _: accounts.then_documents({"a": Account("Linz"), "b": None}),
            [
                "projection 'Accounts': the documents differ",
                "['b']: expected None, is not there",
                "['a'].branch: expected 'Linz', is 'Graz'",
                "['a'].balance: expected Decimal('0'), is Decimal('5')",
            ],
        ),
        (
            lambda _, balances: balances.then_table("balances", ("a", 6), ("b", 1)),
            [
                "table balances differs",
                "missing:      ('a', 6)",
                "missing:      ('b', 1)",
                "not expected: ('a', 5)",
            ],
        ),
        (
            lambda accounts, _: accounts.then_raises(KeyError),
            ["did not raise", "expected: KeyError"],
        ),
        (
            lambda accounts, _: accounts.when(("c", FIVE)).then_documents({}),
            ["projection 'Accounts' raised AssertionError"],
        ),
    ],
)
def test_a_failure_shows_what_was_expected_and_what_is(check: Any, told: list[str]) -> None:
    """Place by place."""
    with pytest.raises(AssertionError) as caught:
        check(given(Accounts(), OPENED, FIVE, id="a"), given(Balances(), FIVE, id="a"))
    for part in told:
        assert part in str(caught.value)


def test_totals_that_differ_are_told_by_group() -> None:
    """And by number."""
    with pytest.raises(AssertionError) as caught:
        given(Branches(), OPENED, FIVE).then_totals({("Graz",): {"accounts": 1, "balance": 6}})
    assert "[('Graz',)]['balance']: expected 6, is 5" in str(caught.value)
