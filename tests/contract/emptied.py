"""PostgreSQL schemas that are used again, for to make one takes longer than most tests."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from tests.servers import new_schema

from hitherto.infrastructure.postgres import PostgresStore

_free: dict[str, list[str]] = {}
_own: set[str] = set()  # the tables of a store

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = $1"
_SEQUENCES = "SELECT sequencename FROM pg_sequences WHERE schemaname = $1"


@asynccontextmanager
async def empty_schema(url: str) -> AsyncGenerator[str]:
    """The name of one with the tables of a store, and nothing in them; no two tests share it."""
    free = _free.setdefault(url, [])
    connection: Any = await asyncpg.connect(url)
    try:
        name = free.pop() if free else await _made(url, connection)
        yield name
        await _empty(connection, name)
        free.append(name)
    finally:
        await connection.close()


async def _made(url: str, connection: Any) -> str:
    name = new_schema()
    store = PostgresStore(url, schema=name)
    await store.open()
    await store.close()
    _own.update(table for (table,) in await connection.fetch(_TABLES, name))
    return name


async def _empty(connection: Any, name: str) -> None:
    """Delete all rows, past the guards, and tables that the test has made."""
    tables = [table for (table,) in await connection.fetch(_TABLES, name)]
    sequences = [each for (each,) in await connection.fetch(_SEQUENCES, name)]
    await connection.execute(
        "; ".join(
            [
                "SET session_replication_role = replica",
                *[
                    f'DELETE FROM {name}."{table}"'
                    if table in _own
                    else f'DROP TABLE {name}."{table}" CASCADE'
                    for table in tables
                    if table != "hitherto_migrations"
                ],
                *[f'ALTER SEQUENCE {name}."{each}" RESTART' for each in sequences],
            ]
        )
    )
