# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""Rows of a table in SQLite, written back while the whole file is locked."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import apsw

from hitherto.application.adopting import Row
from hitherto.errors import InvalidInput
from hitherto.infrastructure.adopting import key_value, quoted
from hitherto.infrastructure.sqlite.column_types import bound
from hitherto.infrastructure.sqlite.reading import select

if TYPE_CHECKING:
    from hitherto.infrastructure.sqlite.adopting import SqliteTable


class SqliteSettling:
    """See `Settling`.

    Args:
        table: Whose connection has begun a transaction.
    """

    def __init__(self, table: "SqliteTable") -> None:
        self._table = table
        self._sql = table._sql
        self._is_marked = False

    async def finish(self, ids: Collection[int], refused: Mapping[int, str]) -> None:
        """See `Settling.finish`."""

        def work(connection: apsw.Connection) -> None:
            if ids:
                connection.execute(self._sql["finish"], (json.dumps(list(ids)),))
            for change in refused.items():
                connection.execute(self._sql["refuse"], change)

        await self._table._run(work)

    async def rows(self, keys: Collection[str], *, lock: bool = False) -> Mapping[str, Row]:  # noqa: ARG002
        """See `Settling.rows`."""
        return await self._table._rows(keys)

    async def waiting(self, keys: Collection[str]) -> Collection[str]:
        """See `Settling.waiting`."""

        def work(connection: apsw.Connection) -> set[str]:
            if not self._table._has_outbox(connection):
                return set()
            bindings = (json.dumps(list(keys)),)
            return {key for (key,) in select(connection, self._sql["waiting"], bindings)}

        return await self._table._run(work)

    async def insert(self, key: str, row: Row) -> None:
        """See `Settling.insert`."""
        whole = {self._table.key: key_value(self._table._kind, key), **row}
        names = [name for name in whole if name not in self._table._generated]
        columns, places = ", ".join(map(quoted, names)), ", ".join("?" for _ in names)
        text = f"INSERT INTO {quoted(self._table.name)} ({columns}) VALUES ({places})"  # noqa: S608
        await self._write(key, text, [whole[name] for name in names])

    async def update(self, key: str, row: Row) -> None:
        """See `Settling.update`."""
        names = [name for name in row if name not in self._table._generated]
        if names:
            columns = ", ".join(f"{quoted(name)} = ?" for name in names)
            text = f"UPDATE {quoted(self._table.name)} SET {columns} {self._where}"  # noqa: S608
            values = [row[name] for name in names]
            await self._write(key, text, [*values, key_value(self._table._kind, key)])

    async def delete(self, key: str) -> None:
        """See `Settling.delete`."""
        text = f"DELETE FROM {quoted(self._table.name)} {self._where}"  # noqa: S608
        await self._write(key, text, [key_value(self._table._kind, key)])

    async def end(self) -> None:
        """Take the mark back that keeps the triggers from what is written here."""
        if self._is_marked:
            await self._table._run(lambda connection: connection.execute(self._sql["adopted"]))

    @property
    def _where(self) -> str:
        return f"WHERE {quoted(self._table.key)} = ?"

    async def _write(self, key: str, text: str, values: Sequence[Any]) -> None:
        def work(connection: apsw.Connection) -> None:
            if self._is_marked or self._table._has_outbox(connection):
                connection.execute(self._sql["adopting"], (key,))
                self._is_marked = True
            try:
                connection.execute(text, [bound(value) for value in values])
            except TypeError as error:
                raise InvalidInput(
                    f"a row cannot be written to {self._table.name}: {error}"
                ) from error

        await self._table._run(work)
