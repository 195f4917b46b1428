"""`Framing`: the events of a log in record batches, one after the other."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, TypedDict

from hitherto.application.arrow import arrow
from hitherto.application.frames.columns import (
    Column,
    batch_of,
    check_names,
    columns_of,
    schema_of,
)
from hitherto.application.records import StoredEvent, check_page
from hitherto.application.repository import Repository
from hitherto.application.selection import PAGE, Page, Selection, walk
from hitherto.application.store import Store
from hitherto.domain.event import Event
from hitherto.domain.handlers import event_classes
from hitherto.domain.identifiers import check_identifier
from hitherto.domain.recorded import RecordedEvent
from hitherto.errors import InvalidInput

Recorded = RecordedEvent[Any]

ROWS = 10_000


class Wanted(TypedDict, total=False):
    """Which events are wanted, and how; see `hitherto.frames.event_batches`."""

    aggregates: Collection[str]
    after: int
    until: int | None
    occurred_from: datetime | None
    occurred_before: datetime | None
    where: Callable[[RecordedEvent[Any]], bool] | None
    columns: Collection[str] | None
    texts: Collection[str]
    rows: int


class Framing:
    """Which events are wanted, and the columns that they are told in.

    All is checked when it is made, and nothing is read. The arguments are those of
    `hitherto.frames.event_batches`.

    Attributes:
        schema: What each batch has.
    """

    def __init__(
        self,
        source: Store | Repository[Any],
        types: Any = None,
        *,
        aggregates: Collection[str] = (),
        after: int = 0,
        until: int | None = None,
        occurred_from: datetime | None = None,
        occurred_before: datetime | None = None,
        where: Callable[[Recorded], bool] | None = None,
        columns: Collection[str] | None = None,
        texts: Collection[str] = (),
        rows: int = ROWS,
    ) -> None:
        check_page(after, ROWS)
        if rows < 1:
            raise InvalidInput(f"rows={rows}: give 1 or more")
        if until is not None and until < after:
            raise InvalidInput(f"until={until} is before after={after}: give a later position")
        self._store = source if isinstance(source, Store) else source.store
        kinds = None if isinstance(source, Store) else [source._type]
        self._selection = Selection(self._store, types, kinds)
        self._aggregates = _checked_ids(aggregates)
        self._after, self._until, self._rows = after, until, rows
        self._filters = _filters(occurred_from, occurred_before, where)
        classes = event_classes(types) if types is not None else self._known(kinds)
        found = columns_of(classes, self._store.codec.encode, texts)
        self._columns = _chosen(found, columns)
        self.schema: Any = schema_of(self._columns)

    def table(self, batches: Sequence[Any]) -> Any:
        """Batches as one table."""
        return arrow("pyarrow", "frames").Table.from_batches(batches, schema=self.schema)

    async def batches(self) -> AsyncGenerator[Any]:
        """The record batches; each is made in a thread, while the next pages are read."""
        rows: list[Recorded] = []
        async with aclosing(self._events()) as events:
            async for recorded in events:
                if all(wants(recorded) for wants in self._filters):
                    rows.append(recorded)
                if len(rows) >= self._rows:
                    yield await asyncio.to_thread(batch_of, self._columns, rows)
                    rows = []
        if rows:
            yield await asyncio.to_thread(batch_of, self._columns, rows)

    async def _events(self) -> AsyncGenerator[Recorded]:
        watermark = await self._store.backend.watermark()
        until = watermark if self._until is None else min(self._until, watermark)
        if self._aggregates:
            for stored in await self._named(until):
                for recorded in self._selection.decode(stored):
                    yield recorded
            return

        async def read(after: int) -> Page[StoredEvent]:
            return (await self._selection.read(after, PAGE)).up_to(until)

        if self._after < until:
            async with aclosing(walk(read, self._after, self._selection.decode)) as log:
                async for recorded in log:
                    yield recorded

    async def _named(self, until: int) -> Sequence[StoredEvent]:
        """All of some aggregates: their histories are read whole, as for a load."""
        read = self._store.backend.read
        found = [stored for each in self._aggregates for stored in await read(each)]
        wanted = filter(self._selection.wants, found)
        inside = [each for each in wanted if self._after < each.position <= until]
        return sorted(inside, key=lambda stored: stored.position)

    def _known(self, kinds: Sequence[str] | None) -> Sequence[type[Event]]:
        """The classes of the kinds of aggregate that are known, or of one."""
        serializers = self._store._serializers
        names = serializers if kinds is None else kinds
        found = [cls for name in names for cls in serializers[name].definition.events.values()]
        if not found:
            raise InvalidInput(
                "the store knows no event class yet: give it types, such as a union of event "
                "classes, or give a repository"
            )
        return found


def _checked_ids(aggregates: Collection[str]) -> Collection[str]:
    if isinstance(aggregates, str):
        raise InvalidInput(f"aggregates={aggregates!r}: give a list, such as [{aggregates!r}]")
    return [check_identifier("aggregate id", each) for each in dict.fromkeys(aggregates)]


def _chosen(columns: Sequence[Column], names: Collection[str] | None) -> Sequence[Column]:
    if names is None:
        return columns
    if not names:
        raise InvalidInput("columns is empty: name some, or leave it out")
    check_names("columns", names, [each.name for each in columns])
    return [each for each in columns if each.name in names]


def _filters(
    start: datetime | None, end: datetime | None, where: Callable[[Recorded], bool] | None
) -> Sequence[Callable[[Recorded], bool]]:
    for name, moment in {"occurred_from": start, "occurred_before": end}.items():
        if moment is not None and moment.utcoffset() is None:
            raise InvalidInput(f"{name}={moment} has no time zone: give one")
    found = [where] if where is not None else []
    if start is not None:
        found.append(lambda recorded: recorded.occurred_at >= start)
    if end is not None:
        found.append(lambda recorded: recorded.occurred_at < end)
    return found
