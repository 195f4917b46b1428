"""The two hashes of an event: of its content, and of that with all that came before it.

    content_hash  SHA-256 of the content, as canonical JSON
    event_hash    SHA-256 of the event_hash before it in its aggregate, if there is one, of the
                  content_hash, of the position, and of the time of storing

The last two, which only the store knows, are 8 bytes each, the highest first; time is told in
microseconds since the beginning of 2000. A store adds the event_hash as it stores the event.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

import msgspec

from hitherto.application.canonical import canonical_content
from hitherto.application.records import NewEvent, StoredEvent, utc

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_encode = msgspec.json.encode


class _Content(msgspec.Struct, frozen=True, gc=False):
    """What is hashed of an event; canonical JSON has its keys in this order."""

    aggregate_id: str
    aggregate_type: str
    data: msgspec.Raw
    event_id: UUID
    event_type: str
    metadata: msgspec.Raw
    occurred_at: str
    schema_version: int
    version: int


class Link(msgspec.Struct, frozen=True, gc=False):
    """A stored event and its hashes; None: it was stored without."""

    event: StoredEvent
    content_hash: bytes | None
    event_hash: bytes | None


class Head(msgspec.Struct, frozen=True, gc=False):
    """The last event of an aggregate; without a hash, it was stored so."""

    aggregate_id: str
    version: int
    event_hash: bytes | None


def content_hash(
    event: NewEvent | StoredEvent, aggregate_id: str, aggregate_type: str, version: int
) -> bytes:
    """The hash of all that an event tells, whatever store it is in.

    Raises:
        EventSerializationFailed: Its data or metadata are no JSON.
    """
    data, metadata = canonical_content(event, aggregate_id, version)
    content = _Content(
        aggregate_id,
        aggregate_type,
        data,
        event.event_id,
        event.event_type,
        metadata,
        utc(event.occurred_at).isoformat(timespec="microseconds"),
        event.schema_version,
        version,
    )
    return sha256(_encode(content)).digest()


def event_hash(previous: bytes | None, content: bytes, position: int, stored_at: datetime) -> bytes:
    """The hash of an event in its chain.

    Args:
        previous: That of the version before; None: it has none, or there is none.
        content: The event's `content_hash`.
        position: Where the event is in the log.
        stored_at: When it was stored, with a time zone.
    """
    moment = (stored_at - _EPOCH) // _MICROSECOND
    place = position.to_bytes(8, signed=True) + moment.to_bytes(8, signed=True)
    return sha256((previous or b"") + content + place).digest()
