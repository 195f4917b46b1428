"""Projections on PostgreSQL: the newest, and the one that Debian ships."""

from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
import pytest_asyncio
from tests.contract.projecting import ProjectionContract, RowsContract, SubscriptionContract

from hitherto import Store, connect

pytestmark = pytest.mark.integration


class OnPostgres:
    @pytest_asyncio.fixture
    async def store(self, postgres_url: str, postgres_schema: str) -> AsyncGenerator[Store]:
        async with connect(postgres_url, schema=postgres_schema, max_connections=10) as store:
            yield store


class OnDebian:
    @pytest_asyncio.fixture
    async def store(self, debian_postgres_url: str, postgres_schema: str) -> AsyncGenerator[Store]:
        options = {"schema": postgres_schema, "max_connections": 10}
        async with connect(debian_postgres_url, **options) as store:  # type: ignore[arg-type]
            yield store


class TestSubscriptions(OnPostgres, SubscriptionContract):
    pass


class TestProjections(OnPostgres, ProjectionContract):
    pass


class TestSubscriptionsOnDebian(OnDebian, SubscriptionContract):
    pass


class TestProjectionsOnDebian(OnDebian, ProjectionContract):
    pass


class TestRows(RowsContract):
    @pytest_asyncio.fixture(autouse=True)
    async def place(self, postgres_url: str, postgres_schema: str) -> None:
        """The view's table goes where the store's are."""
        self.schema = postgres_schema
        path = quote(f"-csearch_path={postgres_schema}")
        self.url = f"{postgres_url}?options={path}"

    def opened(self, **options: Any) -> Store:
        return connect(self.url, schema=self.schema, max_connections=10, **options)

    async def rows(self) -> dict[str, int]:
        connection = await asyncpg.connect(self.url)
        try:
            found: Any = await connection.fetch("SELECT place, amount FROM deposits")
            return dict(found)
        finally:
            await connection.close()
