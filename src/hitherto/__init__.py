"""Event sourcing for Python: aggregates, kept as their events in PostgreSQL or SQLite."""

from hitherto.application.codec import JsonCodec
from hitherto.application.health import Health
from hitherto.application.importing import Imported
from hitherto.application.instrumentation import Instrumentation
from hitherto.application.repository import Repository
from hitherto.application.store import Store
from hitherto.connect import Settings, connect
from hitherto.domain.aggregate import Aggregate
from hitherto.domain.decider import Decided, Decider
from hitherto.domain.event import Event
from hitherto.domain.metadata import Metadata, current_metadata, metadata_context
from hitherto.domain.recorded import PastEvent, RecordedEvent
from hitherto.errors import (
    AggregateError,
    AggregateIDMismatch,
    AggregateLocked,
    AggregateNotFound,
    AggregateVersionConflict,
    ConfigurationError,
    EventSerializationFailed,
    EventStoreError,
    EventStoreUnavailable,
    HithertoError,
    InvalidAggregateState,
    InvalidInput,
    SchemaMismatch,
    SnapshotNotSupported,
)

__all__ = [
    "Aggregate",
    "AggregateError",
    "AggregateIDMismatch",
    "AggregateLocked",
    "AggregateNotFound",
    "AggregateVersionConflict",
    "ConfigurationError",
    "Decided",
    "Decider",
    "Event",
    "EventSerializationFailed",
    "EventStoreError",
    "EventStoreUnavailable",
    "Health",
    "HithertoError",
    "Imported",
    "Instrumentation",
    "InvalidAggregateState",
    "InvalidInput",
    "JsonCodec",
    "Metadata",
    "PastEvent",
    "RecordedEvent",
    "Repository",
    "SchemaMismatch",
    "Settings",
    "SnapshotNotSupported",
    "Store",
    "connect",
    "current_metadata",
    "metadata_context",
]
