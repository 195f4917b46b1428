"""`Within`: a store's events and snapshots, in a transaction of the caller's."""

import math
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, NoReturn
from uuid import UUID

from hitherto.application.alongside import Alongside
from hitherto.application.records import Append, Snapshot, StoredEvent, check_group
from hitherto.errors import ConfigurationError
from hitherto.infrastructure.postgres.appending import Appender, _columns, _places, _written
from hitherto.infrastructure.postgres.borrowing import Borrowed
from hitherto.infrastructure.postgres.drivers import AsyncpgDriver, Driver
from hitherto.infrastructure.postgres.lending import _lent
from hitherto.infrastructure.postgres.reading import Reading
from hitherto.infrastructure.postgres.schema import Schema

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EFFECTS = "what was to be done with the append"
_EVENTS = {"read_forward": "", "read_backward": "DESC", "appended": ""}


def queries(schema: Schema, *, archived: bool = False) -> dict[str, str]:
    """The queries that run through any driver."""
    found = schema.queries("queries.sql", archived=archived)
    own = schema.queries("within.sql")
    for name, direction in _EVENTS.items():
        told = own["told"].replace("{query}", found[name]).replace("{direction}", direction)
        found[name] = told
    return {**found, **own}


class Within(Reading):
    """Appends and loads in a transaction that somebody else begins and ends.

    An append that fails leaves the transaction as it was, a read that fails perhaps aborted.
    Nothing is tried again.

    Args:
        borrowed: The transaction.
        sql: The named queries.
        archived_sql: Those that read the archive, too.
        appended: Is told of positions that were written.
        handled: Which messages were handled, as committed.
    """

    def __init__(
        self,
        borrowed: Borrowed,
        sql: Mapping[str, str],
        archived_sql: Mapping[str, str],
        appended: Callable[[int], None],
        handled: Callable[[str, Sequence[str]], Awaitable[Collection[str]]],
    ) -> None:
        self._connections = borrowed
        self.handled = handled
        self._sql = sql
        self._archived_sql = archived_sql
        self._appender = _Appender(borrowed, sql, appended)

    async def append(
        self, appends: Sequence[Append], *, alongside: Alongside | None = None
    ) -> tuple[int, ...]:
        """See `EventStore.append`."""
        if appends or alongside is None:
            check_group(appends)
        if alongside is not None:
            return await self._appender.write_alongside(appends, alongside)
        return await self._appender.write_together(appends)

    async def save_snapshot(self, snapshot: Snapshot, *, replacing: int | None = None) -> bool:
        """See `SnapshotStore.save_snapshot`."""
        async with self._connections.savepoint() as driver:
            rows = await driver.fetch(
                self._sql["save_snapshot"],
                snapshot.aggregate_id,
                snapshot.aggregate_type,
                snapshot.version,
                snapshot.fingerprint,
                snapshot.data,
                replacing,
            )
        return bool(rows)

    def _stored(self, row: Sequence[Any]) -> StoredEvent:
        return _stored_event(row)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        raise ConfigurationError(
            f"{name} is nothing for a transaction of yours: ask the store itself"
        )


class _Appender(Appender):
    """Writes appends below a savepoint."""

    def __init__(
        self, borrowed: Borrowed, sql: Mapping[str, str], appended: Callable[[int], None]
    ) -> None:
        self._borrowed = borrowed
        self._sql = sql
        self._appended = appended

    async def _call(
        self, name: str, appends: Sequence[Append], extra: Sequence[Any] = ()
    ) -> list[Any]:
        async with self._borrowed.savepoint() as driver:
            return await self._rows(driver, name, appends, extra)

    async def _with_effects(
        self,
        appends: Sequence[Append],
        effects: Callable[[Sequence[Any], Any], Awaitable[None] | None],
        extra: Sequence[Any],
    ) -> list[Any]:
        async with self._borrowed.savepoint() as driver:
            if not isinstance(driver, AsyncpgDriver):
                raise ConfigurationError(
                    "the store has inline projections, which write through a connection of "
                    "asyncpg: hand over one, or a session on postgresql+asyncpg, or have a worker "
                    "run them"
                )
            rows = await self._rows(driver, "append_alongside", appends, extra)
            written = _written(appends, rows)
            if written is not None:
                found = await driver.fetch(self._sql["appended"], *_places(written))
                events = [_stored_event(row) for row in found]
                lent = _lent(driver.connection, _EFFECTS, self._borrowed.where, math.inf)
                await lent.run(lambda connection: effects(events, connection))
        return rows

    async def _rows(
        self, driver: Driver, name: str, appends: Sequence[Append], extra: Sequence[Any]
    ) -> list[Any]:
        rows = await driver.fetch(self._sql[name], *_columns(appends), *extra)
        return sorted(rows, key=itemgetter(0))


def _stored_event(row: Sequence[Any]) -> StoredEvent:
    """An event, of a row that `told` gives."""
    position, event_id, *middle, occurred_at, stored_at = row
    times = [_EPOCH + timedelta(microseconds=each) for each in (occurred_at, stored_at)]
    return StoredEvent(position, UUID(event_id), *middle, *times)
