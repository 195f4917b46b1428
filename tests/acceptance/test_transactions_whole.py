"""What a store does besides, it does in a transaction of the caller's too, or refuses to."""

import asyncio
import contextvars
from collections.abc import AsyncGenerator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from tests.acceptance.callers import (
    by_async_session,
    by_asyncpg,
    by_django,
    by_psycopg,
    by_psycopg_async,
    by_session,
    connected,
    settled,
)
from tests.acceptance.test_transactions import deposit, opened
from tests.contract.forgetting import ADA, Person, PersonJoined
from tests.contract.projecting import Account, Deposited
from tests.servers import new_schema

import hitherto.sync
from hitherto import (
    AggregateTombstoned,
    CommandBus,
    ConfigurationError,
    Context,
    HandlerFailed,
    Projection,
    Repository,
    connect,
    on,
)
from hitherto.application.archiving import tombstone
from hitherto.application.verifying import verify

pytestmark = pytest.mark.integration

_SCHEMA = new_schema()
_WHOLE: list[Any] = [by_asyncpg, by_psycopg_async, by_psycopg, by_django]


@pytest_asyncio.fixture
async def admin(postgres_url: str) -> AsyncGenerator[Any]:
    """Somebody who looks from outside."""
    async with connected(postgres_url) as connection:
        yield connection


@pytest.fixture
def id() -> str:  # noqa: A001
    """An aggregate's."""
    return uuid4().hex


@pytest.mark.parametrize("way", _WHOLE)
async def test_personal_fields_are_sealed_and_the_chain_goes_on(
    way: Any, postgres_url: str, postgres_schema: str, admin: Any, id: str
) -> None:
    """Of a long append too; in the transaction they are told open."""
    async with way(postgres_url, postgres_schema, hash_chain=True) as caller:
        people = caller.repository(Person)
        first = Person(id)
        first.record(PersonJoined(name=ADA))
        await settled(people.save(first))
        async with caller.transaction() as handed:
            within = people.within(handed)
            person = await settled(within.load(id))
            for number in range(120):
                person.record(PersonJoined(name=f"{ADA} {number}"))
            await settled(within.save(person))
            assert (await settled(within.load(id))).name == f"{ADA} 119"
            assert (await settled(within.history(id)))[-1].event.name == f"{ADA} 119"
        assert (await settled(people.load(id))).name == f"{ADA} 119"
    rows = await admin.fetch(
        f"SELECT event_data::text, content_hash FROM {postgres_schema}.event_store"
    )
    assert len(rows) == 121
    assert not any(ADA in row[0] for row in rows)
    async with connect(postgres_url, schema=postgres_schema, hash_chain=True) as store:
        report = await verify(store, [Person])
        assert not report.findings, report.findings
        assert (await Repository(store, Person).load(id)).name == f"{ADA} 119"
    chained = await admin.fetchval(f"SELECT count(event_hash) FROM {postgres_schema}.event_store")
    assert chained == 121


async def test_a_key_is_there_at_once_so_that_nobody_waits_for_the_commit(
    postgres_url: str, id: str
) -> None:
    """Of a person who is new to all."""
    async with by_asyncpg(postgres_url, _SCHEMA) as caller, caller.transaction() as handed:
        people = caller.repository(Person)
        for number, there in enumerate((people.within(handed), people)):
            person = Person(f"{id}-{number}")
            person.record(PersonJoined(name=ADA))
            async with asyncio.timeout(5):
                await there.save(person)


class Noted(Projection[Any], name="noted"):
    """Writes a row for each deposit."""

    schema = ""
    fails = False

    async def setup(self, connection: Any, batch: Any) -> None:
        await connection.execute(f"CREATE TABLE {self.schema}.noted (account text, amount int)")

    @on
    async def deposited(self, event: Deposited, context: Context[Any]) -> None:
        query = f"INSERT INTO {self.schema}.noted VALUES ($1, $2)"
        await context.connection.execute(query, context.recorded.aggregate_id, event.amount)
        if self.fails:
            raise RuntimeError("after the row was written")


