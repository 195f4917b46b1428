"""The lines of an export: a header, a line for each event, and a last one that tells the whole.

Each line but the last ends with a check: the beginning of the SHA-256 of all that the file holds
before it. So a line that was changed, lost, repeated or moved is found where it happened. The last
line has the whole hash of all lines before it, as `head -n -1 FILE | sha256sum` gives it.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from hitherto.application.canonical import canonical_content
from hitherto.application.moving.selecting import Filter
from hitherto.application.records import PlacedEvent, StoredEvent, utc

FORMAT, VERSION = "hitherto-events", 1

_DIGITS = 16

encode: Callable[[Any], bytes] = msgspec.json.encode


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line.

    Attributes:
        format: What the file is.
        version: Of the format.
        positions: Whether the lines tell the positions that the events had.
        filter: What was left out.
    """

    format: str = FORMAT
    version: int = VERSION
    positions: bool
    filter: Filter


class Line(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event; its data and metadata are canonical JSON, its times ISO 8601 in UTC."""

    position: int | msgspec.UnsetType = msgspec.UNSET
    event_id: UUID
    event_type: str
    schema_version: int
    aggregate_id: str
    aggregate_type: str
    version: int
    data: msgspec.Raw
    metadata: msgspec.Raw
    occurred_at: str
    stored_at: str

    def digest(self) -> bytes:
        """The same for the same event, whatever its position."""
        body = encode(msgspec.structs.replace(self, position=msgspec.UNSET))
        return hashlib.blake2b(body, digest_size=16).digest()

    def placed(self) -> PlacedEvent:
        """The event as a store takes it.

        Raises:
            ValueError: A value that no store could hold.
        """
        metadata = bytes(self.metadata).decode()
        return PlacedEvent(
            event_id=self.event_id,
            event_type=self.event_type,
            schema_version=self.schema_version,
            data=bytes(self.data).decode(),
            metadata=None if metadata == "null" else metadata,
            occurred_at=datetime.fromisoformat(self.occurred_at),
            aggregate_id=self.aggregate_id,
            aggregate_type=self.aggregate_type,
            version=self.version,
            stored_at=datetime.fromisoformat(self.stored_at),
        )


decode_line: Callable[[bytes], Line] = msgspec.json.Decoder(Line).decode
decode_header: Callable[[bytes], Header] = msgspec.json.Decoder(Header).decode


def line_of(event: StoredEvent, *, position: bool = False) -> Line:
    """The line of a stored event.

    Raises:
        EventSerializationFailed: Its data or metadata are no JSON.
    """
    data, metadata = canonical_content(event, event.aggregate_id, event.version)
    return Line(
        position=event.position if position else msgspec.UNSET,
        event_id=event.event_id,
        event_type=event.event_type,
        schema_version=event.schema_version,
        aggregate_id=event.aggregate_id,
        aggregate_type=event.aggregate_type,
        version=event.version,
        data=data,
        metadata=metadata,
        occurred_at=told(event.occurred_at),
        stored_at=told(event.stored_at),
    )


class Seal:
    """Adds to each line what tells that it, and all before it, are as they were written."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of all lines so far."""
        return self._hash.hexdigest()

    def seal(self, body: bytes) -> bytes:
        """A whole line, of a JSON object without its last brace."""
        self._hash.update(body)
        end = end_of_line(self._hash.hexdigest()[:_DIGITS])
        self._hash.update(end)
        return body + end

    def last(self, events: int) -> bytes:
        """The last line."""
        return f'{{"events":{events},"sha256":"{self.sha256}"}}\n'.encode()


def end_of_line(check: str) -> bytes:
    """What follows the body of a line."""
    return f',"check":"{check}"}}\n'.encode()


_END = len(end_of_line("0" * _DIGITS))


def body_of(line: bytes) -> bytes:
    """What was sealed, if it is a line that was."""
    return line[:-_END]


def check_of(line: bytes) -> str:
    """The check at the end of a line."""
    return line[-_DIGITS - len('"}\n') :][:_DIGITS].decode()


def is_last(line: bytes) -> bool:
    """Whether it is the last one, or meant to be."""
    return line.startswith(b'{"events":')


def told(moment: datetime) -> str:
    """A time as lines tell it."""
    return utc(moment).isoformat(timespec="microseconds")[:-6] + "Z"
