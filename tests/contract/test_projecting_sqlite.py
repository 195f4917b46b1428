"""Projections on SQLite."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import apsw
import pytest
import pytest_asyncio
from tests.contract.projecting import ProjectionContract, RowsContract, SubscriptionContract

from hitherto import Store, connect


class OnSqlite:
    @pytest_asyncio.fixture
    async def store(self, tmp_path: Path) -> AsyncGenerator[Store]:
        async with connect(f"sqlite:///{tmp_path}/store.db") as store:
            yield store


class TestSubscriptions(OnSqlite, SubscriptionContract):
    pass


class TestProjections(OnSqlite, ProjectionContract):
    pass


class TestRows(RowsContract):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "store.db"

    def opened(self, **options: Any) -> Store:
        return connect(f"sqlite:///{self.path}", **options)

    async def rows(self) -> dict[str, int]:
        connection = apsw.Connection(str(self.path))
        try:
            found: Any = connection.execute("SELECT place, amount FROM deposits")
            return dict(found)
        finally:
            connection.close()
