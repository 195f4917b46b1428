"""What goes wrong in a projection's transaction, by each way to write it: whose fault it is."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import pytest_asyncio
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from tests.acceptance.transaction_ways import (
    ADAPTERS,
    ALL,
    SESSIONS,
    Way,
    Ways,
    by_psycopg,
)
from tests.contract.projecting import deposit
from tests.servers import PostgresCluster, start_cluster

from hitherto import (
    AggregateLocked,
    EventStoreUnavailable,
    HandlerFailed,
    InvalidInput,
    LeaseLost,
    ProjectionWorker,
    PublisherUnavailable,
    SchemaMismatch,
    Store,
    Transactions,
    connect,
)
from hitherto.application.checkpoints import Document, Progress, Work
from hitherto.infrastructure.psycopg import PsycopgTransactions

pytestmark = pytest.mark.integration

_TABLE = "CREATE TABLE {schema}.paid (place text PRIMARY KEY, amount int)"
_FAIL = "DO $$ BEGIN RAISE EXCEPTION 'as told' USING ERRCODE = '{state}'; END $$"


class Base(DeclarativeBase):
    """Of what is mapped."""


class Amount(Base):
    """A row that a session writes by itself."""

    __tablename__ = "amounts"
    place: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int]


class Steps:
    """The steps of one worker, and the way in which they are written."""

    def __init__(self, store: Store, ways: Ways) -> None:
        self.ways = ways
        self._checkpoints = store.backend.checkpoints
        self.transactions: Transactions = ways.transactions or self._checkpoints
        self._held: dict[int, int] = {}

    async def advance(
        self, work: Work | None, *, lease: float = 60, documents: Sequence[Document] = ()
    ) -> None:
        """One step, which moves nothing but is counted."""
        made = await self._checkpoints.prepare(
            "paid", version=1, partitions=1, rebuild=False, setup=lambda *_: None
        )
        found = await self._checkpoints.attend(made, "one", lease=0.01, held=self._held)
        self._held |= {each.partition: each.token for each in found.leases}
        await self.transactions.advance(
            Progress(
                generation=made,
                leases=self._held,
                position=0,
                handled={0: 1},
                lease=lease,
                documents=documents,
            ),
            work,
        )

    def write_by(self, ways: Ways) -> None:
        """From now on."""
        assert ways.transactions is not None
        self.transactions = ways.transactions

    async def execute(self, connection: Any, *queries: str) -> None:
        """As a handler would."""
        for query in queries:
            sql = query.replace("{schema}", self.ways.schema)
            await self.ways.projection.execute(connection, sql)

    async def written(self) -> tuple[int, int]:
        """Rows of the view, and how many events the checkpoint says were handled."""
        ((rows,),) = await self.ways.rows("SELECT count(*) FROM {schema}.paid")
        found = await self._checkpoints.status("paid")
        return rows, sum(each.handled for each in found)


@asynccontextmanager
async def stepping(way: Way, url: str, schema: str) -> AsyncGenerator[Steps]:
    async with way(url, schema) as ways, connect(url, schema=schema, max_connections=5) as store:
        await ways.rows(_TABLE)
        yield Steps(store, ways)


@pytest_asyncio.fixture(params=ALL)
async def steps(
    request: pytest.FixtureRequest, postgres_url: str, postgres_schema: str
) -> AsyncGenerator[Steps]:
    async with stepping(request.param, postgres_url, postgres_schema) as found:
        yield found


@pytest_asyncio.fixture(params=SESSIONS)
async def sessions(
    request: pytest.FixtureRequest, postgres_url: str, postgres_schema: str
) -> AsyncGenerator[Steps]:
    async with stepping(request.param, postgres_url, postgres_schema) as found:
        await found.ways.rows(
            "CREATE TABLE IF NOT EXISTS amounts (place int PRIMARY KEY, amount int)"
        )
        yield found


# ---- the handler's fault ----

Fault = Callable[[Steps, Any], Awaitable[None]]
_INSERT = "INSERT INTO {schema}.paid VALUES ('x', 1)"


def _raise(error: Exception) -> Fault:
    async def fault(steps: Steps, connection: Any) -> None:
        await steps.execute(connection, _INSERT)
        raise error

    return fault


def _execute(*queries: str) -> Fault:
    async def fault(steps: Steps, connection: Any) -> None:
        await steps.execute(connection, *queries)

    return fault


async def _swallow(steps: Steps, connection: Any) -> None:
    with suppress(Exception):
        await steps.execute(connection, _INSERT, "SELECT 1 / 0")


_DEFERRED = (
    """CREATE TEMP TABLE later (n int UNIQUE DEFERRABLE INITIALLY DEFERRED) ON COMMIT DROP"""
)
_TRIGGER = """CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON {schema}.paid
              DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {schema}.refuse()"""
_REFUSE = """CREATE FUNCTION {schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'as told'; END $$"""


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (_raise(InvalidInput("a typo")), "InvalidInput: a typo"),
        (_raise(LeaseLost("not his")), "LeaseLost: not his"),
        (_raise(ConnectionResetError("elsewhere")), "ConnectionResetError: elsewhere"),
        (_execute(_INSERT, _INSERT), "duplicate key"),
        (_execute(_FAIL.replace("{state}", "HH423")), "as told"),
        (_execute("SET LOCAL statement_timeout = 20", "SELECT pg_sleep(60)"), "statement timeout"),
        (_execute("COMMIT"), "ended its transaction"),
        (_execute(_INSERT, "ROLLBACK"), "ended its transaction"),
        (_swallow, "transaction is aborted"),
        (_execute(_DEFERRED, "INSERT INTO later VALUES (1), (1)"), "duplicate key"),
        (_execute(_REFUSE, _TRIGGER, _INSERT), "as told"),
    ],
)
async def test_what_a_handler_does_wrong_is_its_failure(
    steps: Steps, fault: Fault, told: str
) -> None:
    """Nothing is written, and the next step is."""
    with pytest.raises(HandlerFailed, match=told) as failure:
        await steps.advance(lambda connection: fault(steps, connection))
    assert failure.value.__cause__ is not None
    assert await steps.written() == (0, 0)
    await steps.advance(lambda connection: steps.execute(connection, _INSERT))
    assert await steps.written() == (1, 1)


@pytest.mark.parametrize("text", ["\ud800", "\0"])
async def test_a_document_that_cannot_be_stored_is_the_handlers_failure(
    steps: Steps, text: str
) -> None:
    """Though it shows only when the checkpoint is written."""
    documents = [Document(collection="c", key=text, partition=0, data="{}")]
    work = _execute(_INSERT)
    with pytest.raises(HandlerFailed):
        await steps.advance(lambda connection: work(steps, connection), documents=documents)
    assert await steps.written() == (0, 0)


@pytest.mark.parametrize("blocks", [False, True])
async def test_a_transaction_that_stands_idle_for_too_long_is_the_handlers_failure(
    steps: Steps, blocks: bool
) -> None:
    """The server ends it, so that nobody waits for its locks; the driver hears of it or not yet."""

    async def work(connection: Any) -> None:
        await steps.execute(connection, _INSERT)
        if blocks:
            time.sleep(0.4)  # noqa: ASYNC251  # The loop stands still, too.
        else:
            await asyncio.sleep(0.4)
        await steps.execute(connection, _INSERT.replace("x", "y"))

    with pytest.raises(HandlerFailed, match=r"idle for 0\.1 s"):
        await steps.advance(work, lease=0.1)
    assert await steps.written() == (0, 0)


async def _begin_anew(session: AsyncSession) -> None:
    await session.commit()
    await session.execute(text("SELECT 1"))


async def _of_the_wrong_type(session: AsyncSession) -> None:
    session.add(Amount(place=2, amount="much"))


async def _stale(session: AsyncSession) -> None:
    session.add(row := Amount(place=3, amount=1))
    await session.flush()
    await session.execute(text("DELETE FROM amounts WHERE place = 3"))
    row.amount = 2


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (AsyncSession.commit, "ended its transaction"),
        (AsyncSession.rollback, "ended its transaction"),
        (AsyncSession.close, "ended its transaction"),
        (_begin_anew, "ended its transaction"),
        (_of_the_wrong_type, "much"),
        (_stale, "StaleDataError"),
    ],
)
async def test_a_session_that_is_not_left_in_order_is_the_handlers_failure(
    sessions: Steps, work: Work, told: str
) -> None:
    """The checkpoint stays where it is."""
    with pytest.raises(HandlerFailed, match=told):
        await sessions.advance(work)
    assert await sessions.written() == (0, 0)


async def test_what_a_session_has_not_flushed_is_written(sessions: Steps) -> None:
    """And savepoints in it are fine."""
    await sessions.ways.rows("TRUNCATE amounts")

    async def work(session: AsyncSession) -> None:
        with suppress(RuntimeError):
            async with session.begin_nested():
                session.add(Amount(place=1, amount=1))
                raise RuntimeError("not this one")
        session.add(Amount(place=4, amount=1))

    await sessions.advance(work)
    assert await sessions.ways.rows("SELECT place FROM amounts") == [(4,)]


@pytest.mark.parametrize("told", ["commit", "rollback"])
async def test_the_end_of_psycopgs_transaction_is_not_the_handlers(
    postgres_url: str, postgres_schema: str, told: str
) -> None:
    """By its methods no more than by a statement."""
    async with stepping(by_psycopg, postgres_url, postgres_schema) as steps:
        with pytest.raises(HandlerFailed, match=f"Explicit {told}"):
            await steps.advance(lambda connection: getattr(connection, told)())
        with pytest.raises(HandlerFailed, match="ended its transaction"):
            await steps.advance(lambda connection: steps.execute(connection, "COMMIT", "SELECT 1"))
        assert await steps.written() == (0, 0)


# ---- nobody's fault ----


@pytest.mark.parametrize("state", ["53100", "53200", "58030", "25006", "55P03", "40P01", "40001"])
async def test_what_is_out_or_locked_is_waited_for(steps: Steps, state: str) -> None:
    """A full disk, a standby, a lock, a deadlock: no attempt is counted."""
    work = _execute(_INSERT, _FAIL.replace("{state}", state))
    with pytest.raises(EventStoreUnavailable, match="as told") as outage:
        await steps.advance(lambda connection: work(steps, connection))
    assert outage.value.transient
    assert await steps.written() == (0, 0)
    await steps.advance(lambda connection: steps.execute(connection, _INSERT))
    assert await steps.written() == (1, 1)


@pytest.mark.parametrize("error", [PublisherUnavailable("away"), AggregateLocked("held")])
async def test_an_outage_that_a_handler_tells_of_is_one(steps: Steps, error: Exception) -> None:
    """As of a broker, or of an aggregate."""
    with pytest.raises((PublisherUnavailable, EventStoreUnavailable), match=str(error)):
        await steps.advance(lambda connection: _raise(error)(steps, connection))
    assert await steps.written() == (0, 0)


async def test_a_lock_on_the_views_table_parks_nothing(steps: Steps, store: Store) -> None:
    """However long it is held, as by CREATE INDEX."""
    projection = steps.ways.projection
    projection.before = "SET LOCAL lock_timeout = '20ms'"
    for name in ("a", "b"):
        await deposit(store, name, 1, 2)
    worker = ProjectionWorker(store, projection, transactions=steps.ways.transactions, attempts=1)
    holder = await AsyncConnection.connect(steps.ways.url)
    async with holder:
        await holder.execute(f"LOCK TABLE {steps.ways.schema}.paid IN SHARE MODE".encode())
        running = asyncio.create_task(worker.catch_up())
        await asyncio.sleep(1)
    await running
    assert await steps.written() == (4, 4)
    assert await store.backend.checkpoints.parked("paid") == []


@pytest_asyncio.fixture
async def store(steps: Steps) -> AsyncGenerator[Store]:
    async with connect(steps.ways.url, schema=steps.ways.schema, max_connections=5) as store:
        yield store


@pytest.mark.parametrize("way", ADAPTERS)
async def test_a_schema_without_the_tables_is_told_at_once(
    way: Way, postgres_url: str, postgres_schema: str
) -> None:
    """It is the adapter's that is wrong, and no handler's fault."""
    async with (
        stepping(way, postgres_url, postgres_schema) as steps,
        way(postgres_url, "elsewhere") as elsewhere,
    ):
        await steps.advance(None)
        steps.write_by(elsewhere)
        with pytest.raises(SchemaMismatch, match="elsewhere"):
            await steps.advance(lambda _: None)


# ---- no connection ----

_DIE = "SELECT pg_terminate_backend(pg_backend_pid())"


async def _pass_on(steps: Steps, connection: Any) -> None:
    await steps.execute(connection, _INSERT, _DIE)


async def _wrap(steps: Steps, connection: Any) -> None:
    try:
        await steps.execute(connection, _INSERT, _DIE)
    except Exception as error:
        raise RuntimeError("the account cannot be written") from error


async def _pass_over(steps: Steps, connection: Any) -> None:
    with suppress(Exception):
        await steps.execute(connection, _INSERT, _DIE)


@pytest.mark.parametrize("work", [_pass_on, _wrap, _pass_over])
async def test_a_connection_that_breaks_is_an_outage(steps: Steps, work: Fault) -> None:
    """Whatever the handler makes of it."""
    with pytest.raises(EventStoreUnavailable) as outage:
        await steps.advance(lambda connection: work(steps, connection))
    assert outage.value.transient
    assert await steps.written() == (0, 0)
    await steps.advance(lambda connection: steps.execute(connection, _INSERT))


@pytest.mark.parametrize("work", [_pass_on, _wrap])
async def test_a_connection_that_breaks_under_a_statement_of_a_slow_handler_is_an_outage(
    steps: Steps, work: Fault
) -> None:
    """Its transaction was not idle."""

    async def slow(connection: Any) -> None:
        await steps.execute(connection, "SELECT pg_sleep(0.9)")
        await work(steps, connection)

    with pytest.raises(EventStoreUnavailable) as outage:
        await steps.advance(slow, lease=0.8)
    assert outage.value.transient
    assert await steps.written() == (0, 0)


async def test_a_connection_that_breaks_before_a_session_is_flushed_is_an_outage(
    sessions: Steps,
) -> None:
    """The handler has done its part by then."""

    async def work(session: AsyncSession) -> None:
        process = await session.scalar(text("SELECT pg_backend_pid()"))
        session.add(Amount(place=5, amount=1))
        await sessions.ways.rows(f"SELECT pg_terminate_backend({process}, 5000)")

    with pytest.raises(EventStoreUnavailable):
        await sessions.advance(work)
    assert await sessions.written() == (0, 0)


@pytest.mark.parametrize("way", ADAPTERS)
async def test_a_server_that_is_not_there_is_waited_for(
    way: Way, postgres_url: str, postgres_schema: str
) -> None:
    """Whatever the driver raises."""
    nowhere = "postgresql://postgres@127.0.0.1:1/postgres"
    async with (
        stepping(way, postgres_url, postgres_schema) as steps,
        way(nowhere, postgres_schema) as out,
    ):
        there = steps.transactions
        steps.write_by(out)
        with pytest.raises(EventStoreUnavailable, match="cannot be reached") as outage:
            await steps.advance(lambda _: None)
        assert outage.value.transient

        class ThereAtLast:
            left = [steps.transactions] * 2

            async def advance(self, progress: Progress, work: Work | None = None) -> None:
                transactions = self.left.pop() if self.left else there
                await transactions.advance(progress, work)

        async with connect(steps.ways.url, schema=postgres_schema) as store:
            await deposit(store, "a", 1)
            await ProjectionWorker(
                store, steps.ways.projection, transactions=ThereAtLast(), attempts=1
            ).catch_up()
        assert (ThereAtLast.left, await steps.written()) == ([], (1, 1))


@pytest.mark.parametrize("way", SESSIONS)
async def test_a_sessions_pool_that_is_used_up_is_waited_for(
    way: Any, postgres_url: str, postgres_schema: str
) -> None:
    """Others have all of its connections."""
    options = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.1}
    async with (
        stepping(way, postgres_url, postgres_schema) as steps,
        way(postgres_url, postgres_schema, **options) as small,
    ):
        steps.write_by(small)

        async def work(_session: AsyncSession) -> None:
            await steps.advance(None)

        with pytest.raises(EventStoreUnavailable, match="cannot be reached"):
            await steps.advance(work)


async def test_a_pool_of_psycopgs_that_is_used_up_is_waited_for(
    postgres_url: str, postgres_schema: str
) -> None:
    """As one of SQLAlchemy's."""
    pool = AsyncConnectionPool(postgres_url, min_size=1, max_size=1, timeout=0.1, open=False)
    async with stepping(by_psycopg, postgres_url, postgres_schema) as steps, pool:
        steps.transactions = PsycopgTransactions(pool.connection, schema=postgres_schema)
        await pool.wait()
        await steps.advance(None)
        async with pool.connection():
            with pytest.raises(EventStoreUnavailable, match="couldn't get a connection"):
                await steps.advance(None)


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresCluster]:
    cluster = start_cluster()
    cluster.psql("CREATE ROLE guest LOGIN CONNECTION LIMIT 0")
    yield cluster
    cluster.stop()


