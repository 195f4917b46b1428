"""Event sourcing for Python: aggregates, kept as their events in PostgreSQL or SQLite."""

from hitherto.application.adopting import Adoption
from hitherto.application.codec import JsonCodec
from hitherto.application.commands import CommandBus, Middleware, Next, Target
from hitherto.application.health import Health
from hitherto.application.importing import Imported
from hitherto.application.instrumentation import Instrumentation
from hitherto.application.live import live
from hitherto.application.middleware import log_commands, measure_commands, validate_commands
from hitherto.application.ports.personal import PersonalKeys, SubjectKey
from hitherto.application.processes import Reactions
from hitherto.application.projection import Batch, Context, Projection, projection
from hitherto.application.readers import Amounts, DocumentReader, Key, TotalsReader
from hitherto.application.relay import Message, Publisher, Relay
from hitherto.application.repository import Repository
from hitherto.application.selection import Undecoded
from hitherto.application.steps import Transactions
from hitherto.application.store import Store
from hitherto.application.subscription import Subscription
from hitherto.application.views import Documents, Totals
from hitherto.application.worker import ProjectionWorker
from hitherto.connect import Settings, connect
from hitherto.domain.aggregate import Aggregate
from hitherto.domain.decider import Decided, Decider
from hitherto.domain.event import Event
from hitherto.domain.handlers import on
from hitherto.domain.metadata import Metadata, current_metadata, metadata_context
from hitherto.domain.personal import Personal
from hitherto.domain.process import Process
from hitherto.domain.recorded import PastEvent, RecordedEvent
from hitherto.errors import (
    AggregateError,
    AggregateIDMismatch,
    AggregateLocked,
    AggregateNotFound,
    AggregateTombstoned,
    AggregateVersionConflict,
    AlreadyHandled,
    CheckpointInvalid,
    ConfigurationError,
    EventSerializationFailed,
    EventStoreError,
    EventStoreUnavailable,
    HandlerFailed,
    HithertoError,
    InvalidAggregateState,
    InvalidEventData,
    InvalidInput,
    LeaseLost,
    MessageRefused,
    ProjectionBehind,
    ProjectionError,
    ProjectionSuperseded,
    PublisherUnavailable,
    SchemaMismatch,
    SnapshotNotSupported,
    Unavailable,
)

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
