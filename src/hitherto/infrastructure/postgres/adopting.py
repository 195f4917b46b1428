"""Tables of before in PostgreSQL: read page by page, captured by a trigger, written back."""

import json
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from hitherto.application.adopting import Change, Row
from hitherto.application.adopting.ports import PlacedRow, Refused, Settling
from hitherto.errors import ConfigurationError, EventStoreError, InvalidInput
from hitherto.infrastructure.adopting import (
    check_key,
    filled,
    key_value,
    key_values,
    not_taken_over,
    not_unique,
    quoted,
)
from hitherto.infrastructure.postgres.connections import Connections
from hitherto.infrastructure.postgres.errors import told
from hitherto.infrastructure.postgres.outbox_rows import as_json, read_as
from hitherto.infrastructure.sql import named_queries

_KINDS = {
    "smallint": "integer",
    "integer": "integer",
    "bigint": "integer",
    "uuid": "uuid",
    "text": "text",
    "character varying": "text",
}
_JSON = {"json", "jsonb"}
_TABLES = {"r", "p"}  # ordinary and partitioned ones
_DDL = "SET LOCAL lock_timeout = '10s'"
_LACKING = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
)


class _Connections(Connections):
    """What is lacking is not the store's, and is told otherwise."""

    @asynccontextmanager
    async def session(self, *, bare: bool = False) -> AsyncGenerator[Any]:
        async with super().session(bare=bare) as connection:
            try:
                yield connection
            except _LACKING as error:
                raise ConfigurationError(
                    f"{self.where}: {told(error)}: rows are taken over by a role that may read "
                    "them, changes by one that owns the table, after --capture install; if it was "
                    "altered, start again"
                ) from error