@pytest.mark.parametrize("way", ADAPTERS)
async def test_a_server_with_too_many_connections_is_waited_for(
    way: Way, own_server: PostgresCluster, postgres_schema: str
) -> None:
    """It serves again when others have gone."""
    crowded = own_server.url().replace("postgres@", "guest@")
    async with (
        stepping(way, own_server.url(), postgres_schema) as steps,
        way(crowded, postgres_schema) as full,
    ):
        steps.write_by(full)
        with pytest.raises(EventStoreUnavailable, match="too many connections") as outage:
            await steps.advance(lambda _: None)
        assert outage.value.transient


@pytest.mark.parametrize("way", ALL)
async def test_a_worker_outlives_restarts_of_its_server(
    way: Way, own_server: PostgresCluster, postgres_schema: str
) -> None:
    """Wherever in a step they meet it; nothing is parked for them, or written twice."""
    async with stepping(way, own_server.url(), postgres_schema) as steps:
        ways = steps.ways
        async with connect(ways.url, schema=ways.schema, max_connections=5) as store:
            await deposit(store, "a", *range(500))
            worker = ProjectionWorker(
                store, ways.projection, transactions=steps.transactions, batch=1, attempts=1
            )
            running = asyncio.create_task(worker.run())
            for until in (50, 150, 250):
                while worker.handled < until and not running.done():
                    await asyncio.sleep(0.001)
                await asyncio.to_thread(own_server.restart)
            while worker.handled < 500 and not running.done():
                await asyncio.sleep(0.01)
            worker.stop()
            await running
            assert await store.backend.checkpoints.parked("paid") == []
        assert await steps.written() == (500, 500)
