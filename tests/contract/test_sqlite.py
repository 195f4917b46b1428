"""The SQLite store keeps the contracts."""

import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest_asyncio

from hitherto.infrastructure.sqlite import SqliteStore
from hitherto.testing import CheckpointContract, RepositoryContract, StoreContract, check_store


@asynccontextmanager
async def opened(folder: Path) -> AsyncGenerator[SqliteStore]:
    """An empty store."""
    store = SqliteStore(str(folder / "events.db"), max_readers=4)
    await store.open()
    yield store
    await store.close()


@asynccontextmanager
async def opened_somewhere() -> AsyncGenerator[SqliteStore]:
    """An empty store in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder)) as store:
            yield store


class OnSqlite:
    @pytest_asyncio.fixture
    async def backend(self, tmp_path: Path) -> AsyncGenerator[SqliteStore]:
        async with opened(tmp_path) as store:
            yield store


class TestStore(OnSqlite, StoreContract):
    pass


class TestCheckpoints(OnSqlite, CheckpointContract):
    pass


class TestRepository(OnSqlite, RepositoryContract):
    pass


def test_it_agrees_with_a_plain_model() -> None:
    """Through any history."""
    check_store(opened_somewhere, max_examples=40)
