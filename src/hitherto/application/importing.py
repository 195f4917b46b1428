"""`import_events`: a history that was made elsewhere, into a store."""

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from hitherto.application.codec import unknown_aggregate_type
from hitherto.application.comparable import Ordering, holds_set
from hitherto.application.personal import Envelope, envelopes, replaced
from hitherto.application.records import PlacedEvent, utc
from hitherto.domain.recorded import PastEvent, RecordedEvent
from hitherto.errors import InvalidInput

if TYPE_CHECKING:
    from hitherto.application.store import Store

Past = PastEvent[Any] | RecordedEvent[Any]
History = Iterable[Past] | AsyncIterable[Past]

CHUNK = 5_000  # events in a transaction; a reader of the log waits for its end
_CHUNK_BYTES = 4 * 1024 * 1024
_TURN = 200  # events between two turns of the event loop, which writes meanwhile


Progress = Callable[["Imported"], None]
"""Told after each chunk how far an import has come."""


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """How far an import has come.

    Attributes:
        written: Events stored by it.
        skipped: Events that were stored before.
    """

    written: int = 0
    skipped: int = 0


def in_silence(_: Imported) -> None:
    """Tells nobody of the progress."""


async def import_events(store: "Store", events: History, progress: Progress) -> Imported:
    """See `Store.import_events`."""
    done = Imported()
    writing: asyncio.Task[None] | None = None

    async def write(chunk: Sequence[PlacedEvent]) -> None:
        nonlocal done
        written = await store.backend.import_events(chunk)
        skipped = len(chunk) - written
        done = Imported(written=done.written + written, skipped=done.skipped + skipped)

    try:
        async for chunk in _chunks(store, events):
            if writing is not None:
                await writing
                progress(done)
            writing = asyncio.create_task(write(chunk))  # while the next one is encoded
        if writing is not None:
            await writing
            progress(done)
    finally:
        if writing is not None:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
    return done


async def _chunks(store: "Store", events: History) -> AsyncIterator[list[PlacedEvent]]:
    chunk: list[PlacedEvent] = []
    size = 0
    async for event in _each(events):
        placed = encoded(store, event)
        chunk.append(placed)
        size += len(placed.data)
        if len(chunk) == CHUNK or size > _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


async def _each(events: History) -> AsyncIterator[Past]:
    if isinstance(events, AsyncIterable):
        async for event in events:
            yield event
        return
    for number, event in enumerate(events):
        if not number % _TURN:
            await asyncio.sleep(0)
        yield event


def encoded(store: "Store", past: Past) -> PlacedEvent:
    """The form in which a backend takes a past event.

    Raises:
        EventSerializationFailed: No repository of the store knows its type of aggregate.
        InvalidInput: Its class is not in the aggregate's union, or a value cannot be stored.
    """
    serializer = store.known_serializer(past.aggregate_type)
    if serializer is None:
        which = f"version {past.version} of {past.aggregate_id!r}"
        raise unknown_aggregate_type(which, past.aggregate_type)
    event = past.event
    if type(event) not in serializer.definition.event_classes:
        raise InvalidInput(
            f"version {past.version} of {past.aggregate_id!r}: {type(event).__qualname__} is not "
            f"an event of {past.aggregate_type}"
        )
    data = serializer.encode(event, past.aggregate_id)
    flat = past.metadata.flat()
    occurred_at = utc(past.occurred_at)
    return PlacedEvent(
        event_id=past.event_id or _derived_id(past, occurred_at, _settled(store, past, data)),
        event_type=event.__event_type__,
        schema_version=event.__schema_version__,
        data=data,
        metadata=store.codec.encode(flat) if flat else None,
        occurred_at=occurred_at,
        aggregate_id=past.aggregate_id,
        aggregate_type=past.aggregate_type,
        version=past.version,
    )


def _settled(store: "Store", past: Past, data: str) -> str:
    """An event's data with its sets in order: another process gives them in another one."""
    event: Any = past.event
    names = zip(event.__struct_fields__, event.__struct_encode_fields__, strict=True)
    values = {told: getattr(event, name) for name, told in names}
    with_sets = {told: value for told, value in values.items() if holds_set(value)}
    if not with_sets:
        return data
    ordered = Ordering(store.codec).ordered
    fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    sealed = envelopes(data)
    for told, value in with_sets.items():
        if told in fields and told not in sealed:
            fields[told] = msgspec.Raw(store.codec.encode(ordered(value)).encode())
    return msgspec.json.encode(fields).decode()


def _derived_id(past: Past, occurred_at: datetime, data: str) -> UUID:
    """A UUIDv7 in form: its time is the event's, the rest a hash of what it tells.

    Not of personal values: whoever guesses one could see by the hash that it is right.
    """
    data = replaced(data, lambda _, envelope: Envelope(envelope.subject))
    milliseconds = max(int(occurred_at.timestamp() * 1000), 0)
    told = f"{past.aggregate_type}\0{past.aggregate_id}\0{past.version}\0{data}"
    digest = hashlib.blake2b(told.encode(), digest_size=10).digest()
    number = milliseconds << 80 | int.from_bytes(digest)
    number = number & ~(0xF << 76) | 7 << 76
    return UUID(int=number & ~(0b11 << 62) | 0b10 << 62)
