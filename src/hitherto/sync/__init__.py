"""The same names without ``await``: for Django, Flask, notebooks and scripts.

::

    from hitherto.sync import Repository, connect

    with connect("sqlite:///users.db") as store:
        users = Repository(store, User)
        users.update("user-1", lambda user: user.deactivate("left"))

The work is done by one event loop a process, in a daemon thread that the first operation starts.
So it also runs where the caller has a loop of its own, as in a notebook, which it then blocks.

Calls may come from any thread, many at once. They inherit the caller's context variables, such as
`metadata_context`, and may be interrupted (Ctrl-C): the operation is cancelled, and a save may be
repeated. What is given to `Repository.update` and to `CommandBus.register` runs in the caller's
thread. All else that is yours runs in the loop's, where a call to this module raises
`WouldDeadlock`: `apply`, snapshot policies, hooks, the codec, the clock, middleware, and what is
given to `CommandBus.route`. So do handlers of projections, on SQLite in its writer's thread, which
such a call would block. What is done `within` a transaction of yours is done in your thread.

``os.fork()`` waits (some seconds at most) for the operations under way, breaks off workers and
subscriptions, and closes the connections of open stores, since SQLite loses commits where a process
opens a file that it has inherited open. Parent and child then open their own when they next need
them: a store opened before gunicorn or multiprocessing fork works in both, and the parent's workers
and subscriptions go on. In the child a store in memory is empty.

Stores left open are closed when the interpreter exits, if that takes no more than seconds.
"""

from hitherto import (
    Adoption,
    Aggregate,
    AggregateError,
    AggregateIDMismatch,
    AggregateLocked,
    AggregateNotFound,
    AggregateTombstoned,
    AggregateVersionConflict,
    AlreadyHandled,
    Amounts,
    Batch,
    CheckpointInvalid,
    ConfigurationError,
    Context,
    Decided,
    Decider,
    Documents,
    Event,
    EventSerializationFailed,
    EventStoreError,
    EventStoreUnavailable,
    HandlerFailed,
    Health,
    HithertoError,
    Imported,
    Instrumentation,
    InvalidAggregateState,
    InvalidEventData,
    InvalidInput,
    JsonCodec,
    Key,
    LeaseLost,
    Message,
    MessageRefused,
    Metadata,
    Middleware,
    Next,
    PastEvent,
    Personal,
    PersonalKeys,
    Process,
    Projection,
    ProjectionBehind,
    ProjectionError,
    ProjectionSuperseded,
    Publisher,
    PublisherUnavailable,
    RecordedEvent,
    Relay,
    SchemaMismatch,
    Settings,
    SnapshotNotSupported,
    SubjectKey,
    Target,
    Totals,
    Transactions,
    Unavailable,
    Undecoded,
    current_metadata,
    metadata_context,
    on,
    projection,
    validate_commands,
)
from hitherto.infrastructure.background import WouldDeadlock
from hitherto.sync.commands import CommandBus, log_commands, measure_commands
from hitherto.sync.projections import ProjectionWorker, Reactions, live
from hitherto.sync.readers import DocumentReader, TotalsReader
from hitherto.sync.repository import Repository
from hitherto.sync.store import Store, connect
from hitherto.sync.subscription import Subscription

__all__ = [
    "Adoption",
    "Aggregate",
    "AggregateError",
    "AggregateIDMismatch",
    "AggregateLocked",
    "AggregateNotFound",
    "AggregateTombstoned",
    "AggregateVersionConflict",
    "AlreadyHandled",
    "Amounts",
    "Batch",
    "CheckpointInvalid",
    "CommandBus",
    "ConfigurationError",
    "Context",
    "Decided",
    "Decider",
    "DocumentReader",
    "Documents",
    "Event",
    "EventSerializationFailed",
    "EventStoreError",
    "EventStoreUnavailable",
    "HandlerFailed",
    "Health",
    "HithertoError",
    "Imported",
    "Instrumentation",
    "InvalidAggregateState",
    "InvalidEventData",
    "InvalidInput",
    "JsonCodec",
    "Key",
    "LeaseLost",
    "Message",
    "MessageRefused",
    "Metadata",
    "Middleware",
    "Next",
    "PastEvent",
    "Personal",
    "PersonalKeys",
    "Process",
    "Projection",
    "ProjectionBehind",
    "ProjectionError",
    "ProjectionSuperseded",
    "ProjectionWorker",
    "Publisher",
    "PublisherUnavailable",
    "Reactions",
    "RecordedEvent",
    "Relay",
    "Repository",
    "SchemaMismatch",
    "Settings",
    "SnapshotNotSupported",
    "Store",
    "SubjectKey",
    "Subscription",
    "Target",
    "Totals",
    "TotalsReader",
    "Transactions",
    "Unavailable",
    "Undecoded",
    "WouldDeadlock",
    "connect",
    "current_metadata",
    "live",
    "log_commands",
    "measure_commands",
    "metadata_context",
    "on",
    "projection",
    "validate_commands",
]
