"""`replay`: snapshots built again from the events."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec

from hitherto.application.findings import Finding, Tally
from hitherto.application.records import Snapshot
from hitherto.application.refolding import (
    Progress,
    Verdict,
    all_of,
    damage,
    each_of,
    in_silence,
    judged,
    refolded,
)
from hitherto.application.repository import Repository
from hitherto.domain.identifiers import check_identifier
from hitherto.errors import (
    AggregateNotFound,
    InvalidAggregateState,
    InvalidInput,
    SnapshotNotSupported,
)

EXAMPLES = 1000

_WRONG: tuple[Verdict, ...] = (
    "baseless",
    "undecodable",
    "differs",
)


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay has found, and done.

    Attributes:
        aggregates: How many it went through.
        equal: Snapshots that are what their events tell; they stay.
        foreign: Snapshots that other code had made, or that are of another type.
        missing: Aggregates that had none, but as many events as call for one.
        wrong: Snapshots that no event bears out, cannot be decoded, or differ from their events.
        unfoldable: Aggregates whose events this code cannot fold, or whose state it cannot keep.
        taken: Snapshots that it took: in the place of those that were foreign or wrong, if there
            are events, and where one was missing.
        findings: Which ones were wrong or unfoldable, the first thousand of each kind.
    """

    aggregates: int
    equal: int
    foreign: int
    missing: int
    wrong: int
    unfoldable: int
    taken: int
    findings: tuple[Finding, ...]


async def replay(
    repository: Repository[Any],
    ids: Iterable[str] | None = None,
    *,
    dry_run: bool = False,
    progress: Progress = in_silence,
) -> Replayed:
    """Compare snapshots with the fold of their events, and replace those that are of no use.

    A snapshot that equals the fold stays. An aggregate without one gets one if it has as many
    events as the store's snapshot threshold. It may run while the store is in use.

    Args:
        repository: Of which kind of aggregate, and in which store.
        ids: Which aggregates; if left out, all of the kind that have a first event or a snapshot.
        dry_run: Compare only.
        progress: Told after each aggregate.

    Raises:
        AggregateNotFound: One of the ids has neither an event nor a snapshot.
        EventStoreUnavailable: The store cannot be reached.
        InvalidInput: An id cannot be one, or a single id was given.
        SnapshotNotSupported: The state has a field whose type cannot be encoded.
    """
    if repository._snapshots.unsupported is not None:
        raise SnapshotNotSupported(repository._snapshots.unsupported)
    run = _Replay(repository, dry_run=dry_run)
    chosen = None if ids is None else _checked(ids)
    total = None if chosen is None else len(chosen)

    async def work(id: str) -> None:
        await run.one(id)
        progress("aggregates", run.aggregates, total)

    await each_of(_ids(repository, chosen), work)
    return run.result()


class _Replay:
    """One run, and what it has found so far."""

    def __init__(self, repository: Repository[Any], *, dry_run: bool) -> None:
        self._repository = repository
        self._dry_run = dry_run
        self._threshold = repository.store.snapshot_threshold
        self._verdicts: Counter[Verdict] = Counter()
        self._tally = Tally(EXAMPLES)
        self.aggregates = 0
        self.taken = 0

    async def one(self, id: str) -> None:
        """Judge the snapshot of one aggregate, and replace it if it is of no use."""
        snapshot = await self._repository.store.backend.read_snapshot(id)
        verdict: Verdict = "missing"
        detail = ""
        if snapshot is not None:
            verdict, detail = await judged(self._repository, snapshot)
        try:
            due = verdict in {"equal", "unfoldable"} or await self._take(id, snapshot)
        except (InvalidAggregateState, SnapshotNotSupported) as error:
            due, verdict, detail = True, "unfoldable", str(error)
        self.aggregates += 1
        if due:
            self._count(verdict, id, snapshot, detail)

    async def _take(self, id: str, snapshot: Snapshot | None) -> bool:
        """Take a snapshot from the events alone, if one is due."""
        aggregate = await refolded(self._repository, id)
        if not aggregate.version:
            if snapshot is None:
                raise AggregateNotFound(id, self._repository._type)
            return True
        if snapshot is None and aggregate.version < self._threshold:
            return False
        if not self._dry_run:
            replacing = None if snapshot is None else snapshot.version
            kept = await self._repository._snapshots.take(aggregate, replacing=replacing)
            self.taken += kept
        return True

    def _count(self, verdict: Verdict, id: str, snapshot: Snapshot | None, detail: str) -> None:
        self._verdicts[verdict] += 1
        kind = damage(verdict, snapshot, detail)
        if kind is not None:
            version = None if snapshot is None else snapshot.version
            self._tally.add(kind, id, version, detail=detail)

    def result(self) -> Replayed:
        """What there is to tell in the end."""
        found = self._verdicts
        return Replayed(
            aggregates=self.aggregates,
            equal=found["equal"],
            foreign=found["foreign"],
            missing=found["missing"],
            wrong=sum(found[each] for each in _WRONG),
            unfoldable=found["unfoldable"],
            taken=self.taken,
            findings=self._tally.findings(),
        )


def _checked(ids: Iterable[str]) -> list[str]:
    if isinstance(ids, str):
        raise InvalidInput(f"ids={ids!r}: give a list of ids, such as [{ids!r}]")
    return list(dict.fromkeys(check_identifier("aggregate id", each) for each in ids))


async def _ids(repository: Repository[Any], chosen: list[str] | None) -> AsyncIterator[str]:
    if chosen is None:
        async for each in all_of(repository):
            yield each
    for each in chosen or ():
        yield each
