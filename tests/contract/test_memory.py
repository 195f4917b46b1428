"""The memory store keeps the contracts."""

from collections.abc import AsyncGenerator

import pytest_asyncio

from hitherto.infrastructure.memory import MemoryStore
from hitherto.testing import RepositoryContract, StoreContract


class Memory:
    @pytest_asyncio.fixture
    async def backend(self) -> AsyncGenerator[MemoryStore]:
        store = MemoryStore()
        await store.open()
        yield store
        await store.close()


class TestStore(Memory, StoreContract):
    pass


class TestRepository(Memory, RepositoryContract):
    pass
