"""Aggregates that are closed: `archive` moves them aside, `tombstone` lets them never go on."""

import inspect
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar

import msgspec

from hitherto.application.ports.archive import Tombstone
from hitherto.application.refolding import Progress, each_of, in_silence
from hitherto.application.repository import Repository
from hitherto.application.validation import check_account
from hitherto.domain.aggregate import Aggregate
from hitherto.domain.identifiers import check_identifier
from hitherto.errors import AggregateNotFound, InvalidInput

A = TypeVar("A", bound=Aggregate[Any])

PAGE = 500
"""The most aggregates that are moved in one transaction."""

EVENTS = 5000
"""The events from which on no further aggregate is moved in one transaction."""


OLDEST = timedelta(days=36_500)
"""The longest age that may be asked for."""


class Archived(msgspec.Struct, kw_only=True):
    """What was looked at, and moved.

    Attributes:
        aggregates: How many were looked at.
        single: Those of one event, which always stays where it is.
        already: Those of which all but the last event were in the archive before.
        recent: Those whose last event is not old enough.
        open: Those that are not closed.
        closed: Those of which events were moved, or would be.
        events: How many events were moved, or would be.
    """

    aggregates: int = 0
    single: int = 0
    already: int = 0
    recent: int = 0
    open: int = 0
    closed: int = 0
    events: int = 0


async def archive(
    repository: Repository[A],
    *,
    closed: Callable[[A], bool] | None = None,
    older_than: timedelta | None = None,
    ids: Iterable[str] | None = None,
    dry_run: bool = False,
    progress: Progress = in_silence,
) -> Archived:
    """Move the events of closed aggregates into the archive, all but the last one of each.

    It may run while the store is in use, and be broken off and run again: aggregates are moved in
    short transactions, and one that goes on meanwhile is left alone.

    Args:
        repository: Of which kind of aggregate, and in which store.
        closed: Whether an aggregate is closed; left out: all are.
        older_than: Only those whose last event was stored longer ago.
        ids: Only these.
        dry_run: Only tell what would be moved.
        progress: Told after each page of aggregates.

    Raises:
        AggregateLocked: A transaction that has appended stays open.
        AggregateNotFound: One of the ids has no event.
        EventStoreUnavailable: The store cannot be reached.
        InvalidAggregateState: An aggregate cannot be folded.
        InvalidInput: Nothing says which aggregates are closed, or a value makes no sense.
    """
    chosen = None if ids is None else _checked(ids)
    if closed is None and older_than is None and chosen is None:
        raise InvalidInput(
            "nothing says which aggregates are closed: give a function, an age, or ids"
        )
    if inspect.iscoroutinefunction(closed):
        raise InvalidInput(f"closed={closed!r}: give a function that is not async")
    if older_than is not None and not timedelta(0) <= older_than <= OLDEST:
        raise InvalidInput(f"older_than={older_than}: give an age from 0 to {OLDEST.days:,} days")
    run = _Run(repository, closed, older_than, must_be_there=chosen is not None)
    async for page in _pages(repository, chosen):
        found = await run.closed_of(page)
        if not dry_run:
            found = await run.move(found)
        run.result.closed += len(found)
        run.result.events += sum(found.values())
        progress("aggregates", run.result.aggregates, None if chosen is None else len(chosen))
    return run.result


async def tombstone(repository: Repository[Any], id: str, *, reason: str, closed_by: str) -> int:
    """Close an aggregate for good: whoever appends to it is told `AggregateTombstoned` from now on.

    Its events can be read as before. There is no way back; the store tells who has done it and why,
    and done again it keeps the first account.

    Args:
        repository: Of which kind of aggregate, and in which store.
        id: The aggregate.
        reason: Why.
        closed_by: Who.

    Returns:
        The version at which it will stay.

    Raises:
        AggregateLocked: It is closed, but a transaction that has appended stays open, and may have
            written an event of it: do it again.
        AggregateNotFound: It has no event, or is of another type.
        EventStoreUnavailable: The store cannot be reached.
        InvalidInput: There is no reason, or nobody who says so.
        SchemaMismatch: On PostgreSQL: only the owner of the tables may, or who was granted it.
    """
    check_account(reason=reason, closed_by=closed_by)
    if not await repository.exists(id):
        raise AggregateNotFound(id, repository._type)
    closed = Tombstone(id, reason, closed_by)
    return await repository.store.backend.archive.tombstone(closed)


class _Run:
    """One run, and what has come of it so far."""

    def __init__(
        self,
        repository: Repository[A],
        closed: Callable[[A], bool] | None,
        older_than: timedelta | None,
        *,
        must_be_there: bool,
    ) -> None:
        self._repository: Repository[Any] = repository
        self._store = repository.store
        self._closed: Callable[[Any], bool] | None = closed
        self._before = None if older_than is None else self._store.clock() - older_than
        self._must_be_there = must_be_there
        self._heads: dict[str, int] = {}
        self.result = Archived()

    async def closed_of(self, page: list[str]) -> dict[str, int]:
        """Those of some aggregates that have something to move, and how many events."""
        archived = await self._store.backend.archive.archived(page)
        found: dict[str, int] = {}

        async def work(id: str) -> None:
            version = await self._version(id, archived.get(id, 0))
            if version is not None:
                self._heads[id] = version
                found[id] = version - 1 - archived.get(id, 0)

        await each_of(_each(page), work)
        return found

    async def _version(self, id: str, archived: int) -> int | None:
        """The version of an aggregate, if it is closed and there is something to move."""
        found = await self._store.backend.read(id, limit=1, backward=True)
        if not found or found[0].aggregate_type != self._repository._type:
            if self._must_be_there:
                raise AggregateNotFound(id, self._repository._type)
            return None
        (last,) = found
        result = self.result
        result.aggregates += 1
        if last.version == 1:
            result.single += 1
        elif last.version == archived + 1:
            result.already += 1
        elif self._before is not None and last.stored_at > self._before:
            result.recent += 1
        elif self._closed is not None and not self._closed(
            await self._repository.load(id, last.version)
        ):
            result.open += 1
        else:
            return last.version
        return None

    async def move(self, counts: dict[str, int]) -> dict[str, int]:
        """Move so many events of each, in as many transactions as that takes; what was moved."""
        moved: dict[str, int] = {}
        batch: list[str] = []
        for number, next_id in enumerate(sorted(counts), 1):
            batch.append(next_id)
            if sum(counts[each] for each in batch) >= EVENTS or number == len(counts):
                heads = {each: self._heads.pop(each) for each in batch}
                moved |= await self._store.backend.archive.archive(heads)
                batch = []
        return moved


def _checked(ids: Iterable[str]) -> list[str]:
    if isinstance(ids, str):
        raise InvalidInput(f"ids={ids!r}: give a list of ids, such as [{ids!r}]")
    return list(dict.fromkeys(check_identifier("aggregate id", each) for each in ids))


async def _each(page: Iterable[str]) -> AsyncIterator[str]:
    for each in page:
        yield each


async def _pages(repository: Repository[Any], chosen: list[str] | None) -> AsyncIterator[list[str]]:
    if chosen is not None:
        for start in range(0, len(chosen), PAGE):
            yield chosen[start : start + PAGE]
        return
    ids, after = repository.store.backend.aggregate_ids, ""
    while page := await ids(repository._type, after=after, limit=PAGE):
        yield list(page)
        after = page[-1]