def _noted(schema: str) -> Noted:
    projection = Noted()
    projection.schema = schema
    return projection


@pytest.mark.parametrize("way", [by_asyncpg, by_async_session])
async def test_inline_projections_run_in_the_transaction(
    way: Any, postgres_url: str, postgres_schema: str, admin: Any, id: str
) -> None:
    """Their rows are there with the events, or gone with them, whoever has failed."""
    inline = _noted(postgres_schema)
    async with way(postgres_url, postgres_schema, inline=[inline]) as caller:
        accounts = caller.repository(Account)
        async with caller.transaction() as handed:
            await accounts.within(handed).save(opened(id, 1, 2))
            inline.fails = True
            with pytest.raises(HandlerFailed, match="after the row"):
                await accounts.within(handed).update(id, deposit(4))
            inline.fails = False
            await accounts.within(handed).update(id, deposit(8))
        with pytest.raises(ZeroDivisionError):
            async with caller.transaction() as handed:
                await accounts.within(handed).update(id, deposit(16))
                raise ZeroDivisionError
        rows = await admin.fetch(f"SELECT amount FROM {postgres_schema}.noted ORDER BY amount")
        assert [row[0] for row in rows] == [1, 2, 8]
        assert (await accounts.load(id)).balance == 11


@pytest.mark.parametrize("way", [by_psycopg_async, by_psycopg])
async def test_inline_projections_are_never_left_out(
    way: Any, postgres_url: str, postgres_schema: str, id: str
) -> None:
    """They write through asyncpg, so another driver's connection is refused."""
    async with way(postgres_url, postgres_schema, inline=[_noted(postgres_schema)]) as caller:
        accounts = caller.repository(Account)
        async with caller.transaction() as handed:
            with pytest.raises(ConfigurationError, match=r"inline projections.*asyncpg"):
                await settled(accounts.within(handed).save(opened(id, 1)))
        assert not await settled(accounts.exists(id))


async def test_a_commands_id_is_kept_with_the_events_or_not_at_all(
    postgres_url: str, id: str
) -> None:
    """So a command that is sent again is done if its transaction was rolled back, and only then."""
    async with by_asyncpg(postgres_url, _SCHEMA) as caller:
        accounts = caller.repository(Account)
        await accounts.save(opened(id))
        inside, after = [ZeroDivisionError], [TimeoutError]

        async def pay(amount: int) -> None:
            async with caller.transaction() as handed:
                await accounts.within(handed).update(id, deposit(amount))
                if inside:
                    raise inside.pop()
            raise after.pop()

        bus = CommandBus(caller.store)
        bus.register(int, pay)
        for error in (ZeroDivisionError, TimeoutError):
            with pytest.raises(error):
                await bus.send(5, id=f"{id}-command")
        await bus.send(5, id=f"{id}-command")
        assert (await accounts.load(id)).balance == 5


@pytest.mark.parametrize("rival", [False, True])
async def test_a_command_that_begins_anew_after_a_rollback_keeps_its_id(
    postgres_url: str, id: str, rival: bool
) -> None:
    """With the first that it saves then, unless a rival has been faster."""
    async with by_asyncpg(postgres_url, _SCHEMA) as caller:
        accounts = caller.repository(Account)
        await accounts.save(opened(id))
        bus = CommandBus(caller.store)

        async def attempt(amount: int) -> None:
            async with caller.transaction() as handed:
                for _ in range(2):
                    await accounts.within(handed).update(id, deposit(amount))
                if amount == 5:
                    raise ZeroDivisionError

        async def pay(amount: int) -> None:
            try:
                await attempt(amount)
            except ZeroDivisionError:
                if rival:
                    sent = asyncio.create_task(bus.send(1, id=id), context=contextvars.Context())
                    await sent
                await attempt(10)

        bus.register(int, pay)
        await bus.send(5, id=id)
        await bus.send(7, id=id)
        assert (await accounts.load(id)).balance == (2 if rival else 20)


