"""`Model`: what a store should do, in plain Python, so naive that it can be read at a glance."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from hitherto.application.records import Append, NewEvent, Snapshot

Outcome = Literal["stored", "conflict", "mismatch", "taken id"]


@dataclass(frozen=True)
class Fact:
    """One stored event."""

    aggregate_id: str
    aggregate_type: str
    version: int
    event: NewEvent

    def row(self) -> tuple[Any, ...]:
        """What a load gives of it."""
        event = self.event
        data = json.loads(event.data, parse_float=Decimal)
        return self.version, event.event_type, event.schema_version, data, self.aggregate_type

    def whole(self) -> tuple[Any, ...]:
        """What a read gives of it."""
        event = self.event
        metadata = None if event.metadata is None else json.loads(event.metadata)
        return (*self.row(), self.aggregate_id, event.event_id, metadata, event.occurred_at)


@dataclass
class Model:
    """A log and some snapshots; every question is answered by going through the whole log."""

    log: list[Fact] = field(default_factory=list[Fact])
    snapshots: dict[str, Snapshot] = field(default_factory=dict[str, Snapshot])

    def stream(self, aggregate_id: str) -> list[Fact]:
        """The events of one aggregate."""
        return [fact for fact in self.log if fact.aggregate_id == aggregate_id]

    def append(self, group: Sequence[Append]) -> set[Outcome]:
        """Store the group; or leave all as it is, and tell what could be wrong with it."""
        wrong: set[Outcome] = {outcome for append in group for outcome in self._wrong(append)}
        if wrong:
            return wrong
        for append in group:
            head = len(self.stream(append.aggregate_id))
            for version, event in enumerate(append.events, append.expected_version + 1):
                if version > head:
                    fact = Fact(append.aggregate_id, append.aggregate_type, version, event)
                    self.log.append(fact)
        stored: set[Outcome] = {"stored"}
        return stored

    def last(self, append: Append) -> int:
        """The place in the log of an append's last event."""
        ids = [fact.event.event_id for fact in self.log]
        return ids.index(append.events[-1].event_id)

    def save_snapshot(self, snapshot: Snapshot, replacing: int | None) -> bool:
        """Keep a later one, or one in the place of that which was found unusable."""
        kept = self.snapshots.get(snapshot.aggregate_id)
        if kept is None or kept.version < snapshot.version or kept.version == replacing:
            self.snapshots[snapshot.aggregate_id] = snapshot
            return True
        return False

    def load(
        self, aggregate_id: str, fingerprint: str | None, to_version: int | None
    ) -> tuple[Snapshot | None, int | None, list[tuple[Any, ...]]]:
        """The usable snapshot, the version of an unusable one, and the rows."""
        kept = self.snapshots.get(aggregate_id)
        known = (
            kept is not None
            and fingerprint is not None
            and (to_version is None or kept.version <= to_version)
        )
        snapshot = kept if kept and known and kept.fingerprint == fingerprint else None
        unusable = kept.version if kept and known and snapshot is None else None
        first = snapshot.version if snapshot else 1
        rows = [fact.row() for fact in self.read(aggregate_id, first, to_version)]
        return snapshot, unusable, rows

    def read(self, aggregate_id: str, low: int, high: int | None) -> list[Fact]:
        """The events of one aggregate between two versions."""
        return [
            fact
            for fact in self.stream(aggregate_id)
            if low <= fact.version and (high is None or fact.version <= high)
        ]

    def matching(
        self, start: int, event_types: list[str] | None, aggregate_types: list[str] | None
    ) -> list[Fact]:
        """The events of the log from a place on that a filter lets through."""
        return [
            fact
            for fact in self.log[start:]
            if (event_types is None or fact.event.event_type in event_types)
            and (aggregate_types is None or fact.aggregate_type in aggregate_types)
        ]

    def _wrong(self, append: Append) -> set[Outcome]:
        stream = self.stream(append.aggregate_id)
        if any(fact.aggregate_type != append.aggregate_type for fact in stream):
            return self._taken([event.event_id for event in append.events], or_else="mismatch")
        stored = [fact.event.event_id for fact in stream[append.expected_version :]]
        sent = [event.event_id for event in append.events]
        if stored[: len(sent)] == sent:
            return set()
        if append.expected_version > len(stream) or sent[: len(stored)] != stored:
            return self._taken(sent, or_else="conflict")
        return self._taken(sent[len(stored) :])

    def _taken(self, ids: Sequence[UUID], *, or_else: Outcome | None = None) -> set[Outcome]:
        known = {fact.event.event_id for fact in self.log}
        taken: set[Outcome] = {"taken id"} if known.intersection(ids) else set()
        return taken if or_else is None else {*taken, or_else}
