"""Aggregates folded from their events alone, and their snapshots judged by that."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from hitherto.application.findings import Kind
from hitherto.application.records import Snapshot, StreamRow
from hitherto.application.repository import Repository
from hitherto.domain.aggregate import Aggregate
from hitherto.errors import EventSerializationFailed, InvalidAggregateState, SnapshotNotSupported

A = TypeVar("A", bound=Aggregate[Any])

Verdict: TypeAlias = Literal[
    "equal",
    "foreign",
    "baseless",
    "unfoldable",
    "undecodable",
    "differs",
    "missing",
]
"""Of a snapshot: it is the fold of its events; other code made it; no event bears it out; the fold
of all events fails; it cannot be decoded; it is not the fold of its events; there is none."""

_KINDS: Mapping[Verdict, Kind] = {
    "baseless": "snapshot-ahead",
    "unfoldable": "aggregate-unfoldable",
    "undecodable": "snapshot-undecodable",
    "differs": "snapshot-differs",
}

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Told what is being done, how far it has come, and of how many if that is known."""

_AT_ONCE = 8


class Ids(Protocol):
    """`aggregate_ids` or `snapshot_ids` of a store."""

    async def __call__(
        self, aggregate_type: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[str]:
        """A page of ids."""
        ...


def in_silence(_stage: str, _done: int, _total: int | None) -> None:
    """Tells nobody of the progress."""


async def refolded(repository: Repository[A], id: str) -> A:
    """The aggregate, folded from its first event on; at version 0 if there is none.

    Raises:
        EventStoreUnavailable: The store cannot be reached.
        InvalidAggregateState: The fold fails, by whatever its events or `apply` raise.
    """
    aggregate = repository._new(id)
    fold_on(repository, aggregate, await _rows(repository, id))
    return aggregate


async def judged(repository: Repository[Any], snapshot: Snapshot) -> tuple[Verdict, str]:
    """What a snapshot is worth, and why; the events after it are folded too."""
    snapshots = repository._snapshots
    ours = (repository._type, snapshots.fingerprint)
    if (snapshot.aggregate_type, snapshot.fingerprint) != ours:
        return "foreign", ""
    if snapshot.version < 1:
        return "baseless", "0"
    return await _compared(repository, snapshot)


async def _compared(repository: Repository[Any], snapshot: Snapshot) -> tuple[Verdict, str]:
    snapshots = repository._snapshots
    try:
        rows = await _rows(repository, snapshot.aggregate_id)
        aggregate = repository._new(snapshot.aggregate_id)
        fold_on(repository, aggregate, [row for row in rows if row[0] <= snapshot.version])
        if aggregate.version < snapshot.version:
            return "baseless", str(aggregate.version)
        field = snapshots.difference(snapshot, aggregate)
        if field is not None:
            return "differs", f"its field {field}"
        fold_on(repository, aggregate, [row for row in rows if row[0] > snapshot.version])
    except (InvalidAggregateState, SnapshotNotSupported) as error:
        return "unfoldable", str(error)
    except (ValueError, TypeError, RecursionError) as error:
        return "undecodable", str(error)
    return "equal", ""


def damage(verdict: Verdict, snapshot: Snapshot | None, detail: str) -> Kind | None:
    """What is wrong by a verdict; None: nothing is."""
    if verdict == "baseless" and snapshot is not None:
        if snapshot.version < 1:
            return "snapshot-out-of-range"
        if detail == "0":
            return "snapshot-without-events"
    return _KINDS.get(verdict)


async def all_ids(ids: Ids, aggregate_type: str) -> AsyncIterator[str]:
    """All ids of one type, page by page."""
    after = ""
    while page := await ids(aggregate_type, after=after):
        for each in page:
            if type(each) is not str:  # Bytes, which SQLite lets in and sorts last; nobody's id.
                return
            yield each
        after = page[-1]


async def all_of(repository: Repository[Any]) -> AsyncIterator[str]:
    """All ids that have a first event or a snapshot, each once: both are in the same order."""
    backend, name = repository.store.backend, repository._type
    ids, others = all_ids(backend.aggregate_ids, name), all_ids(backend.snapshot_ids, name)
    other = await anext(others, None)
    async for each in ids:
        while other is not None and other <= each:
            if other < each:
                yield other
            other = await anext(others, None)
        yield each
    while other is not None:
        yield other
        other = await anext(others, None)


async def _rows(repository: Repository[Any], id: str) -> Sequence[StreamRow]:
    try:
        return (await repository.store.backend.load(id, fingerprint=None)).events
    except EventSerializationFailed as error:
        raise _unfoldable(id, error) from error


def fold_on(repository: Repository[A], aggregate: A, rows: Sequence[StreamRow]) -> None:
    """Fold further events into an aggregate.

    Raises:
        InvalidAggregateState: The fold fails, by whatever its events or `apply` raise.
    """
    try:
        aggregate._fold(repository._serializer.decode_stream(aggregate.id, rows))
    except Exception as error:
        raise _unfoldable(aggregate.id, error) from error


def _unfoldable(id: str, error: Exception) -> InvalidAggregateState:
    return InvalidAggregateState(f"{id!r} cannot be folded: {type(error).__name__}: {error}")


async def each_of(ids: AsyncIterator[str], work: Callable[[str], Awaitable[None]]) -> None:
    """Do `work` for each id, some at once; the first error ends it all."""
    turn = asyncio.Lock()

    async def worker() -> None:
        while True:
            async with turn:
                each = await anext(ids, None)
            if each is None:
                return
            await work(each)

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(_AT_ONCE):
                workers.create_task(worker())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
