"""`RecordedEvent`: an event as the store holds it; `PastEvent`: one of a history to import."""

from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

import msgspec

from hitherto.domain.event import Event
from hitherto.domain.metadata import Metadata

E = TypeVar("E", bound=Event)


class PastEvent(msgspec.Struct, Generic[E], frozen=True, kw_only=True, gc=False):
    """An event of a history that was made elsewhere, for `Store.import_events`.

    Attributes:
        event: The fact itself.
        aggregate_id: The aggregate that it belongs to.
        aggregate_type: The stored name of that aggregate's type.
        version: Its place in its aggregate's history: 1, 2, 3 …
        occurred_at: When it happened, with a time zone.
        event_id: Its id, if it has one. Else one is derived from all of the above, but for personal
            values, so that an import which is run again knows what it has stored.
        metadata: Correlation, causation, actor and keys of your own.
    """

    event: E
    aggregate_id: str
    aggregate_type: str
    version: int
    occurred_at: datetime
    event_id: UUID | None = None
    metadata: Metadata = Metadata()


class RecordedEvent(msgspec.Struct, Generic[E], frozen=True, kw_only=True, gc=False):
    """An event together with where, when and why it was recorded.

    Where upcasters make several events of a stored one, each is told at its place.

    Attributes:
        event: The fact itself, as today's code knows it.
        event_id: Its id, unique in the store; of a further one that an upcaster gave, one that is
            derived from it.
        event_type: Its stored name, when it was written.
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
