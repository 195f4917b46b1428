"""Appends to PostgreSQL: alone, in a batch, or together."""

import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from hitherto.application.alongside import Alongside, Timer
from hitherto.application.records import Append, refusal, without_first
from hitherto.errors import InvalidInput
from hitherto.infrastructure.batching import Outcome
from hitherto.infrastructure.postgres.connections import Connections
from hitherto.infrastructure.postgres.copying import check_archive, copy_events, row_of
from hitherto.infrastructure.postgres.lending import lent
from hitherto.infrastructure.postgres.rows import stored_event

_COPIED = 256  # events in an append from which on COPY pays for its further round trips
_PATIENCE = 2.0  # seconds that effects may wait for a lock, or leave the transaction idle


class Appender:
    """Writes appends, each call in one transaction and, unless it loses or is huge, one round trip.

    Every call raises AggregateLocked when another transaction holds an aggregate for longer than
    a moment.

    Args:
        connections: To the database.
        sql: The named queries, with the schema's name in its places.
        schema: The name of the schema.
        appended: Is told of positions that were written.
    """

    def __init__(
        self,
        connections: Connections,
        sql: Mapping[str, str],
        schema: str,
        appended: Callable[[int], None],
    ) -> None:
        self._connections = connections
        self._sql = sql
        self._schema = schema
        self._appended = appended

    async def write_alone(self, append: Append) -> int:
        """Write one append; returns the position of its last event, or raises why it lost."""
        position = await self._write_alone(append)
        self._appended(position)
        return position

    async def _write_alone(self, append: Append) -> int:
        write = self._copy if len(append.events) >= _COPIED else self._insert
        try:
            position = await write(append)
        except InvalidInput:
            # Two sends of one append can meet at the index of event ids before either is known
            # by its version. By now the other one is committed, and found by its version.
            position = None
        if position is not None:
            return position
        (row,) = await self._call("append_events", [append])
        outcome = _outcome(append, row)
        if outcome is None:
            return await self._write_alone(without_first(append, row["standing"]))
        if isinstance(outcome, int):
            return outcome
        raise outcome

    async def _insert(self, append: Append) -> int | None:
        """The leanest statement; None if the append has lost, or stands already."""
        name = "append_event" if len(append.events) == 1 else "append_stream"
        rows = [row_of(event) for event in append.events]
        columns = rows[0] if len(rows) == 1 else map(list, zip(*rows, strict=True))
        async with self._connections.session() as connection:
            position: int | None = await connection.fetchval(
                self._sql[name], *_head(append), *columns
            )
        return position

    async def _copy(self, append: Append) -> int | None:
        """The same for very many events: the first as ever, which holds the place of the rest."""
        first, *rest = append.events
        async with self._connections.transaction() as connection:
            won = await connection.fetchval(
                self._sql["append_event"], *_head(append), *row_of(first)
            )
            if won is None:
                return None
            await check_archive(connection, self._sql, rest)
            versions = itertools.count(append.expected_version + 2)
            await copy_events(
                connection,
                self._schema,
                (
                    (append.aggregate_id, append.aggregate_type, version, event)
                    for version, event in zip(versions, rest, strict=False)
                ),
            )
            last = append.expected_version + len(append.events)
            position: int = await connection.fetchval(
                self._sql["position"], append.aggregate_id, last
            )
        return position

    async def write_batch(self, appends: Sequence[Append]) -> list[Outcome]:
        """Write appends, sorted by aggregate id, of which each wins or loses for itself."""
        rows = await self._call("append_events", appends)
        outcomes = [_outcome(append, row) for append, row in zip(appends, rows, strict=True)]
        self._appended(max([each for each in outcomes if isinstance(each, int)], default=0))
        return outcomes

    async def write_together(self, appends: Sequence[Append]) -> tuple[int, ...]:
        """Write all of the appends or none; returns the positions of their last events."""
        return await self._settle(appends, lambda each: self._call("append_together", each))

    async def write_alongside(
        self, appends: Sequence[Append], alongside: Alongside
    ) -> tuple[int, ...]:
        """Write all of the appends, which may be none, and what belongs to them, or nothing.

        Raises:
            AlreadyHandled: A message was handled before.
            ProjectionSuperseded: A projection is not one that appends run, in this version.
            HandlerFailed: The effects raised.
        """
        extra = _extra_columns(alongside)

        async def write(ordered: Sequence[Append]) -> list[Any]:
            if alongside.effects is None:
                return await self._call("append_alongside", ordered, extra)
            return await self._with_effects(ordered, alongside.effects, extra)

        return await self._settle(appends, write)

    async def _with_effects(
        self,
        appends: Sequence[Append],
        effects: Callable[[Sequence[Any], Any], Awaitable[None] | None],
        extra: Sequence[Any],
    ) -> list[Any]:
        """Write all, or none; the effects are given what of it did not stand before."""
        who = "what was to be done with the append"
        async with lent(self._connections, who, patience=_PATIENCE) as borrowed:
            connection = borrowed.connection
            query = self._sql["append_alongside"]
            rows = sorted(
                await connection.fetch(query, *_columns(appends), *extra), key=itemgetter(0)
            )
            written = _written(appends, rows)
            if written is not None:
                found = await connection.fetch(self._sql["appended"], *_places(written))
                events = [stored_event(row) for row in found]
                await borrowed.run(lambda connection: effects(events, connection))
        return rows

    async def _settle(
        self,
        appends: Sequence[Append],
        write: Callable[[Sequence[Append]], Awaitable[list[Any]]],
    ) -> tuple[int, ...]:
        """Have appends written, sorted by aggregate id; what stands of them is completed."""
        ordered = sorted(appends, key=lambda append: append.aggregate_id)
        try:
            rows = await write(ordered)
        except InvalidInput:  # As in `write_alone`.
            rows = await write(ordered)
        found = {append.aggregate_id: row for append, row in zip(ordered, rows, strict=True)}
        outcomes = [_outcome(append, found[append.aggregate_id]) for append in appends]
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        positions = [outcome for outcome in outcomes if isinstance(outcome, int)]
        if len(positions) == len(appends):
            self._appended(max(positions, default=0))
            return tuple(positions)
        return await self._settle(
            [_rest(each, found[each.aggregate_id]) for each in appends], write
        )

    async def _call(
        self, name: str, appends: Sequence[Append], extra: Sequence[Any] = ()
    ) -> list[Any]:
        """A row for each append, in their order."""
        async with self._connections.session() as connection:
            rows = await connection.fetch(self._sql[name], *_columns(appends), *extra)
        return sorted(rows, key=itemgetter(0))


