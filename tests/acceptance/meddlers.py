"""Hands in the tables of each kind of store, which no trigger stops."""

from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import apsw
import asyncpg
import msgspec

from hitherto.application.chain.links import Link
from hitherto.application.ports import Backend
from hitherto.infrastructure.memory import MemoryStore
from hitherto.infrastructure.sqlite.appending import time_text

COLUMNS = {
    "position": "global_position",
    "event_id": "event_id",
    "event_type": "event_type",
    "schema_version": "schema_version",
    "aggregate_id": "aggregate_id",
    "aggregate_type": "aggregate_type",
    "version": "event_version",
    "data": "event_data",
    "metadata": "metadata",
    "occurred_at": "occurred_at",
    "stored_at": "created_at",
}

Place = tuple[str, int]
"""Aggregate id and version."""


class Refused(Exception):
    """The database does not take such a value, whoever writes it."""


class Meddler(Protocol):
    """Changes what is stored."""

    async def change(self, position: int, /, **values: Any) -> None:
        """Set fields of a stored event.

        Raises:
            Refused: A value that cannot be there.
        """
        ...

    async def rehash(self, position: int, /, **hashes: bytes | None) -> None:
        """Set hashes of a stored event; on SQLite, to None both or neither."""
        ...

    async def remove(self, position: int) -> None:
        """Remove an event and its hashes."""
        ...


class MemoryMeddler:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def change(self, position: int, /, **values: Any) -> None:
        log = self._store._log
        if any(each.position == values.get("position") for each in log):
            raise Refused
        (index,) = (index for index, each in enumerate(log) if each.position == position)
        old = log[index]
        hashes = self._store.chain._hashes.pop(position, None)
        if hashes is not None:  # as if they were columns of the event's
            self._store.chain._hashes[values.get("position", position)] = hashes
        log[index] = msgspec.structs.replace(old, **values)
        for stream in self._store._streams.values():
            stream[:] = [log[index] if each is old else each for each in stream]

    async def rehash(self, position: int, /, **hashes: bytes | None) -> None:
        stored: dict[int, Any] = self._store.chain._hashes
        content, own = stored.get(position, (None, None))
        stored[position] = hashes.get("content_hash", content), hashes.get("event_hash", own)

    async def remove(self, position: int) -> None:
        kept = [each for each in self._store._log if each.position != position]
        self._store._log[:] = kept
        for stream in self._store._streams.values():
            stream[:] = [each for each in stream if each.position != position]
        self._store.chain._hashes.pop(position, None)


class SqliteMeddler:
    def __init__(self, path: Path) -> None:
        self._path = path

    async def change(self, position: int, /, **values: Any) -> None:
        assignments = ", ".join(f"{COLUMNS[name]} = ?" for name in values)
        self._run(
            f"UPDATE event_store SET {assignments} WHERE global_position = ?",
            (*map(_sqlite, values.values()), position),
        )

    async def rehash(self, position: int, /, **hashes: bytes | None) -> None:
        if None in hashes.values():
            self._run("DELETE FROM event_hashes WHERE global_position = ?", (position,))
            return
        assignments = ", ".join(f"{name} = ?" for name in hashes)
        self._run(
            f"UPDATE event_hashes SET {assignments} WHERE global_position = ?",
            (*hashes.values(), position),
        )

    async def remove(self, position: int) -> None:
        self._run("DELETE FROM event_hashes WHERE global_position = ?", (position,))
        self._run("DELETE FROM event_store WHERE global_position = ?", (position,))

    async def set_bytes(self, position: int, column: str, value: bytes) -> None:
        """Set a column of text to any bytes."""
        self._run(
            f"UPDATE event_store SET {column} = CAST(? AS TEXT) WHERE global_position = ?",
            (value, position),
        )

    def _run(self, sql: str, bindings: tuple[Any, ...]) -> None:
        connection = apsw.Connection(str(self._path))
        try:
            connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
            connection.execute(sql, bindings)
            assert connection.changes() == 1
        except apsw.ConstraintError as error:
            raise Refused from error
        finally:
            connection.close()


class PostgresMeddler:
    def __init__(self, url: str, schema: str) -> None:
        self._url = url
        self._schema = schema

    async def change(self, position: int, /, **values: Any) -> None:
        assignments = ", ".join(
            f"{COLUMNS[name]} = ${number}" for number, name in enumerate(values, 2)
        )
        await self._run(f"UPDATE event_store SET {assignments}", position, *values.values())

    async def rehash(self, position: int, /, **hashes: bytes | None) -> None:
        assignments = ", ".join(f"{name} = ${number}" for number, name in enumerate(hashes, 2))
        await self._run(f"UPDATE event_store SET {assignments}", position, *hashes.values())

    async def remove(self, position: int) -> None:
        await self._run("DELETE FROM event_store", position)

    async def _run(self, sql: str, *arguments: Any) -> None:
        connection = await asyncpg.connect(self._url)
        try:
            await connection.execute("SELECT set_config('search_path', $1, false)", self._schema)
            await connection.execute("SET session_replication_role = replica")
            await connection.execute(
                "ALTER TABLE event_store ALTER global_position SET GENERATED BY DEFAULT"
            )
            try:
                done = await connection.execute(f"{sql} WHERE global_position = $1", *arguments)
            except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
                raise Refused from error
            await connection.execute(
                "ALTER TABLE event_store ALTER global_position SET GENERATED ALWAYS"
            )
            assert done.endswith(" 1")
        finally:
            await connection.close()


async def link_of(backend: Backend, place: Place) -> Link:
    """A stored event, with its hashes."""
    aggregate_id, version = place
    (link, *_) = await backend.chain.links(after=(aggregate_id, version - 1), limit=1)
    assert (link.event.aggregate_id, link.event.version) == place
    return link


def _sqlite(value: Any) -> Any:
    if isinstance(value, datetime):
        return time_text(value)
    return str(value) if isinstance(value, UUID) else value
