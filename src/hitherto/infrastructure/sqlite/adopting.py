# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""Tables of before in SQLite: read page by page, captured by triggers, written back."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import apsw

from hitherto.application.adopting import Change, Row
from hitherto.application.adopting.ports import PlacedRow, Refused, Settling
from hitherto.errors import (
    AggregateLocked,
    ConfigurationError,
    EventStoreError,
    EventStoreUnavailable,
)
from hitherto.infrastructure.adopting import (
    check_key,
    filled,
    key_value,
    key_values,
    not_taken_over,
    not_unique,
    quoted,
)
from hitherto.infrastructure.sql import named_queries
from hitherto.infrastructure.sqlite.column_types import kind_of, reader_of
from hitherto.infrastructure.sqlite.connections import PASSING
from hitherto.infrastructure.sqlite.reading import select
from hitherto.infrastructure.sqlite.settling import SqliteSettling

T = TypeVar("T")

_BUSY = 5000  # milliseconds
_TRIGGERS = ("insert", "delete", "update", "rekey")


class SqliteTable:
    """See `LegacyTable`.

    Args:
        path: The file.
        table: The table's name.
        key: The column that tells rows apart.
    """

    def __init__(self, path: str, table: str, key: str) -> None:
        self.name = table
        self.key = key
        self.columns: Sequence[str] = ()
        self._path = path
        self._types: dict[str, str] = {}
        self._readers: list[Callable[[Any], Any]] = []
        self._generated: set[str] = set()
        self._kind = ""
        self._sql: Mapping[str, str] = {}
        self._sql_of_first_page: Mapping[str, str] = {}
        self._thread: ThreadPoolExecutor | None = None
        self._connection: apsw.Connection | None = None
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """See `LegacyTable.open`."""
        self._thread = ThreadPoolExecutor(1, "hitherto-adopting")
        self._turn = asyncio.Lock()
        try:
            await self._run(self._look)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """See `LegacyTable.close`."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.to_thread(thread.shutdown)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def count(self) -> int:
        """See `LegacyTable.count`."""
        return int((await self._select("count"))[0][0])

    async def page(self, after: str | None, limit: int) -> Sequence[PlacedRow]:
        """See `LegacyTable.page`."""
        sql, bindings = self._sql_of_first_page, [limit]
        if after is not None:
            sql = self._sql
            bindings.append(key_value(self._kind, after))
        async with self._turn:
            query = "page" if await self._run(self._has_outbox) else "page_alone"
            found = await self._run(lambda connection: select(connection, sql[query], bindings))
        return [
            PlacedRow(
                key=each[-2],
                row=self._row(each),
                contained=each[-1].split(",") if each[-1] else (),
            )
            for each in found
        ]

    async def rows(self, keys: Collection[str]) -> Mapping[str, Row]:
        """See `LegacyTable.rows`."""
        async with self._turn:
            return await self._rows(keys)

    async def install(self) -> None:
        """See `LegacyTable.install`."""

        def work(connection: apsw.Connection) -> None:
            connection.execute(self._sql["outbox"])
            there = {name for name, *_ in self._columns_of(connection, self._outbox)}
            for name in self.columns:
                for side in ("before:", "after:"):
                    if f"{side}{name}" not in there:
                        column = quoted(f"{side}{name}")
                        connection.execute(
                            f"ALTER TABLE {quoted(self._outbox)} ADD COLUMN {column}"
                        )
            connection.execute(self._sql["drop_triggers"])
            connection.execute(self._sql["triggers"])

        await self._write(work)

    async def remove(self, *, force: bool = False) -> None:
        """See `LegacyTable.remove`."""

        def work(connection: apsw.Connection) -> None:
            if self._has_outbox(connection):
                ((count,),) = select(connection, f"SELECT count(*) FROM {quoted(self._outbox)}")  # noqa: S608
                if count and not force:
                    raise not_taken_over(self.name, count)
            connection.execute(self._sql["drop_triggers"])
            connection.execute(f"DROP TABLE IF EXISTS {quoted(self._outbox)}")
            if not select(connection, self._sql["other_outboxes"]):
                connection.execute("DROP TABLE IF EXISTS hitherto_adopting")

        await self._write(work)

    async def is_captured(self) -> bool:
        """See `LegacyTable.is_captured`."""
        names = ("trigger", f"hitherto_capture_{self.name}_update")
        return bool(await self._select("exists", names))

    async def changes(self, limit: int) -> Sequence[Change]:
        """See `LegacyTable.changes`."""
        first, second = 5, 5 + len(self.columns)
        return [
            Change(
                id=each[0],
                change_id=each[1],
                key=each[2],
                before=self._row(each, first) if each[3] else None,
                after=self._row(each, second) if each[4] else None,
            )
            for each in await self._select("changes", (limit,))
        ]

    async def refused(self, limit: int) -> tuple[int, Sequence[Refused]]:
        """See `LegacyTable.refused`."""
        found = await self._select("refused", (limit,))
        count = found[0][2] if found else 0
        return count, [Refused(key=key, reason=error) for key, error, _ in found]

    async def retry(self) -> None:
        """See `LegacyTable.retry`."""
        await self._write(lambda connection: connection.execute(self._sql["retry"]))

    @asynccontextmanager
    async def settling(self) -> AsyncGenerator[Settling]:
        """See `LegacyTable.settling`."""
        async with self._turn:
            try:
                await self._run(lambda connection: connection.execute("BEGIN IMMEDIATE"))
                turn = SqliteSettling(self)
                yield turn
                await turn.end()
                await self._run(lambda connection: connection.execute("COMMIT"))
            except BaseException:
                await asyncio.shield(self._run(_roll_back))
                raise

    def _look(self, connection: apsw.Connection) -> None:
        sql = named_queries("hitherto.infrastructure.sqlite", "adopting.sql")
        self._sql = sql
        if not select(connection, sql["exists"], ("table", self.name)):
            raise ConfigurationError(f"{self._path!r} has no table {self.name!r}")
        columns = self._columns_of(connection, self.name)
        self._types = {name: declared for name, declared, *_ in columns}
        self._readers = [reader_of(declared) for declared in self._types.values()]
        self._generated = {name for name, *_, hidden in columns if hidden}
        self.columns = tuple(self._types)
        kind = kind_of(self._types.get(self.key, ""))
        check_key(self.name, self.key, self._types, kind)
        self._kind = kind or ""
        primary = [name for name, _, _, place, _ in columns if place]
        unique = [name for (name,) in select(connection, sql["unique_columns"], (self.name,))]
        self._name_all(sql)
        is_unique = primary == [self.key] or self.key in unique
        if not is_unique or select(connection, self._sql["without_key"]):
            raise not_unique(self.name, self.key)

    def _name_all(self, sql: Mapping[str, str]) -> None:
        def listed(before: str) -> str:
            return ", ".join(f"{before}{quoted(each)}" for each in self.columns)

        self._outbox = f"hitherto_outbox_{self.name}"
        trigger = f"hitherto_capture_{self.name}_"
        places = {
            "{table}": quoted(self.name),
            "{name}": "'" + self.name.replace("'", "''") + "'",
            "{outbox}": quoted(self._outbox),
            "{outbox_key}": quoted(f"{self._outbox}_key"),
            "{outbox_error}": quoted(f"{self._outbox}_error"),
            "{key}": quoted(self.key),
            "{columns}": listed("t."),
            "{new}": listed("NEW."),
            "{old}": listed("OLD."),
            "{before_names}": ", ".join(quoted(f"before:{each}") for each in self.columns),
            "{after_names}": ", ".join(quoted(f"after:{each}") for each in self.columns),
            **{f"{{{each}}}": quoted(trigger + each) for each in _TRIGGERS},
        }
        self._sql_of_first_page = filled(sql, {**places, "{after}": "true"})
        self._sql = filled(sql, {**places, "{after}": f"t.{quoted(self.key)} > ?2"})

    def _columns_of(self, connection: apsw.Connection, table: str) -> list[Any]:
        return select(connection, self._sql["columns"], (table,))

    def _has_outbox(self, connection: apsw.Connection) -> bool:
        return bool(select(connection, self._sql["exists"], ("table", self._outbox)))

    async def _rows(self, keys: Collection[str]) -> dict[str, Row]:
        values = json.dumps(list(key_values(self._kind, keys)))
        query = self._sql["rows"]
        found = await self._run(lambda connection: select(connection, query, (values,)))
        return {each[-1]: self._row(each) for each in found}

    def _row(self, values: Sequence[Any], first: int = 0) -> Row:
        own = values[first : first + len(self.columns)]
        return {
            name: read(value)
            for name, read, value in zip(self.columns, self._readers, own, strict=True)
        }

    async def _select(self, query: str, bindings: Sequence[Any] = ()) -> list[Any]:
        text = self._sql[query]
        async with self._turn:
            return await self._run(lambda connection: select(connection, text, bindings))

    async def _write(self, work: Callable[[apsw.Connection], object]) -> None:
        async with self._turn:
            await self._run(lambda connection: _written(connection, work))

    async def _run(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work` on the thread that has the connection."""
        if self._thread is None:
            raise EventStoreUnavailable(
                f"the table in {self._path!r} is closed: open it first", transient=False
            )
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._translated, work)

    def _translated(self, work: Callable[[apsw.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = _connected(self._path)
            return work(self._connection)
        except (apsw.BusyError, apsw.LockedError) as error:
            raise AggregateLocked(f"{self._path!r} is locked by another: {error}") from error
        except apsw.CantOpenError as error:
            raise ConfigurationError(f"{self._path!r} cannot be opened: {error}") from error
        except apsw.NotADBError as error:
            raise ConfigurationError(f"{self._path!r} is not a SQLite file: {error}") from error
        except PASSING as error:
            raise EventStoreUnavailable(f"{self._path!r} cannot be used: {error}") from error
        except apsw.Error as error:
            raise EventStoreError(f"{self._path!r}: {error}") from error
        except UnicodeDecodeError as error:
            raise EventStoreError(
                f"{self.name} holds a text that is not UTF-8 ({error}): set it right first"
            ) from error


def _connected(path: str) -> apsw.Connection:
    if not Path(path).is_file():
        raise ConfigurationError(f"there is no file {path!r}")
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
    connection.set_busy_timeout(_BUSY)
    connection.execute("PRAGMA foreign_keys = ON")  # off, it would leave rows without their parents
    return connection


def _written(connection: apsw.Connection, work: Callable[[apsw.Connection], object]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        work(connection)
        connection.execute("COMMIT")
    except BaseException:
        _roll_back(connection)
        raise


def _roll_back(connection: apsw.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
