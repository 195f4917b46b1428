"""What the tests have in common: where their stores are, and a client of the application."""

import os
from collections.abc import AsyncGenerator

import pytest
from hitherto import Store
from httpx2 import ASGITransport, AsyncClient

from shop.app import create_app

# Each test has a store of its own, `hitherto_store`: a SQLite file, or a schema in PostgreSQL if
# that is where DATABASE_URL is.
_URL = os.environ.get("DATABASE_URL", "")
os.environ["HITHERTO_STORE"] = _URL if _URL.startswith("postgres") else "sqlite:"


@pytest.fixture
async def client(hitherto_store: Store) -> AsyncGenerator[AsyncClient]:
    """Asks the application, with no server in between."""
    app = create_app(hitherto_store)
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app), base_url="http://test") as client,
    ):
        yield client
