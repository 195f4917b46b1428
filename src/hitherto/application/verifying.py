"""`verify`: whether a store is sound."""

import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

import msgspec

from hitherto.application.chain.checking import Chains
from hitherto.application.chain.signed import SignedCheckpoint, compare
from hitherto.application.codec import Serializer
from hitherto.application.findings import Finding, Kind, Tally
from hitherto.application.ports import Backend
from hitherto.application.records import StoredEvent
from hitherto.application.refolding import (
    Progress,
    all_ids,
    damage,
    each_of,
    in_silence,
    judged,
)
from hitherto.application.repository import Repository
from hitherto.application.selection import PAGE
from hitherto.application.store import Store
from hitherto.domain.aggregate import Aggregate
from hitherto.errors import InvalidInput

_UNREADABLE: frozenset[Kind] = frozenset({"file-damaged", "value-malformed", "snapshot-malformed"})
_BASELESS: frozenset[Kind] = frozenset(
    {"snapshot-without-events", "snapshot-ahead", "snapshot-out-of-range"}
)


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification has gone through, and found.

    Attributes:
        aggregate_types: The kinds of aggregate whose events and snapshots were checked; without
            any, only what the database can tell was.
        events: How many events were read, and decoded where their type is known.
        snapshots: How many snapshots were compared with the fold of their events.
        foreign: How many were left out, since other code made them and this code won't use them.
        unread: Whether events and snapshots were left out, since some cannot be read at all.
        chained: How many events are in hash chains.
        unchained: How many are not, though they were stored after the first one that is.
        erasures: How many times the payload of an event was replaced.
        findings: What is wrong, the gravest first.
    """

    aggregate_types: tuple[str, ...]
    events: int = 0
    snapshots: int = 0
    foreign: int = 0
    unread: bool = False
    chained: int = 0
    unchained: int = 0
    erasures: int = 0
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


async def verify(
    store: Store,
    aggregates: Iterable[Callable[[str], Aggregate[Any]]] = (),
    *,
    sample: int | None = None,
    checkpoint: SignedCheckpoint | None = None,
    progress: Progress = in_silence,
) -> Verification:
    """Look whether all that is stored is as it should be. Nothing is changed.

    The database looks for damage by itself. Then hash chains, if there are any, are computed again.
    Then, if the aggregates are told, the log is read as far as it reached at the start, and each
    event decoded; and each snapshot that they would use is compared with the fold of its events.
    It may run while the store is in use.

    Args:
        store: An open one.
        aggregates: All kinds that are stored: the classes, or instances of `Decider`.
        sample: How many snapshots of each kind to compare, drawn at random; all if left out.
        checkpoint: What the log came to once, its signature checked; compared with what it is now.
        progress: Told of each step.

    Raises:
        EventStoreUnavailable: The store cannot be reached.
        InvalidInput: `sample` is below 1, what is no aggregate was given, or two that bear one
            stored name.
    """
    if sample is not None and sample < 1:
        raise InvalidInput(f"sample={sample}: give at least 1, or leave it out")
    repositories = _by_type(store, aggregates)
    progress("structure", 0, None)
    found = tuple(await store.backend.inspect())
    progress("structure", 1, 1)
    if _UNREADABLE.intersection(finding.kind for finding in found):
        return Verification(aggregate_types=tuple(repositories), unread=True, findings=found)
    erasures = await store.backend.erasures.erasures()
    chains = Chains(erasures)
    await chains.check(store.backend.chain, progress)
    if checkpoint is not None:
        await compare(store.backend.chain, checkpoint, chains.tally, progress)
    log = _Log({name: each._serializer for name, each in repositories.items()})
    snapshots = _Snapshots(sample, progress, found)
    if repositories:
        await log.read(store.backend, progress)
    for repository in repositories.values():
        await snapshots.compare(repository)
    return Verification(
        aggregate_types=tuple(repositories),
        events=log.events,
        snapshots=snapshots.compared,
        foreign=snapshots.foreign,
        chained=chains.chained,
        unchained=chains.unchained,
        erasures=len(erasures),
        findings=(
            *found,
            *chains.tally.findings(),
            *log.findings(),
            *snapshots.tally.findings(),
        ),
    )


class _Log:
    """Reads the whole log, page by page, and decodes every event."""

    def __init__(self, serializers: Mapping[str, Serializer[Any]]) -> None:
        self._serializers = serializers
        self._tally = Tally()
        # By name, the first event and the number of them.
        self._unknown_aggregates: dict[str, tuple[StoredEvent, int]] = {}
        self._unknown_events: dict[tuple[str, str], tuple[StoredEvent, int]] = {}
        self._position = 0
        self.events = 0

    async def read(self, backend: Backend, progress: Progress) -> None:
        """Read it up to where it reaches now."""
        end = await backend.watermark()
        after = 0
        while after < end:
            page = await backend.read_all(after=after, limit=PAGE)
            for event in page.events:
                self._check(event)
            self.events += len(page.events)
            after = page.checkpoint
            progress("events", min(after, end), end)

    def findings(self) -> tuple[Finding, ...]:
        """What was found, and the types that are unknown."""
        for name, (first, count) in self._unknown_aggregates.items():
            self._add("aggregate-type-unknown", first, f"{name!r} ({count} events)")
        for (owner, name), (first, count) in self._unknown_events.items():
            self._add("event-type-unknown", first, f"{name!r} of {owner!r} ({count} events)")
        return self._tally.findings()

    def _check(self, event: StoredEvent) -> None:
        if event.position <= self._position:
            self._add("position-disordered", event, self._position)
        self._position = event.position
        serializer = self._serializers.get(event.aggregate_type)
        if serializer is None:
            first, count = self._unknown_aggregates.get(event.aggregate_type, (event, 0))
            self._unknown_aggregates[event.aggregate_type] = first, count + 1
        elif not serializer.definition.knows(event.event_type):
            name = event.aggregate_type, event.event_type
            first, count = self._unknown_events.get(name, (event, 0))
            self._unknown_events[name] = first, count + 1
        elif _is_object(event.data) and _is_object(event.metadata):  # Else it is told already.
            try:
                serializer.recorded(event)
            except Exception as error:  # noqa: BLE001  # a codec's own hook may raise any
                self._add("event-undecodable", event, str(error))

    def _add(self, kind: Kind, event: StoredEvent, detail: object) -> None:
        self._tally.add(kind, event.aggregate_id, event.version, event.position, detail)


class _Snapshots:
    """Compares snapshots with the fold of their events."""

    def __init__(self, sample: int | None, progress: Progress, told: Iterable[Finding]) -> None:
        self._sample = sample
        self._progress = progress
        self._told = [finding for finding in told if finding.kind in _BASELESS]
        self.tally = Tally()
        self.compared = 0
        self.foreign = 0

    async def compare(self, repository: Repository[Any]) -> None:
        """Those of one kind."""

        async def work(id: str) -> None:
            await self._compare_one(repository, id)
            self._progress("snapshots", self.compared + self.foreign, None)

        ids = all_ids(repository.store.backend.snapshot_ids, repository._type)
        await each_of(ids if self._sample is None else drawn(ids, self._sample), work)

    async def _compare_one(self, repository: Repository[Any], id: str) -> None:
        snapshot = await repository.store.backend.read_snapshot(id)
        if snapshot is None:
            return
        verdict, detail = await judged(repository, snapshot)
        if verdict == "foreign":
            self.foreign += 1
            return
        self.compared += 1
        kind = damage(verdict, snapshot, detail)
        if kind is not None and not (verdict == "baseless" and self._is_told(id)):
            self.tally.add(kind, id, snapshot.version, detail=detail)

    def _is_told(self, id: str) -> bool:
        """Whether the database has told that no event bears the snapshot out, or may have."""
        return any(
            finding.count > len(finding.places)  # Only the first of them are known.
            or any(place.aggregate_id == id for place in finding.places)
            for finding in self._told
        )


async def drawn(ids: AsyncIterator[str], count: int) -> AsyncIterator[str]:
    """So many ids, each as likely as any other; no more than that are kept in memory."""
    kept: list[str] = []
    number = 0
    async for each in ids:
        number += 1
        if number <= count:
            kept.append(each)
        elif (place := random.randrange(number)) < count:  # noqa: S311  # no secret
            kept[place] = each
    for each in kept:
        yield each


def _by_type(
    store: Store, aggregates: Iterable[Callable[[str], Aggregate[Any]]]
) -> dict[str, Repository[Any]]:
    repositories: dict[str, Repository[Any]] = {}
    for each in aggregates:
        repository = Repository(store, each, snapshot_every=None)
        rival = repositories.setdefault(repository._type, repository)
        if rival._definition is not repository._definition:
            names = [one._definition.owner.__qualname__ for one in (rival, repository)]
            raise InvalidInput(
                f"{names[0]} and {names[1]} bear one stored name, {repository._type!r}: give the "
                "one whose events are stored"
            )
    return repositories


def _is_object(text: str | None) -> bool:
    return text is None or text.lstrip().startswith("{")
