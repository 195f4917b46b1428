"""PostgreSQL keeps the contracts: the newest, and the one that Debian ships."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from tests.contract.emptied import empty_schema

from hitherto.infrastructure.postgres import PostgresStore
from hitherto.testing import CheckpointContract, RepositoryContract, StoreContract, check_store

pytestmark = pytest.mark.integration


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[PostgresStore]:
    """An empty store, in a schema of its own."""
    async with empty_schema(url) as schema:
        store = PostgresStore(url, schema=schema, max_connections=10)
        await store.open()
        yield store
        await store.close()


class OnPostgres:
    @pytest_asyncio.fixture
    async def backend(self, postgres_url: str) -> AsyncGenerator[PostgresStore]:
        async with opened(postgres_url) as store:
            yield store


class OnDebian:
    @pytest_asyncio.fixture
    async def backend(self, debian_postgres_url: str) -> AsyncGenerator[PostgresStore]:
        async with opened(debian_postgres_url) as store:
            yield store


class TestStore(OnPostgres, StoreContract):
    pass


class TestCheckpoints(OnPostgres, CheckpointContract):
    pass


class TestRepository(OnPostgres, RepositoryContract):
    pass


class TestStoreOnDebian(OnDebian, StoreContract):
    pass


class TestCheckpointsOnDebian(OnDebian, CheckpointContract):
    pass


class TestRepositoryOnDebian(OnDebian, RepositoryContract):
    pass


@pytest.mark.parametrize("server", ["postgres_url", "debian_postgres_url"])
def test_it_agrees_with_a_plain_model(server: str, request: pytest.FixtureRequest) -> None:
    """Through any history."""
    url: str = request.getfixturevalue(server)
    check_store(lambda: opened(url), max_examples=20)
