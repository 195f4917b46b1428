"""What the application asks of a backend, and of its surroundings.

A backend is any class with these methods; `hitherto.testing.StoreContract` is the test that it
must pass.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from hitherto.application.checkpoints import (
    Attendance,
    Change,
    Document,
    Generation,
    ParkedEvent,
    Progress,
    ProjectionStatus,
    Work,
)
from hitherto.application.findings import Finding
from hitherto.application.health import Health, Usage
from hitherto.application.records import (
    Alongside,
    Append,
    LogPage,
    PlacedEvent,
    Snapshot,
    StoredEvent,
    Stream,
    Timer,
)

Clock = Callable[[], datetime]
"""Tells the time, with a time zone."""

IdFactory = Callable[[], UUID]
"""Makes event ids: unique, and best in rising order (UUIDv7)."""


class Codec(Protocol):
    """Turns values into JSON text and back."""

    def encode(self, value: Any) -> str:
        """`value` as JSON text.

        Raises:
            EventSerializationFailed: It cannot be stored and restored unchanged.
        """
        ...

    def decoder(self, type: Any) -> Callable[[str], Any]:
        """A function that makes a `type` of JSON text; it raises ValueError on other text."""
        ...


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

        An event that is stored already under its id and version is skipped.

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


class Checkpoints(Protocol):
    """Keeps how far each projection has come, who works on it, and the documents of its views.

    Every method raises `EventStoreUnavailable` when the store cannot be reached.
    """

    async def prepare(
        self, name: str, *, version: int, partitions: int, rebuild: bool, setup: Change
    ) -> Generation:
        """The generation that code of this version is to work on; made if there is none.

        The first one is active at once. A higher version, or a rebuild, fills one beside the
        active one, or goes on with the one that is being filled; one of a lower version is
        retired.

        Args:
            name: The projection's.
            version: Of its code.
            partitions: Of a new generation; an old one keeps its own.
            rebuild: Fill one beside the active one, though that has this version.
            setup: Is called in the transaction that makes one, with the generation that it
                retires, if any.

        Raises:
            ProjectionSuperseded: A higher version is active, or is being filled.
        """
        ...

    async def take_inline(self, name: str, *, version: int, setup: Change) -> bool:
        """Have a projection run by appends from now on, in their transactions; by no worker.

        Appends that run it, and `switch`, wait for the end of this, as this waits for theirs.

        Args:
            name: The projection's.
            version: Of its code.
            setup: As in `prepare`; for the first generation.

        Returns:
            Whether it is; not if its checkpoint is behind the log, or its view is of a lower
            version.

        Raises:
            ProjectionSuperseded: Its view is of a higher version.
        """
        ...

    async def attend(
        self, generation: Generation, worker: str, *, lease: float, held: Mapping[int, int]
    ) -> Attendance:
        """Say that a worker lives, renew what it holds, and take what is free up to its share.

        Args:
            generation: What it works on.
            worker: Its name, unique among all processes.
            lease: Seconds until others may take over; by the store's clock.
            held: The token of each partition that it holds.

        Returns:
            What it holds now; partitions that were lost are left out.
        """
        ...

    async def begin(self, generation: Generation, held: Mapping[int, int]) -> None:
        """Count an attempt at what follows the checkpoints, before it is made.

        Raises:
            LeaseLost: A partition was taken over.
        """
        ...

    async def advance(self, progress: Progress, work: Work | None = None) -> None:
        """Run `work` and move checkpoints in one transaction, all or nothing.

        Raises:
            LeaseLost: A partition was taken over, or has moved; the generation is retired; or an
                event is parked no more.
            HandlerFailed: `work` raised.
        """
        ...

    async def release(
        self, generation: Generation, worker: str, held: Mapping[int, int], *, leave: bool
    ) -> None:
        """Let partitions go at once; the attempt that is under way there does not count.

        Args:
            generation: What it worked on.
            worker: Who.
            held: The token of each partition.
            leave: Whether the worker takes no further part.
        """
        ...

    async def switch(self, generation: Generation, *, side_effects: bool, finish: Change) -> bool:
        """Make a generation that was filled the active one, in one transaction; retire the other.

        If the other was run by appends, so is this one from now on.

        Args:
            generation: The new one.
            side_effects: Whether it has handlers that the old one ran up to its own checkpoint;
                then the new one may not be past that, and is silent up to there. Without them it
                may not be behind.
            finish: Is called in that transaction, with the generation that was active.

        Returns:
            Whether it was done; not if the checkpoints do not fit.
        """
        ...

    async def reset(self, name: str, *, setup: Change) -> bool:
        """Begin anew with the active generation: from the first event, with no documents.

        Args:
            name: The projection's.
            setup: Is called in that transaction, with the generation as the one that goes.

        Returns:
            Whether the projection is known.
        """
        ...

    async def pause(self, name: str, *, paused: bool) -> bool:
        """Let nobody work on a projection, or let them again; returns whether it is known."""
        ...

    async def status(self, name: str | None = None) -> Sequence[ProjectionStatus]:
        """Of every generation that is not retired; of one projection, if named."""
        ...

    async def position(self, name: str) -> int | None:
        """The lowest checkpoint of the active generation; None: it is not known."""
        ...

    async def parked(self, name: str, generation: int | None = None) -> Sequence[ParkedEvent]:
        """Events set aside, in order; of the active generation if none is named."""
        ...

    async def retry_parked(self, name: str, aggregate_id: str | None, *, skip: bool) -> int:
        """Have events that were set aside tried again, by whoever works on the projection.

        Args:
            name: The projection's.
            aggregate_id: Only those of one aggregate.
            skip: Drop those that have failed, and try what waits behind them.

        Returns:
            How many events that concerns.
        """
        ...

    async def read_documents(
        self, generation: Generation, collection: str, keys: Sequence[str], partition: int | None
    ) -> Mapping[str, str]:
        """Documents by key, of one partition or of all, in which case each key has one."""
        ...

    async def find_documents(
        self,
        name: str,
        collection: str,
        *,
        key: str | None = None,
        equal: Mapping[str, Any] | None = None,
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
    ) -> Sequence[Document]:
        """Documents of the active generation.

        Args:
            name: The projection's.
            collection: Which of its.
            key: Only under this key.
            equal: Only where these fields have these values.
            order_by: A field; left out: by key.
            descending: The greatest first.
            limit: The most.
        """
        ...


class Inspection(Protocol):
    """Looks for damage."""

    async def inspect(self) -> Sequence[Finding]:
        """What is wrong with all that is stored, as far as it can be told without its classes.

        It reads everything, and takes as long as that takes. A store that nobody has meddled with
        gives nothing.
        """
        ...


class Backend(EventStore, SnapshotStore, Inspection, Protocol):
    """All in one: what `connect` opens.

    Attributes:
        checkpoints: Those of projections.
    """

    @property
    def checkpoints(self) -> Checkpoints:
        """Those of projections, kept in the same place."""
        ...
