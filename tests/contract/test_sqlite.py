"""The SQLite store keeps the contracts."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest_asyncio

from hitherto.infrastructure.sqlite import SqliteStore
from hitherto.testing import RepositoryContract, StoreContract


class Sqlite:
    @pytest_asyncio.fixture
    async def backend(self, tmp_path: Path) -> AsyncGenerator[SqliteStore]:
        store = SqliteStore(str(tmp_path / "events.db"), max_readers=4)
        await store.open()
        yield store
        await store.close()


class TestStore(Sqlite, StoreContract):
    pass


class TestRepository(Sqlite, RepositoryContract):
    pass
