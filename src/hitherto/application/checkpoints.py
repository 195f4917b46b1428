"""What crosses the port between projections and a backend: how far each has come, and who works."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID
from zlib import crc32

import msgspec

from hitherto.errors import HandlerFailed

State = Literal["filling", "active", "retired"]
"""Of a generation: built beside the one that is read, read by everybody, or replaced."""

Lends = Literal["nothing", "blocking", "async"]
"""What projections are given to write with: no connection, one that blocks, or one to await."""

Work = Callable[[Any], Awaitable[None] | None]
"""Does something in a transaction, with the connection that it is given."""


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """One filling of a projection's view, from the first event on.

    Attributes:
        name: The projection's.
        number: 1, 2, 3 …; each rebuild makes the next.
        version: Of the projection's code.
        state: Whether it is the one to read.
        partitions: Into how many parts the log is divided for it, by aggregate id.
    """

    name: str
    number: int
    version: int
    state: State
    partitions: int

    def partition_of(self, aggregate_id: str) -> int:
        """The partition that an aggregate's events belong to, the same in every process."""
        return 0 if self.partitions == 1 else crc32(aggregate_id.encode()) % self.partitions


Change = Callable[[Any, Generation, Generation | None], Awaitable[None] | None]
"""Changes a view's own tables, in a transaction: connection, generation, and the one that goes."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to move one partition's checkpoint.

    Attributes:
        partition: From 0.
        token: Grows with each holder; a write under an older one is refused.
        position: The checkpoint: every event up to it has been handled.
        attempts: How often handling of what follows was begun and did not end.
        silent_until: Up to this position side effects were done by an earlier generation.
        intact: Whether the log still has the event that the checkpoint was moved to.
    """

    partition: int
    token: int
    position: int
    attempts: int = 0
    silent_until: int = 0
    intact: bool = True


class Attendance(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker learns when it says that it lives.

    Attributes:
        leases: What it holds now.
        share: How many partitions are its fair part.
        state: Of the generation.
        paused: Whether nobody is to work on it.
        retry: Whether events that were set aside in its partitions are to be tried again.
    """

    leases: tuple[Lease, ...]
    share: int
    state: State
    paused: bool
    retry: bool = False


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document of a view.

    Attributes:
        collection: Which of the view's.
        key: Its key there.
        partition: The one that wrote it; the same key may stand once in each.
        data: JSON; None: it is to be removed.
    """

    collection: str
    key: str
    partition: int
    data: str | None


class ParkedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that could not be handled, or that waits for one of its aggregate that could not.

    Attributes:
        name: The projection's.
        generation: Its number.
        partition: Of the event's aggregate.
        position: The event's.
        event_id: The event's.
        event_type: Its stored name.
        aggregate_id: The aggregate's.
        version: The event's in its aggregate.
        attempts: How often it was tried; 0 if it waits for an earlier one.
        error: What the last attempt raised; None if it waits.
        retry: Whether it is to be tried again.
        parked_at: When it was set aside.
    """

    name: str
    generation: int
    partition: int
    position: int
    event_id: UUID
    event_type: str
    aggregate_id: str
    version: int
    attempts: int = 0
    error: str | None = None
    retry: bool = False
    parked_at: datetime | None = None


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A step forward: what is written together with the effects of a batch.

    Attributes:
        generation: Whose.
        leases: The partitions that move, with the token of each.
        after: From where each of them moves. One that has moved meanwhile, as where the answer to
            a step was lost that was committed, is as good as lost; what is left out may have.
        position: Where to; a committed event's position.
        handled: How many events that took, by partition; a partition without any may be left out.
        begun: Whether the worker goes on at once with what follows.
        lease: Seconds for which the leases are renewed.
        parked: Events to set aside, or to be set aside again with another error.
        unparked: The positions of parked events that have now been handled; they must be parked.
        documents: Documents to write and to remove.
    """

    generation: Generation
    leases: Mapping[int, int]
    position: int
    handled: Mapping[int, int]
    lease: float
    begun: bool = False
    parked: Sequence[ParkedEvent] = ()
    unparked: Sequence[int] = ()
    documents: Sequence[Document] = ()
    after: Mapping[int, int] = {}


class ProjectionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far a generation of a projection has come.

    Attributes:
        name: The projection's.
        generation: Its number.
        version: Of the code.
        state: Whether it is the one to read.
        paused: Whether it was told to stand still.
        partitions: Into how many parts the log is divided.
        position: The lowest checkpoint of its partitions.
        handled: Events handled by it so far.
        lag_events: Positions between its checkpoint and the end of the log.
        lag_seconds: The age of the oldest event that it has not passed; 0 where there is none.
        parked: Events set aside.
        owners: Who works on it, each with the number of its partitions.
        updated_at: When a checkpoint last moved.
    """

    name: str
    generation: int
    version: int
    state: State
    paused: bool
    partitions: int
    position: int
    handled: int
    lag_events: int
    lag_seconds: float
    parked: int
    owners: Mapping[str, int]
    updated_at: datetime | None


def handler_failed(who: str, error: Exception) -> HandlerFailed:
    """The error to raise from one of the projection's own code."""
    return HandlerFailed(f"{who} failed: {type(error).__name__}: {error}")
