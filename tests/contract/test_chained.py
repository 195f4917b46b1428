"""A store whose events are in hash chains keeps the contract of any other."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.contract.emptied import empty_schema

from hitherto.application.ports import Backend
from hitherto.infrastructure.chaining import Chained
from hitherto.infrastructure.memory import MemoryStore
from hitherto.infrastructure.postgres import PostgresStore
from hitherto.infrastructure.sqlite import SqliteStore
from hitherto.testing import StoreContract
from hitherto.testing.store_contract.alongside import AlongsideContract
from hitherto.testing.store_contract.appends import AppendContract, GroupContract
from hitherto.testing.store_contract.imports import ImportContract
from hitherto.testing.store_contract.races import RaceContract
from hitherto.testing.store_contract.repeats import RepeatContract


class Unchained:
    """Left out: what appends without hashes of its own accord."""

    test_events_without_a_content_hash_have_no_hashes: Any = None
    test_an_event_without_a_hash_breaks_a_chain: Any = None


class TestInMemory(Unchained, StoreContract):
    @pytest_asyncio.fixture
    async def backend(self) -> AsyncGenerator[Backend]:
        store = Chained(MemoryStore())
        await store.open()
        yield store
        await store.close()


class Writes(
    AppendContract, GroupContract, RepeatContract, AlongsideContract, ImportContract, RaceContract
):
    """What writes events, for hashes change nothing of what reads them."""


class TestOnSqlite(Writes):
    @pytest_asyncio.fixture
    async def backend(self, tmp_path: Path) -> AsyncGenerator[Backend]:
        store = Chained(SqliteStore(str(tmp_path / "events.db"), max_readers=4))
        await store.open()
        yield store
        await store.close()


@pytest.mark.integration
class TestOnPostgres(Writes):
    @pytest_asyncio.fixture
    async def backend(self, postgres_url: str) -> AsyncGenerator[Backend]:
        async with empty_schema(postgres_url) as schema:
            store = Chained(PostgresStore(postgres_url, schema=schema, max_connections=10))
            await store.open()
            yield store
            await store.close()
