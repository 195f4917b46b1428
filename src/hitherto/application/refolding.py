"""Aggregates folded from their events alone, and their snapshots judged by that."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from hitherto.application.findings import Kind
from hitherto.application.records import Snapshot
from hitherto.application.repository import Repository
from hitherto.domain.aggregate import Aggregate
from hitherto.errors import InvalidAggregateState, SnapshotNotSupported

A = TypeVar("A", bound=Aggregate[Any])

Verdict: TypeAlias = Literal[
    "equal", "foreign", "baseless", "unfoldable", "undecodable", "differs", "missing"
]
"""Of a snapshot: it is the fold of its events; other code made it; no event bears it out; the fold
fails; it cannot be decoded; it is not the fold of its events; there is none."""

KINDS: Mapping[Verdict, Kind] = {
    "baseless": "snapshot-ahead",
    "unfoldable": "aggregate-unfoldable",
    "undecodable": "snapshot-undecodable",
    "differs": "snapshot-differs",
}
"""What is wrong by these verdicts; by the others, nothing is."""

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


async def refolded(repository: Repository[A], id: str, to_version: int | None = None) -> A:
    """The aggregate, folded from its first event on; at version 0 if there is none.

    Raises:
        InvalidAggregateState: The fold fails, by whatever its events or `apply` raise.
    """
    stream = await repository.store.backend.load(id, fingerprint=None, to_version=to_version)
    try:
        aggregate = repository._new(id)
        aggregate._fold(repository._serializer.decode_stream(id, stream.events))
    except Exception as error:
        told = f"{id!r} cannot be folded: {type(error).__name__}: {error}"
        raise InvalidAggregateState(told) from error
    return aggregate


async def judged(repository: Repository[Any], snapshot: Snapshot) -> tuple[Verdict, str]:
    """What a snapshot is worth, and why."""
    snapshots = repository._snapshots
    if snapshot.fingerprint != snapshots.fingerprint:
        return "foreign", ""
    if snapshot.version < 1:
        return "baseless", "0"
    try:
        aggregate = await refolded(repository, snapshot.aggregate_id, snapshot.version)
        if aggregate.version < snapshot.version:
            return "baseless", str(aggregate.version)
        field = snapshots.difference(snapshot, aggregate)
    except (InvalidAggregateState, SnapshotNotSupported) as error:
        return "unfoldable", str(error)
    except (ValueError, TypeError, RecursionError) as error:
        return "undecodable", str(error)
    return ("equal", "") if field is None else ("differs", f"its field {field}")


async def all_ids(ids: Ids, aggregate_type: str) -> AsyncIterator[str]:
    """All ids of one type, page by page."""
    after = ""
    while page := await ids(aggregate_type, after=after):
        for each in page:
            yield each
        after = page[-1]


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
