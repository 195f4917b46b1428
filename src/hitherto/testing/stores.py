"""Stores for tests: new and empty each time, and gone without a trace."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from hitherto import sync
from hitherto.application.store import Store
from hitherto.connect import connect
from hitherto.testing.handlers_connection import LOCK_TIMEOUT, blocking


@asynccontextmanager
async def new_store(url: str, directory: Path, **settings: Any) -> AsyncGenerator[Store]:
    """An open store that nobody else has.

    Args:
        url: ``memory:``, ``sqlite:`` or a PostgreSQL database's, where it has a schema of its own.
        directory: Where SQLite's file is.
        settings: As for `connect`.
    """
    place = _place(url, directory)
    store = connect(**place, **settings)
    try:
        async with store:
            yield store
    finally:
        await _remove(place)


@contextmanager
def new_sync_store(url: str, directory: Path, **settings: Any) -> Generator[sync.Store]:
    """The same without await."""
    place = _place(url, directory)
    store = sync.connect(**place, **settings)
    try:
        with store:
            yield store
    finally:
        blocking(lambda: _remove(place))


def _place(url: str, directory: Path) -> dict[str, Any]:
    if url.startswith("sqlite:"):
        return {"url": f"sqlite:///{directory}/hitherto-{uuid4().hex}.db"}
    if url == "memory:":
        return {"url": url}
    return {"url": url, "schema": f"hitherto_test_{uuid4().hex}"}


async def _remove(place: dict[str, Any]) -> None:
    if "schema" not in place:
        return
    import asyncpg  # noqa: PLC0415  # it is there, or the store would not be

    try:
        connection = await asyncpg.connect(place["url"])
    except (
        OSError,
        asyncpg.InvalidAuthorizationSpecificationError,
        asyncpg.InvalidCatalogNameError,
    ):
        return  # The store has told why, better than this would.
    try:
        await connection.execute(
            f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}';"
            f"DROP SCHEMA IF EXISTS {place['schema']} CASCADE"
        )
    finally:
        await connection.close()
