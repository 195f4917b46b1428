"""Every error that hitherto raises on purpose.

::

    HithertoError
    ├── ConfigurationError         a URL, setting, transaction of yours, or missing extra
    │                              (also a ValueError)
    ├── InvalidInput               refused before any I/O, or an event id that is stored already
    │                              (also a ValueError)
    ├── AggregateError
    │   ├── AggregateIDMismatch        an event or aggregate of another id or type
    │   ├── AggregateVersionConflict   another writer was first
    │   ├── AggregateNotFound          no event under this id
    │   ├── AggregateLocked            an open transaction holds the aggregate
    │   ├── AggregateTombstoned        it was closed for good
    │   └── InvalidAggregateState      a decision or a fold that makes no sense
    ├── Unavailable                what is needed cannot be reached now
    │   ├── EventStoreUnavailable      the store; also an EventStoreError
    │   └── PublisherUnavailable       a broker
    ├── EventStoreError
    │   ├── EventSerializationFailed   an event cannot be written or read
    │   │   └── InvalidEventData           a value in it cannot be stored; also an InvalidInput
    │   ├── SnapshotNotSupported       a state that cannot be encoded
    │   └── SchemaMismatch             tables newer than the code, missing, or of another encoding
    ├── ProjectionError
    │   ├── ProjectionSuperseded       a newer version of its code is at work
    │   ├── CheckpointInvalid          the log is not the one that it was taken of
    │   ├── ProjectionBehind           it has not come far enough in time (also a TimeoutError)
    │   ├── LeaseLost                  another worker has taken over
    │   └── HandlerFailed              the projection's own code raised
    ├── MessageRefused             a broker will never take it
    └── AlreadyHandled             a message that was handled before

A driver's error is wrapped once, in its backend, and is the ``__cause__``.
"""


class HithertoError(Exception):
    """The base of all errors of this package."""


class ConfigurationError(HithertoError, ValueError):
    """A URL, a setting or a transaction of yours will not do, or an extra is not installed."""


class InvalidInput(HithertoError, ValueError):
    """A value was refused; the message names it and the remedy.

    That is before any I/O, but for an event id that is stored already, which the store finds.
    """


class AggregateError(HithertoError):
    """The base of errors about one aggregate."""


class AggregateIDMismatch(AggregateError):
    """An event, or an aggregate, of another id or another type."""


class AggregateVersionConflict(AggregateError):
    """Another writer appended first; nothing of this append was written.

    Attributes:
        aggregate_id: The aggregate.
        expected: The version that this append was decided on.
        actual: The version that the store holds.
    """

    def __init__(self, aggregate_id: str, expected: int, actual: int) -> None:
        super().__init__(aggregate_id, expected, actual)
        self.aggregate_id = aggregate_id
        self.expected = expected
        self.actual = actual

    def __str__(self) -> str:
        if self.expected == 0:
            return (
                f"there is an aggregate {self.aggregate_id!r} already, at version {self.actual}: "
                "load it, or give the new one another id"
            )
        at = f"at version {self.actual}, not at the expected {self.expected}"
        if self.actual == self.expected:
            at = f"at version {self.actual}, which another writer has written"
        return f"aggregate {self.aggregate_id!r} is {at}: load it again and decide anew"


class AggregateNotFound(AggregateError):
    """There is no event under this id.

    Attributes:
        aggregate_id: The id that was looked for.
        aggregate_type: The stored name of the type that it was looked for as.
        version: The version that was asked for; None for the latest.
    """

    def __init__(self, aggregate_id: str, aggregate_type: str, version: int | None = None) -> None:
        super().__init__(aggregate_id, aggregate_type, version)
        self.aggregate_id = aggregate_id
        self.aggregate_type = aggregate_type
        self.version = version

    def __str__(self) -> str:
        at = "" if self.version is None else f" at version {self.version}"
        return f"there is no {self.aggregate_type} with id {self.aggregate_id!r}{at}"


class AggregateLocked(AggregateError):
    """Another transaction holds what this append needs; try again later.

    It has an uncommitted append of the same aggregate, or a row that an inline projection writes.
    Nothing of this append was written.
    """


class AggregateTombstoned(AggregateError):
    """The aggregate was closed for good, and takes no events any more; nothing was written.

    Attributes:
        aggregate_id: The aggregate.
    """

    def __init__(self, aggregate_id: str) -> None:
        super().__init__(aggregate_id)
        self.aggregate_id = aggregate_id

    def __str__(self) -> str:
        return f"{self.aggregate_id!r} was closed for good: its events can be read, none added"


class InvalidAggregateState(AggregateError):
    """A decision that the aggregate's state forbids, or a fold that is not contiguous."""


class Unavailable(HithertoError):
    """Something that is needed cannot be reached now.

    Attributes:
        transient: Whether it may pass by itself; not so a wrong password or a closed store.
        retry_after: Seconds until a circuit breaker lets a call through again; None where it is
            not a breaker that refuses.
    """

    def __init__(
        self, message: str, *, transient: bool = True, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.transient = transient
        self.retry_after = retry_after


class EventStoreError(HithertoError):
    """The base of errors of the store."""


class EventStoreUnavailable(Unavailable, EventStoreError):
    """The store cannot be reached, or the connection broke under the operation."""


class EventSerializationFailed(EventStoreError):
    """An event cannot be encoded, or a stored one cannot be decoded by this code."""


class InvalidEventData(EventSerializationFailed, InvalidInput):
    """A value in an event, or in its metadata, cannot be stored; the message says where it is."""


class SnapshotNotSupported(EventStoreError):
    """The state of this aggregate cannot be encoded and restored unchanged."""


class SchemaMismatch(EventStoreError):
    """The database's tables and this code do not fit; the message says what to do."""


class ProjectionError(HithertoError):
    """The base of errors about one projection."""


class ProjectionSuperseded(ProjectionError):
    """A higher version of the projection's code is at work, or has been: this one must not be."""


class CheckpointInvalid(ProjectionError):
    """The log lacks the event that a checkpoint was moved to: an older copy was restored.

    What was projected since is of events that are gone: rebuild the projection.
    """


class ProjectionBehind(ProjectionError, TimeoutError):
    """A projection has not come to the position that was waited for, in the time given."""


class LeaseLost(ProjectionError):
    """Another worker has taken the partition over; nothing was written."""


class HandlerFailed(ProjectionError):
    """The projection's own code raised the ``__cause__``; its transaction was rolled back."""


class PublisherUnavailable(Unavailable):
    """The broker cannot be reached, or takes no messages now; they are published again later."""


class MessageRefused(HithertoError):
    """The broker will never take this message, such as one that is too large."""


class AlreadyHandled(HithertoError):
    """The message was handled before, by an append that is stored; nothing was written now."""
