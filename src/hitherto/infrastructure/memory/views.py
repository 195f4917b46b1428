"""What is kept of a projection: partitions, workers, parked events and documents."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from hitherto.application.checkpoints import (
    Document,
    Generation,
    ParkedEvent,
    Progress,
    ProjectionStatus,
)
from hitherto.application.ports.personal import TextPlace
from hitherto.application.records import StoredEvent


@dataclass(slots=True)
class Partition:
    """The checkpoint of one part of the log, and who may move it."""

    position: int = 0
    event_id: UUID | None = None
    handled: int = 0
    attempts: int = 0
    silent_until: int = 0
    token: int = 0
    worker: str | None = None
    leased_until: float = 0.0
    updated_at: datetime | None = None

    def let_go(self) -> None:
        """Nobody holds it any more."""
        self.worker, self.leased_until = None, 0.0


@dataclass(slots=True)
class View:
    """A generation that is not retired, with all that belongs to it."""

    generation: Generation
    partitions: list[Partition]
    paused: bool = False
    inline: bool = False
    workers: dict[str, float] = field(default_factory=dict[str, float])
    parked: dict[int, ParkedEvent] = field(default_factory=dict[int, ParkedEvent])
    kept: dict[tuple[str, str, int], str] = field(default_factory=dict[tuple[str, str, int], str])

    def position(self) -> int:
        """The lowest checkpoint."""
        return min(each.position for each in self.partitions)

    def reached(self, log: Sequence[StoredEvent]) -> int:
        """Up to where it is complete; what appends run is never behind."""
        return len(log) if self.inline else self.position()

    def status(self, log: Sequence[StoredEvent]) -> ProjectionStatus:
        """How far it has come in the log."""
        generation, position, now = self.generation, self.reached(log), time.time()
        behind = log[position] if position < len(log) else None
        moved = [each.updated_at for each in self.partitions if each.updated_at is not None]
        return ProjectionStatus(
            name=generation.name,
            generation=generation.number,
            version=generation.version,
            state=generation.state,
            paused=self.paused,
            partitions=generation.partitions,
            position=position,
            handled=sum(each.handled for each in self.partitions),
            lag_events=max(len(log) - position, 0),
            lag_seconds=max(now - behind.stored_at.timestamp(), 0.0) if behind else 0.0,
            parked=len(self.parked),
            owners=self.owners(now),
            updated_at=max(moved, default=None),
        )

    def texts(self) -> Iterator[tuple[TextPlace, str]]:
        """Its documents and errors, each with its place."""
        name = self.generation.name
        for (_, key, _), document in self.kept.items():
            place = TextPlace(table="projection_documents", name=name, key=key)
            yield place, f"{key} {document}"
        for position, parked in self.parked.items():
            place = TextPlace(table="projection_parked_events", name=name, key=str(position))
            yield place, parked.error or ""

    def matching(self, held: Mapping[int, int]) -> list[int]:
        """The partitions whose token is still the one that is held."""
        return [each for each, token in held.items() if self.partitions[each].token == token]

    def take(self, worker: str, now: float, count: int, mine: list[int]) -> list[int]:
        """Take so many of the partitions that nobody holds, the lowest first."""
        free = [
            number
            for number, each in enumerate(self.partitions)
            if number not in mine and each.leased_until < now
        ]
        taken = free[: max(count, 0)]
        for number in taken:
            self.partitions[number].token += 1
            self.partitions[number].worker = worker
        return taken

    def move(self, progress: Progress, event_id: UUID | None) -> None:
        """Move checkpoints to a position, at which this event is."""
        for number in progress.leases:
            each = self.partitions[number]
            if progress.position > each.position:
                each.position, each.event_id = progress.position, event_id
            each.handled += progress.handled.get(number, 0)
            each.attempts = int(progress.begun)
            each.leased_until = time.time() + progress.lease
            each.updated_at = datetime.now(UTC)

    def may_replace(self, reached: int, *, side_effects: bool) -> bool:
        """Whether the checkpoints allow to switch to it from one that has come so far."""
        if side_effects:
            return max(each.position for each in self.partitions) <= reached
        return self.position() >= reached

    def leave_effects_to(self, old: "View", reached: int) -> None:
        """Stay silent up to where the old one has come, in each partition if they are the same."""
        same = len(old.partitions) == len(self.partitions)
        for number, each in enumerate(self.partitions):
            each.silent_until = old.partitions[number].position if same else reached

    def fence_off(self) -> None:
        """Whoever holds a partition has to look again."""
        for each in self.partitions:
            each.token += 1
            each.let_go()

    def owners(self, now: float) -> dict[str, int]:
        """How many partitions each worker holds."""
        found: dict[str, int] = {}
        for each in self.partitions:
            if each.worker is not None and each.leased_until > now:
                found[each.worker] = found.get(each.worker, 0) + 1
        return found

    def keep(self, document: Document) -> None:
        """Write a document, or remove it."""
        place = (document.collection, document.key, document.partition)
        if document.data is None:
            self.kept.pop(place, None)
        else:
            self.kept[place] = document.data

    def under(self, collection: str, key: str) -> Iterator[Document]:
        """Those of a collection under one key, one a partition."""
        for partition in range(len(self.partitions)):
            data = self.kept.get((collection, key, partition))
            if data is not None:
                yield Document(collection=collection, key=key, partition=partition, data=data)

    def documents(self, collection: str) -> Iterator[Document]:
        """All of a collection, in no order."""
        for (found, key, partition), data in self.kept.items():
            if found == collection:
                yield Document(collection=collection, key=key, partition=partition, data=data)
