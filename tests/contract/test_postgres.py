"""PostgreSQL keeps the contract: the newest, and the oldest that Debian stable shipped."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from hitherto.infrastructure.postgres import PostgresStore
from hitherto.testing import StoreContract

pytestmark = pytest.mark.integration


class TestStore(StoreContract):
    @pytest_asyncio.fixture
    async def backend(
        self, postgres_url: str, postgres_schema: str
    ) -> AsyncIterator[PostgresStore]:
        store = PostgresStore(postgres_url, schema=postgres_schema, max_connections=10)
        await store.open()
        yield store
        await store.close()


class TestStoreOnDebian(TestStore):
    @pytest_asyncio.fixture
    async def backend(
        self, debian_postgres_url: str, postgres_schema: str
    ) -> AsyncIterator[PostgresStore]:
        store = PostgresStore(debian_postgres_url, schema=postgres_schema, max_connections=10)
        await store.open()
        yield store
        await store.close()
