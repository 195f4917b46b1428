"""What is asked of a backend: a log of events, and snapshots."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from hitherto.application.alongside import Alongside, Timer
from hitherto.application.health import Health, Usage
from hitherto.application.records import (
    Append,
    LogPage,
    PlacedEvent,
    Snapshot,
    StoredEvent,
    Stream,
)


class EventStore(Protocol):
    """An append-only log of events, in which each aggregate has a stream of its own.

    Every method raises `EventStoreUnavailable` when the store cannot be reached.
    """

    async def open(self) -> None:
        """Connect, and make or migrate the tables. Doing it again does nothing.

        Raises:
            SchemaMismatch: The tables are newer than this code, or may not be migrated.
        """
        ...

    async def close(self) -> None:
        """Let go of all connections and files. Doing it again does nothing."""
        ...

    async def append(
        self, appends: Sequence[Append], *, alongside: Alongside | None = None
    ) -> tuple[int, ...]:
        """Append to one or several aggregates, all or nothing.

        An append whose leading events stand already under their own ids, at the head of the
        stream, is completed rather than refused: sending it again is harmless.

        Args:
            appends: What to append; it may be nothing where something is written alongside.
            alongside: What else the transaction writes. Where all of the events stand already,
                this was written together with them.

        Returns:
            For each append the position of its last event.

        Raises:
            AlreadyHandled: A message of `alongside` was handled before, or a timer does not stand
                as given; nothing was written.
            ProjectionSuperseded: A projection of `alongside` is not run inline in that version.
            HandlerFailed: The effects of `alongside` raised; nothing was written.
            AggregateVersionConflict: An aggregate is not at its expected version.
            AggregateIDMismatch: An aggregate is stored under another type.
            AggregateLocked: An open transaction holds an aggregate for longer than a moment.
            InvalidInput: An aggregate appears twice, or an event id is stored elsewhere.
        """
        ...

    async def import_events(self, events: Sequence[PlacedEvent]) -> int:
        """Write a part of a history, in the order given, all or nothing.

        An event that is stored already under its id and version is skipped. One that tells when
        it was stored elsewhere keeps that time.

        Returns:
            How many were written.

        Raises:
            AggregateVersionConflict: A version does not follow the one before it, or another
                event is stored under it.
            AggregateIDMismatch: An aggregate is stored under another type.
            AggregateLocked: An open transaction holds an aggregate for longer than a moment.
            InvalidInput: An event id is stored elsewhere.
        """
        ...

    async def load(
        self, aggregate_id: str, *, fingerprint: str | None, to_version: int | None = None
    ) -> Stream:
        """A snapshot and the events after it, in one round trip.

        Args:
            aggregate_id: The aggregate; one without events gives an empty stream.
            fingerprint: Which snapshot to use; None: none at all.
            to_version: Leave out what came later.
        """
        ...

    async def load_many(
        self, aggregate_ids: Sequence[str], *, fingerprint: str | None
    ) -> Mapping[str, Stream]:
        """`load` for many aggregates, in one round trip; those without events are left out."""
        ...

    async def read(
        self,
        aggregate_id: str,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        limit: int | None = None,
        backward: bool = False,
    ) -> Sequence[StoredEvent]:
        """Events of one aggregate, both bounds included; newest first if `backward`.

        Raises:
            InvalidInput: A bound or the limit makes no sense.
        """
        ...

    async def read_all(
        self,
        *,
        after: int = 0,
        limit: int = 1000,
        event_types: Sequence[str] | None = None,
        aggregate_types: Sequence[str] | None = None,
    ) -> LogPage:
        """The next page of the whole log.

        Reading on from each page's checkpoint gives every committed event that matches once, in
        order, whatever else the store is doing.

        Raises:
            InvalidInput: A bound or a filter makes no sense.
        """
        ...

    async def aggregate_ids(
        self, aggregate_type: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[str]:
        """The ids of one type of aggregate, in the order of their bytes; a page of them.

        Args:
            aggregate_type: The stored name.
            after: Leave out this id, and those before it.
            limit: The most.

        Raises:
            InvalidInput: A type, an id or a limit that makes no sense.
        """
        ...

    async def watermark(self) -> int:
        """The highest position up to which no event can appear any more."""
        ...

    async def wait(self, after: int) -> int:
        """Wait until the watermark is above `after`, however long that takes.

        It is told of appends by other processes, and looks by itself now and then.

        Returns:
            The watermark.

        Raises:
            EventStoreUnavailable: The store was closed; an outage is waited for.
        """
        ...

    async def handled(self, scope: str, keys: Sequence[str]) -> Collection[str]:
        """Which of these messages an append has marked as handled, through `Alongside`."""
        ...

    async def forget_handled(self, scope: str, *, before: datetime) -> int:
        """Drop marks of a scope that are older than a moment, 10,000 at most; returns how many."""
        ...

    async def due_timers(self, process: str, *, until: datetime, limit: int) -> Sequence[Timer]:
        """The timers of a process that are due, the earliest first."""
        ...

    async def health_check(self) -> Health:
        """The state of the store. It reports what is wrong; it does not raise."""
        ...

    def usage(self) -> Usage:
        """What of it is in use now. It costs no I/O, and may be asked from any thread."""
        ...


class SnapshotStore(Protocol):
    """Keeps at most one snapshot for each aggregate."""

    async def save_snapshot(self, snapshot: Snapshot, *, replacing: int | None = None) -> bool:
        """Keep `snapshot`, if none of its version or a later one is kept.

        Args:
            snapshot: What to keep.
            replacing: The version of a stored snapshot that was found unusable: if that one is
                still there, it is replaced whatever its version.

        Returns:
            Whether it is kept.
        """
        ...

    async def read_snapshot(self, aggregate_id: str) -> Snapshot | None:
        """The snapshot that is kept of this aggregate."""
        ...

    async def snapshot_ids(
        self, aggregate_type: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[str]:
        """The ids under which snapshots of one type are kept; see `EventStore.aggregate_ids`."""
        ...