def _head(append: Append) -> tuple[str, str, int]:
    return append.aggregate_id, append.aggregate_type, append.expected_version


def _columns(appends: Sequence[Append]) -> tuple[list[Any] | None, ...]:
    """The columns that the append functions take."""
    numbers: list[int] = []
    versions: list[int] = []
    rows: list[tuple[Any, ...]] = []
    for number, append in enumerate(appends, 1):
        count = len(append.events)
        numbers += [number] * count
        first = append.expected_version + 1
        versions += range(first, first + count)
        rows += map(row_of, append.events)
    event_ids, event_types, schema_versions, data, metadata, occurred_at, hashes = (
        map(list, zip(*rows, strict=True)) if rows else ([], [], [], [], [], [], [])
    )
    return (
        [append.aggregate_id for append in appends],
        [append.aggregate_type for append in appends],
        [append.expected_version for append in appends],
        numbers,
        event_ids,
        event_types,
        schema_versions,
        versions,
        data,
        metadata,
        occurred_at,
        hashes if any(hashes) else None,
    )


def _extra_columns(alongside: Alongside) -> tuple[Any, ...]:
    """What the append function takes besides: messages, timers, and inline projections."""
    messages = list(dict.fromkeys(alongside.handled))
    inline = [name for name, _ in alongside.inline], [version for _, version in alongside.inline]
    timers = (*_timer_columns(alongside.fired), *_timer_columns(alongside.timers))
    return alongside.scope, messages, *timers, *inline


def _timer_columns(timers: Sequence[Timer]) -> tuple[list[Any], ...]:
    """Process, instance, name and time; of two for one timer the last counts."""
    due = {(each.process, each.aggregate_id, each.name): each.due for each in timers}
    processes, instances, names = map(list, zip(*due, strict=True)) if due else ([], [], [])
    return processes, instances, names, list(due.values())


def _places(appends: Sequence[Append]) -> tuple[list[str], list[int], list[int]]:
    return (
        [append.aggregate_id for append in appends],
        [append.expected_version for append in appends],
        [append.expected_version + len(append.events) for append in appends],
    )


def _written(appends: Sequence[Append], rows: Sequence[Any]) -> list[Append] | None:
    """What of a group did not stand before; None: it has lost, or all of it stood."""
    written = [append for append, row in zip(appends, rows, strict=True) if not row[2]]
    won = all(position is not None for _, position, *_ in rows)
    return written if won and (written or not appends) else None


def _outcome(append: Append, row: Any) -> Outcome:
    """The position of an append that won, why it lost, or None if only its first events stand."""
    _, position, standing, actual, actual_type = row
    if actual_type not in {None, append.aggregate_type}:
        return refusal(append, actual, actual_type)
    if position is not None:
        return int(position)
    if standing and actual == append.expected_version + standing:
        return None
    return refusal(append, actual, actual_type)


def _rest(append: Append, row: Any) -> Append:
    """What of an append that could not win as a whole is still to be written."""
    _, position, standing, *_ = row
    return append if position is not None else without_first(append, standing)