class PostgresTable:
    """See `LegacyTable`.

    Args:
        url: Of its database.
        table: Its name, perhaps with the schema's before a dot.
        key: The column that tells rows apart.
    """

    def __init__(self, url: str, table: str, key: str) -> None:
        self.name: str = table
        self.key = key
        self.columns: Sequence[str] = ()
        self._asked_for = table
        self._connections = _Connections(url, limit=4, timeout=10.0)
        self._types: dict[str, str] = {}
        self._generated: set[str] = set()
        self._told: list[str] = []
        self._as_text: set[str] = set()
        self._oid = 0
        self._kind = ""
        self._sql: Mapping[str, str] = {}
        self._sql_of_first_page: Mapping[str, str] = {}

    async def open(self) -> None:
        """See `LegacyTable.open`."""
        await self._connections.open(self._look)

    async def close(self) -> None:
        """See `LegacyTable.close`."""
        await self._connections.close()

    async def count(self) -> int:
        """See `LegacyTable.count`."""
        async with self._connections.session() as connection:
            return int(await connection.fetchval(self._sql["count"]))

    async def page(self, after: str | None, limit: int) -> Sequence[PlacedRow]:
        """See `LegacyTable.page`."""
        sql, bindings = self._sql_of_first_page, [limit]
        if after is not None:
            sql = self._sql
            bindings.append(key_value(self._kind, after))
        async with self._connections.session() as connection:
            query = "page" if await self._has_outbox(connection) else "page_alone"
            found = await self._fetch(connection, sql[query], *bindings)
        rows = [(self._row(each), each[-1]) for each in found]
        return [
            PlacedRow(key=str(row[self.key]), row=row, contained=contained)
            for row, contained in rows
        ]

    async def rows(self, keys: Collection[str]) -> Mapping[str, Row]:
        """See `LegacyTable.rows`."""
        async with self._connections.session() as connection:
            return await self._rows(connection, "rows", keys)

    async def install(self) -> None:
        """See `LegacyTable.install`."""
        async with self._connections.transaction() as connection:
            await connection.execute(_DDL)
            if await connection.fetchval(self._sql["is_inherited"], self._oid):
                raise ConfigurationError(
                    f"other tables inherit from {self.name}, and no trigger of it tells what is "
                    "written to these: changes of it cannot be captured"
                )
            await connection.execute(self._sql["install"])

    async def remove(self, *, force: bool = False) -> None:
        """See `LegacyTable.remove`."""
        async with self._connections.transaction() as connection:
            await connection.execute(_DDL)
            await connection.execute(f"LOCK TABLE {self._quoted} IN SHARE ROW EXCLUSIVE MODE")
            if await self._has_outbox(connection):
                count = await connection.fetchval(f"SELECT count(*) FROM {self._outbox}")  # noqa: S608
                if count and not force:
                    raise not_taken_over(self.name, count)
            await connection.execute(self._sql["remove"])

    async def is_captured(self) -> bool:
        """See `LegacyTable.is_captured`."""
        async with self._connections.session() as connection:
            return bool(await connection.fetchval(self._sql["is_captured"], self._oid))

    async def changes(self, limit: int) -> Sequence[Change]:
        """See `LegacyTable.changes`."""
        async with self._connections.session() as connection:
            found = await self._fetch(connection, self._sql["changes"], limit)
        first, second = 5, 5 + len(self.columns)
        return [
            Change(
                id=each[0],
                change_id=each[1],
                key=each[2],
                before=self._row(each, first) if each[3] else None,
                after=self._row(each, second) if each[4] else None,
            )
            for each in found
        ]

    async def refused(self, limit: int) -> tuple[int, Sequence[Refused]]:
        """See `LegacyTable.refused`."""
        async with self._connections.session() as connection:
            found = await connection.fetch(self._sql["refused"], limit)
        count = found[0][2] if found else 0
        return count, [Refused(key=key, reason=error) for key, error, _ in found]

    async def retry(self) -> None:
        """See `LegacyTable.retry`."""
        async with self._connections.session() as connection:
            await connection.execute(self._sql["retry"])

    @asynccontextmanager
    async def settling(self) -> AsyncGenerator[Settling]:
        """See `LegacyTable.settling`."""
        async with self._connections.transaction() as connection:
            await connection.fetch(self._sql["settle"])
            await connection.fetch(self._sql["settle_alone"], self._oid)
            yield _Settling(self, connection)

    async def _has_outbox(self, connection: Any) -> bool:
        return bool(await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", self._outbox))

    async def _look(self, connection: Any) -> None:
        sql = named_queries("hitherto.infrastructure.postgres", "adopting.sql")
        name = ".".join(map(quoted, self._asked_for.split(".", 1)))
        found = await connection.fetchrow(sql["table"], name)
        if found is None or found["relkind"] not in _TABLES:
            raise ConfigurationError(
                f"{self._connections.where} has no table {self._asked_for!r}: give its name as it "
                "is stored, with its schema's before a dot where that is not in the search path"
            )
        self._oid = found["oid"]
        self.name = f"{found['nspname']}.{found['relname']}"
        columns = await connection.fetch(sql["columns"], self._oid)
        self._types = {each["attname"]: each["type"] for each in columns}
        self._generated = {each["attname"] for each in columns if each["generated"]}
        self.columns = tuple(self._types)
        kind = _KINDS.get(self._types.get(self.key, ""))
        check_key(self.name, self.key, self._types, kind)
        self._kind = kind or ""
        if not await connection.fetchval(sql["is_unique"], self._oid, self.key):
            raise not_unique(self.name, self.key)
        self._told = [read_as(each["attname"], each["computed"]) for each in columns]
        self._as_text = {each["attname"] for each in columns if each["has_json"]}
        self._name_all(found["nspname"], found["relname"], sql)

    def _name_all(self, schema: str, table: str, sql: Mapping[str, str]) -> None:
        def named(name: str) -> str:
            return f"{quoted(schema)}.{quoted(name)}"

        def listed(alias: str) -> str:
            return ", ".join(f"{alias}.{quoted(each)}" for each in self.columns)

        self._quoted = named(table)
        self._outbox = named(f"hitherto_outbox_{table}")
        places = {
            "{table}": self._quoted,
            "{outbox}": self._outbox,
            "{name}": "'" + self.name.replace("'", "''") + "'",
            "{outbox_key}": quoted(f"hitherto_outbox_{table}_key"),
            "{outbox_error}": quoted(f"hitherto_outbox_{table}_err"),
            "{function}": named(f"hitherto_capture_{table}"),
            "{key}": quoted(self.key),
            "{key_type}": "bigint" if self._kind == "integer" else self._kind,
            "{columns}": listed("t"),
            "{before_columns}": listed("b"),
            "{after_columns}": listed("a"),
            "{told_columns}": ", ".join(self._told),
            "{new}": as_json("NEW", self.columns, self._as_text),
            "{old}": as_json("OLD", self.columns, self._as_text),
        }
        self._sql_of_first_page = filled(sql, {**places, "{after}": "true"})
        self._sql = filled(sql, {**places, "{after}": f"t.{quoted(self.key)} > $2"})

    async def _fetch(self, connection: Any, query: str, *bindings: Any) -> list[Any]:
        try:
            rows: list[Any] = await connection.fetch(query, *bindings)
        except (asyncpg.DataError, ValueError, OverflowError) as error:
            raise EventStoreError(
                f"{self.name} holds a value that cannot be read, such as a date before year 1 or "
                f"after year 9999, or JSON with \\u0000 ({error}): set it right first"
            ) from error
        return rows

    async def _rows(self, connection: Any, query: str, keys: Collection[str]) -> dict[str, Row]:
        values = list(key_values(self._kind, keys))
        found = await self._fetch(connection, self._sql[query], values)
        rows = map(self._row, found)
        return {str(row[self.key]): row for row in rows}

    def _row(self, record: Any, first: int = 0) -> Row:
        values = zip(self._types.items(), record[first : first + len(self._types)], strict=True)
        return {
            name: json.loads(value) if value is not None and kind in _JSON else value
            for (name, kind), value in values
        }

    def _bound(self, row: Row) -> tuple[list[str], list[Any]]:
        """The columns that can be written, and their values as the driver takes them."""
        names = [name for name in row if name not in self._generated]
        return names, [self._sent(name, row[name]) for name in names]

    def _sent(self, name: str, value: Any) -> Any:
        if self._types[name] not in _JSON or value is None:
            return value
        try:
            return json.dumps(value)
        except (TypeError, ValueError) as error:
            raise InvalidInput(
                f"{name} of {self.name} is of type {self._types[name]}: {error}"
            ) from error


class _Settling:
    """See `Settling`."""

    def __init__(self, table: PostgresTable, connection: Any) -> None:
        self._table = table
        self._sql = table._sql
        self._connection = connection
        self._where = f"WHERE {quoted(table.key)} = $1"

    async def finish(self, ids: Collection[int], refused: Mapping[int, str]) -> None:
        """See `Settling.finish`."""
        if ids:
            await self._connection.execute(self._sql["finish"], list(ids))
        for change, reason in refused.items():
            await self._connection.execute(self._sql["refuse"], change, reason)

    async def rows(self, keys: Collection[str], *, lock: bool = False) -> Mapping[str, Row]:
        """See `Settling.rows`."""
        query = "rows_locked" if lock else "rows"
        return await self._table._rows(self._connection, query, keys)

    async def waiting(self, keys: Collection[str]) -> Collection[str]:
        """See `Settling.waiting`."""
        if not await self._table._has_outbox(self._connection):
            return ()
        found = await self._connection.fetch(self._sql["waiting"], list(keys))
        return {key for (key,) in found}

    async def insert(self, key: str, row: Row) -> None:
        """See `Settling.insert`."""
        value = key_value(self._table._kind, key)
        names, values = self._table._bound({self._table.key: value, **row})
        columns = ", ".join(map(quoted, names))
        places = ", ".join(f"${number}" for number, _ in enumerate(names, 1))
        await self._write(
            key,
            f"INSERT INTO {self._table._quoted} ({columns}) OVERRIDING SYSTEM VALUE "  # noqa: S608
            f"VALUES ({places}) ON CONFLICT ({quoted(self._table.key)}) DO NOTHING",
            *values,
        )

    async def update(self, key: str, row: Row) -> None:
        """See `Settling.update`."""
        names, values = self._table._bound(row)
        columns = ", ".join(f"{quoted(name)} = ${number}" for number, name in enumerate(names, 2))
        if names:
            await self._write(
                key,
                f"UPDATE {self._table._quoted} SET {columns} {self._where}",  # noqa: S608
                key_value(self._table._kind, key),
                *values,
            )

    async def delete(self, key: str) -> None:
        """See `Settling.delete`."""
        await self._write(
            key,
            f"DELETE FROM {self._table._quoted} {self._where}",  # noqa: S608
            key_value(self._table._kind, key),
        )

    async def _write(self, key: str, statement: str, *values: Any) -> None:
        try:
            await self._connection.fetch(self._sql["adopting"], f"{self._table.name} {key}")
            await self._connection.execute(statement, *values)
        except asyncpg.DataError as error:  # the driver's own
            raise InvalidInput(f"a row cannot be written to {self._table.name}: {error}") from error
