"""`compare`: which aggregates two versions of the code fold differently, and since which event."""

import asyncio
from bisect import insort
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec

from hitherto.application.folding import Moment, Outcome
from hitherto.application.ports import Backend
from hitherto.application.refolding import Progress, in_silence

_EVENTS = 5000  # that a batch is to come to, for what is loaded at once is held in memory
_FIRST, _MOST = 16, 1000  # aggregates in a batch
_MOMENTS = 50  # states that are asked for at once
_BATCHES = 2  # that a pair works on, so that its faster side need not wait for the other one


class Side(Protocol):
    """Folds aggregates of one kind with one version of the code, as `Folding` does."""

    async def outcomes(self, ids: Sequence[str]) -> Sequence[Outcome]:
        """What aggregates come to."""
        ...

    async def traces(self, ids: Sequence[str]) -> Sequence[Sequence[bytes]]:
        """The digest after each event of aggregates."""
        ...

    async def moments(self, places: Sequence[tuple[str, int]]) -> Sequence[Moment]:
        """Aggregates, each at the version that stands beside its id."""
        ...


class Pair(NamedTuple):
    """One side of each version."""

    old: Side
    new: Side


class FieldChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One field, as each version has it; left out where it has none.

    Attributes:
        name: The field's.
        old: The JSON of the old version.
        new: That of the new one.
    """

    name: str
    old: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    new: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """An aggregate that two versions of the code fold differently.

    Attributes:
        aggregate_id: Which one.
        version: The first version at which they differ.
        event_type: The stored name of the event that leads to it.
        fields: What differs there; nothing if one of them fails, or if a version gives another
            state each time.
        old_error: Why the old version fails there.
        new_error: Why the new one does.
        position: Of the event; known once the aggregate is reported.
        stored_at: When the event was stored.
        occurred_at: When it happened.
    """

    aggregate_id: str
    version: int
    event_type: str
    fields: tuple[FieldChange, ...] = ()
    old_error: str | None = None
    new_error: str | None = None
    position: int | None = None
    stored_at: datetime | None = None
    occurred_at: datetime | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An aggregate that both versions fail to fold, alike.

    Attributes:
        aggregate_id: Which one.
        version: The last version that could be folded.
        error: Why the new one fails.
    """

    aggregate_id: str
    version: int
    error: str


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """What came of comparing the aggregates of one kind.

    Attributes:
        aggregate_type: The stored name.
        aggregates: How many were compared.
        events: How many events each version has folded for it.
        differing: How many aggregates differ.
        old_fails: How many of these the old version fails to fold.
        new_fails: How many of these the new one fails to fold.
        both_fail: How many aggregates both fail to fold alike, which is no difference.
        fields: In how many aggregates a field differs when they first do.
        event_types: In how many aggregates an event of a type leads to the first difference.
        differences: The first of those that differ, by id.
        failures: The first of those that both fail to fold.
    """

    aggregate_type: str
    aggregates: int
    events: int
    differing: int
    old_fails: int
    new_fails: int
    both_fail: int
    fields: dict[str, int]
    event_types: dict[str, int]
    differences: tuple[Difference, ...]
    failures: tuple[Failure, ...]


async def compare(
    backend: Backend,
    aggregate_type: str,
    pairs: Sequence[Pair],
    ids: AsyncIterator[str],
    *,
    show: int = 10,
    total: int | None = None,
    progress: Progress = in_silence,
) -> Compared:
    """Fold aggregates with two versions of the code, and look which come to different states.

    Only the last states are compared: where they are equal, so are the aggregates. Memory is
    bounded, by the longest aggregate. The store may be in use.

    Args:
        backend: Tells where an event stands.
        aggregate_type: The stored name of the kind.
        pairs: They share the work.
        ids: Which aggregates.
        show: How many of those that differ are told of in full.
        total: How many ids there are, if that is known.
        progress: Told after each batch.

    Raises:
        EventStoreUnavailable: The store cannot be reached.
    """
    run = _Comparison(_Batches(ids), show)

    async def work(pair: Pair) -> None:
        while batch := await run.batches.take():
            await run.compare(pair, batch)
            progress(aggregate_type, run.aggregates, total)

    try:
        async with asyncio.TaskGroup() as tasks:
            for pair in [each for each in pairs for _ in range(_BATCHES)]:
                tasks.create_task(work(pair))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    differences = [await _placed(backend, each) for _, each in run.differences]
    return Compared(
        aggregate_type=aggregate_type,
        aggregates=run.aggregates,
        events=run.events,
        differing=run.counts["differing"],
        old_fails=run.counts["old_fails"],
        new_fails=run.counts["new_fails"],
        both_fail=run.counts["both_fail"],
        fields=dict(run.fields.most_common()),
        event_types=dict(run.event_types.most_common()),
        differences=tuple(differences),
        failures=tuple(each for _, each in run.failures),
    )


