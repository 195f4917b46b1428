"""Fixtures of the tests on PostgreSQL."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest


@pytest.fixture
async def admin(postgres_url: str) -> AsyncIterator[Any]:
    """A session of the superuser's."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()
