"""`RecordedEvent`: an event as the store holds it."""

from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

import msgspec

from hitherto.domain.event import Event
from hitherto.domain.metadata import Metadata

E = TypeVar("E", bound=Event)


class RecordedEvent(msgspec.Struct, Generic[E], frozen=True, kw_only=True, gc=False):
    """An event together with where, when and why it was recorded.

    Attributes:
        event: The fact itself.
        event_id: Its id, unique in the store.
        event_type: Its stored name.
        schema_version: The version of its fields when it was written.
        aggregate_id: The aggregate that it belongs to.
        aggregate_type: The stored name of that aggregate's type.
        version: Its place in its aggregate's history: 1, 2, 3 …
        position: Its place in the whole log. Opaque and ordered; there may be gaps.
        occurred_at: When it happened, in UTC: given by `record`, else the time of the save.
        stored_at: When the store wrote it, in UTC.
        metadata: Correlation, causation, actor and keys of your own.
    """

    event: E
    event_id: UUID
    event_type: str
    schema_version: int
    aggregate_id: str
    aggregate_type: str
    version: int
    position: int
    occurred_at: datetime
    stored_at: datetime
    metadata: Metadata