class _Batches:
    """Deals ids; so many at once that their events fill some memory, and not more."""

    def __init__(self, ids: AsyncIterator[str]) -> None:
        self._ids = ids
        self._turn = asyncio.Lock()
        self._size = _FIRST

    async def take(self) -> list[str]:
        """The next ids; none at the end."""
        batch: list[str] = []
        async with self._turn:
            while len(batch) < self._size and (each := await anext(self._ids, None)) is not None:
                batch.append(each)
        return batch

    def learn(self, aggregates: int, events: int) -> None:
        """From how many events some aggregates had, how many aggregates to deal next."""
        self._size = max(1, min(_MOST, 2 * self._size, _EVENTS * aggregates // max(events, 1)))


class _Comparison:
    """One run, and what it has found so far."""

    def __init__(self, batches: _Batches, show: int) -> None:
        self.batches = batches
        self._show = show
        self.aggregates = 0
        self.events = 0
        self.counts: Counter[str] = Counter()
        self.fields: Counter[str] = Counter()
        self.event_types: Counter[str] = Counter()
        self.differences: list[tuple[str, Difference]] = []
        self.failures: list[tuple[str, Failure]] = []

    async def compare(self, pair: Pair, ids: Sequence[str]) -> None:
        """Those of one batch."""
        old, new = await asyncio.gather(pair.old.outcomes(ids), pair.new.outcomes(ids))
        differing: dict[str, tuple[Outcome, Outcome]] = {}
        for each, ours, theirs in zip(ids, old, new, strict=True):
            if (ours.version, ours.digest) != (theirs.version, theirs.digest):
                differing[each] = ours, theirs
            elif theirs.error is not None:
                self.counts["both_fail"] += 1
                failure = Failure(aggregate_id=each, version=theirs.version, error=theirs.error)
                self._keep(self.failures, each, failure)
        if differing:
            await self._explain(pair, differing)
        events = sum(
            max(ours.version, theirs.version) for ours, theirs in zip(old, new, strict=True)
        )
        self.batches.learn(len(ids), events)
        self.aggregates += len(ids)
        self.events += events

    async def _explain(self, pair: Pair, differing: dict[str, tuple[Outcome, Outcome]]) -> None:
        """Find out since when they differ, and in what."""
        ids = list(differing)
        traces = await asyncio.gather(pair.old.traces(ids), pair.new.traces(ids))
        places: list[tuple[str, int]] = []
        for each, old, new in zip(ids, *traces, strict=True):
            version = _parting(old, new)
            if version is None:
                version = _unsteady(*differing[each])
            if version is not None:  # Else an event was appended between the two folds.
                places.append((each, version))
        for first in range(0, len(places), _MOMENTS):
            some = places[first : first + _MOMENTS]
            moments = await asyncio.gather(pair.old.moments(some), pair.new.moments(some))
            for place, before, after in zip(some, *moments, strict=True):
                self._count(_difference(*place, before, after))

    def _count(self, difference: Difference) -> None:
        self.counts["differing"] += 1
        self.counts["old_fails"] += difference.old_error is not None
        self.counts["new_fails"] += difference.new_error is not None
        self.fields.update(change.name for change in difference.fields)
        self.event_types[difference.event_type] += 1
        self._keep(self.differences, difference.aggregate_id, difference)

    def _keep(self, kept: list[tuple[str, Any]], id: str, what: object) -> None:
        """Keep the first by id, in whichever order they are found."""
        insort(kept, (id, what), key=lambda each: each[0])
        del kept[self._show :]


def _parting(old: Sequence[bytes], new: Sequence[bytes]) -> int | None:
    """The first version at which two traces differ, as far as both of them go."""
    both = enumerate(zip(old, new, strict=False), 1)
    return next((version for version, (ours, theirs) in both if ours != theirs), None)


def _unsteady(ours: Outcome, theirs: Outcome) -> int | None:
    """The version at which code gives another state, or fails, one time and not the other."""
    failed = [each.version + 1 for each in (ours, theirs) if each.error is not None]
    if ours.version == theirs.version or failed:
        return min([*failed, max(ours.version, theirs.version)])
    return None


def _difference(id: str, version: int, old: Moment, new: Moment) -> Difference:
    changes: list[FieldChange] = []
    if old.error is None and new.error is None:
        for name in sorted({*old.fields, *new.fields}):
            ours = old.fields.get(name, msgspec.UNSET)
            theirs = new.fields.get(name, msgspec.UNSET)
            if ours is msgspec.UNSET or theirs is msgspec.UNSET or bytes(ours) != bytes(theirs):
                changes.append(FieldChange(name=name, old=ours, new=theirs))
    return Difference(
        aggregate_id=id,
        version=version,
        event_type=old.event_type or new.event_type,
        fields=tuple(changes),
        old_error=old.error,
        new_error=new.error,
    )


async def _placed(backend: Backend, difference: Difference) -> Difference:
    """With where its event stands, and when that was."""
    version = difference.version
    found = await backend.read(
        difference.aggregate_id, from_version=max(version, 1), to_version=max(version, 1)
    )
    if not found:
        return difference
    return msgspec.structs.replace(
        difference,
        position=found[0].position,
        stored_at=found[0].stored_at,
        occurred_at=found[0].occurred_at,
    )
