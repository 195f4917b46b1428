"""What has no transaction that would do is refused, with what to do instead."""

import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import asyncpg
import psycopg
import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from tests.acceptance.callers import (
    by_asyncpg,
    by_django,
    by_psycopg,
    connected,
    django_alias,
    settled,
)
from tests.acceptance.postgres_stores import with_database
from tests.acceptance.test_transactions import deposit, opened
from tests.acceptance.test_transactions_whole import Noted
from tests.contract.projecting import Account, Opened
from tests.servers import new_schema

import hitherto.sync
from hitherto import ConfigurationError, EventStoreUnavailable, Repository, connect

pytestmark = pytest.mark.integration

_SCHEMA = new_schema()


@pytest_asyncio.fixture
async def admin(postgres_url: str) -> AsyncGenerator[Any]:
    """Somebody who looks from outside."""
    async with connected(postgres_url) as connection:
        yield connection


@pytest.fixture
def id() -> str:  # noqa: A001
    """An aggregate's."""
    return uuid4().hex


async def test_a_transaction_that_django_will_roll_back_is_refused(
    postgres_url: str, id: str
) -> None:
    """As it refuses statements of the caller's then."""
    from django.db.transaction import atomic

    async with by_django(postgres_url, _SCHEMA) as caller:
        accounts = caller.repository(Account)
        async with caller.transaction() as handed:
            within = accounts.within(handed)
            within.save(opened(id))
            with suppress(ZeroDivisionError), atomic(handed.alias, savepoint=False):
                raise ZeroDivisionError
            with pytest.raises(ConfigurationError, match="current transaction"):
                within.update(id, deposit(1))
        assert not accounts.exists(id)


async def test_another_database_another_schema_and_another_store_are_refused(
    postgres_url: str, postgres_schema: str, admin: Any, id: str
) -> None:
    """Tables of the same name, made elsewhere, are not the store's."""
    await admin.execute(f"CREATE DATABASE {postgres_schema}_other")
    url = with_database(postgres_url, f"{postgres_schema}_other")
    async with connect(postgres_url, schema=_SCHEMA) as store, connected(url) as elsewhere:
        accounts = Repository(store, Account)
        async with elsewhere.transaction():
            with pytest.raises(ConfigurationError, match="sees none of the store's tables"):
                await accounts.within(elsewhere).save(opened(id))
        async with connect(url, schema=_SCHEMA), elsewhere.transaction():
            with pytest.raises(ConfigurationError, match="same database"):
                await accounts.within(elsewhere).save(opened(id))
            with pytest.raises(ConfigurationError, match="same database"):
                await accounts.within(elsewhere).load(id)
            assert not await elsewhere.fetchval(f"SELECT count(*) FROM {_SCHEMA}.event_store")
    await admin.execute(f"DROP DATABASE {postgres_schema}_other")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_connection_that_cannot_tell_all_texts_is_refused(
    postgres_url: str, id: str, encoding: str
) -> None:
    """As soon as one comes that it cannot tell; the transaction goes on."""
    with (
        hitherto.sync.connect(postgres_url, schema=_SCHEMA) as store,
        psycopg.connect(postgres_url, client_encoding=encoding) as connection,
    ):
        accounts = hitherto.sync.Repository(store, Account)
        account = Account(id)
        account.record(Opened(owner="\N{EURO SIGN}"))
        with pytest.raises(ConfigurationError, match="client_encoding"):
            accounts.within(connection).save(account)
        connection.execute("SELECT")
        assert not accounts.exists(id)


async def test_what_is_no_transaction_is_refused_at_once(postgres_url: str) -> None:
    """With what to give instead."""
    from django.db import connections

    engine = create_async_engine(postgres_url.replace("postgresql://", "postgresql+asyncpg://"))
    async with connect(postgres_url, schema=_SCHEMA) as store:
        accounts = Repository(store, Account)
        pool = asyncpg.create_pool(postgres_url)
        for wrong in (None, "session", engine, pool, object(), AsyncSession):
            with pytest.raises(ConfigurationError, match="asyncpg"):
                accounts.within(wrong)
        with psycopg.connect(postgres_url) as connection, Session() as session:
            django = connections[django_alias(postgres_url)]
            for blocking in (connection, session, django):
                with pytest.raises(ConfigurationError, match=r"hitherto\.sync"):
                    accounts.within(blocking)
    with hitherto.sync.connect(postgres_url, schema=_SCHEMA) as other:
        async with connected(postgres_url) as connection:
            for waiting in (connection, engine.connect(), AsyncSession(engine)):
                with pytest.raises(ConfigurationError, match="an async one belongs to `hitherto`"):
                    other.within(waiting)
    await engine.dispose()


@pytest.mark.parametrize("url", ["memory:", "sqlite:///store.db"])
async def test_other_stores_refuse_and_tell_what_to_do(
    url: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have no transactions of others."""
    monkeypatch.chdir(tmp_path)
    async with connect(url) as store:
        with pytest.raises(ConfigurationError, match="PostgreSQL"):
            store.within(object())
    with (
        hitherto.sync.connect(url) as blocking,
        pytest.raises(ConfigurationError, match="PostgreSQL"),
    ):
        blocking.within(object())


async def test_a_store_that_is_not_open_says_so(postgres_url: str) -> None:
    """It must know its tables."""
    store = connect(postgres_url, schema=_SCHEMA)
    async with connected(postgres_url) as connection:
        with pytest.raises(EventStoreUnavailable, match="open it first"):
            store.within(connection)


@pytest.mark.parametrize("way", [by_asyncpg, by_psycopg])
async def test_what_is_not_the_transactions_is_the_stores(way: Any, postgres_url: str) -> None:
    """The log is told as committed, so it is asked for there."""
    async with way(postgres_url, _SCHEMA) as caller, caller.transaction() as handed:
        within = caller.store.within(handed)
        for call in (within.watermark, within.open, within.health_check):
            with pytest.raises(ConfigurationError, match="ask the store itself"):
                await settled(call())
        with pytest.raises(ConfigurationError, match="ask the store itself"):
            await settled(within.documents(Noted).get("x"))


async def test_of_the_drivers_only_that_which_is_handed_over_is_imported() -> None:
    """Nobody needs them otherwise."""
    script = """
import sys, hitherto, hitherto.sync, hitherto.infrastructure.postgres
import hitherto.infrastructure.postgres.within
print([name for name in ("sqlalchemy", "psycopg", "django") if name in sys.modules])
"""
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert found.stdout.strip() == "[]", found.stderr
