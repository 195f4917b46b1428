"""The memory store keeps the contracts."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest_asyncio

from hitherto.infrastructure.memory import MemoryStore
from hitherto.infrastructure.resilience import Resilient
from hitherto.testing import CheckpointContract, RepositoryContract, StoreContract, check_store


@asynccontextmanager
async def opened() -> AsyncGenerator[MemoryStore]:
    """An empty store."""
    store = MemoryStore()
    await store.open()
    yield store
    await store.close()


class OnMemory:
    @pytest_asyncio.fixture
    async def backend(self) -> AsyncGenerator[MemoryStore]:
        async with opened() as store:
            yield store


class TestStore(OnMemory, StoreContract):
    pass


class TestCheckpoints(OnMemory, CheckpointContract):
    pass


class TestRepository(OnMemory, RepositoryContract):
    pass


class TestResilientStore(StoreContract):
    """What `connect` puts around every backend changes nothing of it."""

    @pytest_asyncio.fixture
    async def backend(self) -> AsyncGenerator[Resilient]:
        async with opened() as store:
            yield Resilient(store)


def test_it_agrees_with_a_plain_model() -> None:
    """Through any history."""
    check_store(opened, max_examples=50)
