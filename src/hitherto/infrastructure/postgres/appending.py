"""Appends to PostgreSQL: alone, in a batch, or together."""

import itertools
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from hitherto.application.records import Append, refusal, without_first
from hitherto.errors import InvalidInput
from hitherto.infrastructure.batching import Outcome
from hitherto.infrastructure.postgres.connections import Connections
from hitherto.infrastructure.postgres.copying import copy_events, row_of

_COPIED = 256  # events in an append from which on COPY pays for its further round trips


class Appender:
    """Writes appends, each call in one transaction and, unless it loses or is huge, one round trip.

    Every call raises AggregateLocked when another transaction holds an aggregate for longer than
    a moment.

    Args:
        connections: To the database.
        sql: The named queries, with the schema's name in its places.
        schema: The name of the schema.
    """

    def __init__(self, connections: Connections, sql: Mapping[str, str], schema: str) -> None:
        self._connections = connections
        self._sql = sql
        self._schema = schema

    async def write_alone(self, append: Append) -> int:
        """Write one append; returns the position of its last event, or raises why it lost."""
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
            return await self.write_alone(without_first(append, row["standing"]))
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
        return [_outcome(append, row) for append, row in zip(appends, rows, strict=True)]

    async def write_together(self, appends: Sequence[Append]) -> tuple[int, ...]:
        """Write all of the appends or none; returns the positions of their last events."""
        ordered = sorted(appends, key=lambda append: append.aggregate_id)
        try:
            rows = await self._call("append_together", ordered)
        except InvalidInput:  # As in `write_alone`.
            rows = await self._call("append_together", ordered)
        found = {append.aggregate_id: row for append, row in zip(ordered, rows, strict=True)}
        outcomes = [_outcome(append, found[append.aggregate_id]) for append in appends]
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        positions = [outcome for outcome in outcomes if isinstance(outcome, int)]
        if len(positions) == len(appends):
            return tuple(positions)
        return await self.write_together(
            [_rest(each, found[each.aggregate_id]) for each in appends]
        )

    async def _call(self, name: str, appends: Sequence[Append]) -> list[Any]:
        """A row for each append, in their order."""
        async with self._connections.session() as connection:
            rows = await connection.fetch(self._sql[name], *_columns(appends))
        return sorted(rows, key=itemgetter(0))


def _head(append: Append) -> tuple[str, str, int]:
    return append.aggregate_id, append.aggregate_type, append.expected_version


def _columns(appends: Sequence[Append]) -> tuple[list[Any], ...]:
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
    event_ids, event_types, schema_versions, data, metadata, occurred_at = map(
        list, zip(*rows, strict=True)
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
    )


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
    return append if row["last_position"] is not None else without_first(append, row["standing"])