def test_without_await_a_command_that_begins_anew_keeps_its_id(postgres_url: str, id: str) -> None:
    """It is carried out in the thread that has the transaction."""
    with hitherto.sync.connect(postgres_url, schema=_SCHEMA) as store:
        accounts = hitherto.sync.Repository(store, Account)
        accounts.save(opened(id))
        bus = hitherto.sync.CommandBus(store)

        def pay(amount: int) -> None:
            for rolls_back in (True, False):
                with psycopg.connect(postgres_url) as connection:
                    for _ in range(2):
                        accounts.within(connection).update(id, deposit(amount))
                    if rolls_back:
                        connection.rollback()

        bus.register(int, pay)
        for _ in range(2):
            bus.send(5, id=id)
        assert accounts.load(id).balance == 10


@pytest.mark.parametrize("way", [by_asyncpg, by_session])
async def test_a_snapshot_that_fails_fails_no_save_and_no_transaction(
    way: Any, postgres_url: str, postgres_schema: str, admin: Any, id: str
) -> None:
    """The server has refused it by then."""
    async with way(postgres_url, postgres_schema) as caller:
        accounts = caller.repository(Account, snapshot_every=1)
        await admin.execute(
            f"ALTER TABLE {postgres_schema}.aggregate_snapshots ADD CHECK (version > 100)"
        )
        async with caller.transaction() as handed:
            await settled(accounts.within(handed).save(opened(id, 1)))
            await settled(accounts.within(handed).update(id, deposit(2)))
        assert (await settled(accounts.load(id))).balance == 3


@pytest.mark.parametrize("way", [by_asyncpg, by_psycopg_async])
async def test_an_aggregate_that_was_closed_for_good_takes_nothing(
    way: Any, postgres_url: str, id: str
) -> None:
    """And the transaction goes on."""
    async with way(postgres_url, _SCHEMA) as caller:
        accounts = caller.repository(Account)
        await accounts.save(opened(id))
        await tombstone(accounts, id, reason="moved", closed_by="me")
        async with caller.transaction() as handed:
            with pytest.raises(AggregateTombstoned):
                await accounts.within(handed).update(id, deposit(1))
            await accounts.within(handed).save(opened(f"{id}-b"))
        assert await accounts.exists(f"{id}-b")


_SESSIONS: dict[Any, tuple[str, Any, Any]] = {
    by_async_session: ("asyncpg", create_async_engine, AsyncSession),
    by_session: ("psycopg", sqlalchemy.create_engine, Session),
}


@pytest.mark.parametrize("way", [by_async_session, by_session])
async def test_a_session_that_goes_on_with_another_transaction_takes_what_is_within_it_along(
    way: Any, postgres_url: str, id: str
) -> None:
    """Also with another connection, for the one before may be somebody else's by then."""
    async with way(postgres_url, _SCHEMA) as caller:
        accounts = caller.repository(Account)
        driver, make, new = _SESSIONS[way]
        engine: Any = make(postgres_url.replace("postgresql://", f"postgresql+{driver}://"))
        session: Any = new(engine)
        within = accounts.within(session)
        try:
            await settled(within.save(opened(id, 1)))
            await settled(session.commit())
            await settled(within.update(id, deposit(2)))
            await settled(session.commit())
            other = await settled(engine.connect())  # It takes the connection that is free now.
            await settled(within.update(id, deposit(8)))
            await settled(other.close())
            await settled(session.commit())
            await settled(within.update(id, deposit(4)))
            await settled(session.rollback())
            assert (await settled(accounts.load(id))).balance == 11
        finally:
            await settled(session.close())
            await settled(engine.dispose())
