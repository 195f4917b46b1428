"""What a projection writes, it writes as its store has it; the error comes before any I/O."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Generic, TypeVar

import apsw
import asyncpg
import pytest
from tests.contract.projecting import Deposited

from hitherto import (
    Batch,
    Context,
    InvalidInput,
    Projection,
    ProjectionWorker,
    connect,
    on,
    projection,
    sync,
)

MEMORY, SQLITE, POSTGRES = "memory:", "sqlite:////no/file.db", "postgresql://127.0.0.1:1/none"
C = TypeVar("C")


def worker(url: str, view: Projection[Any], **options: Any) -> ProjectionWorker[Any]:
    return ProjectionWorker(connect(url), view, **options)


class Plain(Projection[apsw.Connection], tables=["sums"]):
    def setup(self, connection: apsw.Connection, batch: Batch[apsw.Connection]) -> None:
        connection.execute(f"CREATE TABLE {batch.table('sums')} (n INTEGER)")

    @on
    def deposited(self, event: Deposited, context: Context[apsw.Connection]) -> None:
        context.connection.execute(f"INSERT INTO {context.table('sums')} VALUES ({event.amount})")


class Awaiting(Projection[asyncpg.Connection], tables=["sums"]):
    async def setup(self, connection: Any, batch: Batch[Any]) -> None:
        await connection.execute(f"CREATE TABLE {batch.table('sums')} (n INTEGER)")

    @on
    async def deposited(self, event: Deposited, context: Context[Any]) -> None:
        await context.connection.execute(
            f"INSERT INTO {context.table('sums')} VALUES ({event.amount})"
        )


class PlainSetup(Awaiting, tables=["sums"]):
    def setup(self, connection: Any, batch: Batch[Any]) -> None:  # type: ignore[override]
        connection.execute(f"CREATE TABLE {batch.table('sums')} (n INTEGER)")


class PlainHandler(Awaiting, tables=["sums"]):
    @on
    def deposited(self, event: Deposited, context: Context[Any]) -> None:  # type: ignore[override]
        context.connection.execute("INSERT INTO sums VALUES (1)")


class PlainHandle(Projection, events=[Deposited]):  # type: ignore[type-arg]
    def handle(self, events, batch):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        batch.connection.execute("INSERT INTO sums VALUES (1)")


class AsyncHandle(Projection[Any], events=[Deposited]):
    async def handle(self, events: Any, batch: Batch[Any]) -> None:
        await batch.connection.execute("INSERT INTO sums VALUES (1)")


def added(event: Deposited, context: Context[Any]) -> None:
    context.connection.execute("INSERT INTO sums VALUES (1)")


async def added_later(event: Deposited, context: Context[Any]) -> None:
    await context.connection.execute("INSERT INTO sums VALUES (1)")


class TestOnPostgres:
    @pytest.mark.parametrize(
        ("view", "who"),
        [
            (Plain(), "Plain.setup"),
            (PlainSetup(), "PlainSetup.setup"),
            (PlainHandler(), "PlainHandler.deposited"),
            (PlainHandle(), "PlainHandle.handle"),
            (projection("adding", added), "added"),
        ],
    )
    def test_what_writes_and_awaits_nothing_is_refused(
        self, view: Projection[Any], who: str
    ) -> None:
        """It would be counted as done; the error names it, and what it is to be."""
        with pytest.raises(InvalidInput, match=rf"^{who} is a plain function.*`async def`"):
            worker(POSTGRES, view)
        with pytest.raises(InvalidInput, match=who):
            connect(POSTGRES, inline=[view])
        with pytest.raises(InvalidInput, match=who):
            sync.ProjectionWorker(sync.connect(POSTGRES), view)

    def test_what_awaits_is_taken(self) -> None:
        """Whatever it is wrapped in."""

        def told(function: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(function)
            def wrapped(*arguments: Any) -> Any:
                return function(*arguments)

            return wrapped

        class Wrapped(Awaiting, tables=["sums"]):
            setup: Any = told(Awaiting.setup)
            deposited: Any = on(told(Awaiting.deposited))

        for view in (Awaiting(), AsyncHandle(), Wrapped(), projection("adding", added_later)):
            worker(POSTGRES, view)

    def test_a_function_that_gives_what_is_to_be_awaited_is_taken(self) -> None:
        """It may be one for SQLite, too; what it says is believed."""

        class Both(Projection[Any], tables=["sums"]):
            def setup(self, connection: Any, batch: Batch[Any]) -> Awaitable[None] | None:
                return connection.execute("CREATE TABLE sums (n INTEGER)")  # type: ignore[no-any-return]

            @on
            def deposited(self, event: Deposited, context: Context[Any]) -> Any:
                return context.connection.execute("INSERT INTO sums VALUES (1)")

        for url in (SQLITE, POSTGRES):
            worker(url, Both())

    def test_what_is_not_to_write_there_may_be_plain(self) -> None:
        """It says so."""

        class Quiet(Projection[None]):
            @on
            def deposited(self, event: Deposited, context: Context[None]) -> None: ...

        class Letters(Projection[Any]):
            @on(side_effect=True)
            def deposited(self, event: Deposited, context: Context[Any]) -> None: ...

        elsewhere = projection("adding", added, elsewhere=True)
        for view in (Quiet(), Letters(), elsewhere):
            worker(POSTGRES, view)

    def test_what_others_lend_may_not_be_awaited(self) -> None:
        """As what a session of SQLAlchemy's adds; the tables are still made by the store's."""
        transactions: Any = object()
        worker(POSTGRES, projection("adding", added), transactions=transactions)
        with pytest.raises(InvalidInput, match=r"PlainSetup\.setup"):
            worker(POSTGRES, PlainSetup(), transactions=transactions)


class TestOnSqlite:
    @pytest.mark.parametrize(
        ("view", "who"),
        [
            (Awaiting(), "Awaiting.setup"),
            (AsyncHandle(), "AsyncHandle.handle"),
            (projection("adding", added_later), "added_later"),
        ],
    )
    def test_what_is_async_is_refused(self, view: Projection[Any], who: str) -> None:
        """There is nothing to await; the error names it."""
        with pytest.raises(InvalidInput, match=rf"^{who} is `async def`: on SQLite"):
            worker(SQLITE, view)

    def test_what_is_plain_is_taken(self) -> None:
        """And what is elsewhere may be async."""
        for view in (Plain(), PlainHandle(), projection("adding", added_later, elsewhere=True)):
            worker(SQLITE, view)


class TestInMemory:
    def test_what_writes_tables_is_refused(self) -> None:
        """There is no connection; the error tells where it can be tested."""

        class Base(Projection[C], Generic[C]):
            @on
            def deposited(self, event: Deposited, context: Context[C]) -> None: ...

        class Written(Base[apsw.Connection]):
            pass

        class Untyped(Base):  # type: ignore[type-arg]
            setup = Plain.setup

        for view in (Plain(), Awaiting(), Written(), Untyped()):
            with pytest.raises(InvalidInput, match=r"given\(\).*--hitherto-store=sqlite:"):
                worker(MEMORY, view)
        for inline in (Plain(), Written()):
            with pytest.raises(InvalidInput, match="no connection"):
                connect(MEMORY, inline=[inline])

    def test_what_writes_none_is_taken(self) -> None:
        """As far as it says; and what is written elsewhere."""

        class Elsewhere(Projection[apsw.Connection], elsewhere=True):
            @on
            def deposited(self, event: Deposited, context: Context[Any]) -> None: ...

        for view in (projection("adding", added), AsyncHandle(), Elsewhere()):
            worker(MEMORY, view)
