"""Projections on the store in memory."""

from collections.abc import AsyncGenerator

import pytest_asyncio
from tests.contract.projecting import ProjectionContract, SubscriptionContract

from hitherto import Store, connect


class OnMemory:
    @pytest_asyncio.fixture
    async def store(self) -> AsyncGenerator[Store]:
        async with connect("memory:") as store:
            yield store


class TestSubscriptions(OnMemory, SubscriptionContract):
    pass


class TestProjections(OnMemory, ProjectionContract):
    pass
