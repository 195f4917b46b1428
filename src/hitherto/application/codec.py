"""Events to JSON text and back: `JsonCodec` for values, `Serializer` for one kind of aggregate."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar, cast
from uuid import uuid5

import msgspec
from msgspec.structs import replace

from hitherto.application.culprits import unencodable
from hitherto.application.personal import MARK, check_no_envelope, enclosed, envelopes
from hitherto.application.ports import Codec
from hitherto.application.records import StoredEvent, StreamRow
from hitherto.application.upcasting import decoders_of
from hitherto.application.validation import (
    alike,
    check_fields,
    first_difference,
    has_nul,
    unstorable_text,
)
from hitherto.domain.aggregate import check_aggregate_type
from hitherto.domain.definition import Definition
from hitherto.domain.event import Event
from hitherto.domain.identifiers import check_identifier
from hitherto.domain.metadata import Metadata
from hitherto.domain.personal import personal_fields, subject_of
from hitherto.domain.recorded import RecordedEvent
from hitherto.errors import EventSerializationFailed, InvalidEventData

E = TypeVar("E", bound=Event)

MAX_PAYLOAD = 1024 * 1024

_GROWTH = 64  # 1e308 becomes 309 characters, and that is the most
_ZEROS = re.compile("0{4,}")

_NO_METADATA = Metadata()


def unknown_aggregate_type(which: str, aggregate_type: str) -> EventSerializationFailed:
    """The error for an event whose classes no repository has told the store."""
    return EventSerializationFailed(
        f"{which} is of the aggregate type {aggregate_type!r}, which no repository of this store "
        "knows: make one"
    )


class JsonCodec:
    """JSON through msgspec: Decimal as text, datetime in ISO 8601, bytes in base64.

    Reading is bounded, whoever wrote the text: by its length, and by the interpreter's limit of
    recursion for how deep it is nested.

    Args:
        max_payload: The longest text that it makes or reads, in bytes.
        enc_hook: Turns a value of a type that msgspec does not know into one that it knows.
        dec_hook: The inverse; it is given the type and the value.
    """

    def __init__(
        self,
        *,
        max_payload: int = MAX_PAYLOAD,
        enc_hook: Callable[[Any], Any] | None = None,
        dec_hook: Callable[[type, Any], Any] | None = None,
    ) -> None:
        self._max_payload = max_payload
        self._encode = msgspec.json.Encoder(enc_hook=enc_hook).encode
        self._dec_hook = dec_hook

    def encode(self, value: Any) -> str:
        """`value` as JSON text.

        Raises:
            InvalidEventData: It is too long or nested too deep, or it holds something that
                cannot be stored: a NaN, an infinity, a datetime without a zone, a NUL, a lone
                surrogate.
            EventSerializationFailed: It holds a value of an unknown type.
        """
        name = type(value).__name__
        try:
            check_fields(value)
        except ValueError as error:
            raise InvalidEventData(str(error)) from error
        try:
            encoded = self._encode(value)
            text = encoded.decode()
        except TypeError as error:
            which = unencodable(value, self._encode)
            raise EventSerializationFailed(f"{which} cannot be stored: {error}") from error
        except (ValueError, OverflowError, RecursionError) as error:
            told = unstorable_text(value, name) or f"{name} cannot be stored: {error}"
            raise InvalidEventData(told) from error
        if len(encoded) > self._max_payload:
            raise InvalidEventData(
                f"{name} takes {len(encoded)} bytes as JSON, at most {self._max_payload} are "
                "allowed: store a reference to large data, or raise max_payload"
            )
        if has_nul(text):
            raise InvalidEventData(
                unstorable_text(value, name) or f"{name} contains a NUL character"
            )
        return text

    def decoder(self, type: Any) -> Callable[[str], Any]:
        """A function that makes a `type` of JSON text.

        It raises ValueError on other text and where it is too long, and RecursionError where it is
        nested too deep.
        """
        decode = msgspec.json.Decoder(type, dec_hook=self._dec_hook).decode
        limit = self._max_payload

        def bounded(text: str) -> Any:
            if len(text) > limit:  # mostly not, and then no more is done
                _check_length(text, limit)
            return decode(text)

        return bounded


def _check_length(text: str, limit: int) -> None:
    """Refuse text that `JsonCodec.encode` would not have made.

    PostgreSQL rewrites JSON: it puts spaces in, and writes 1e300 with 300 zeros. Neither counts.

    Raises:
        ValueError: It is longer than `limit`.
    """
    if len(text) <= _GROWTH * limit:
        compact = msgspec.json.format(text, indent=-1)
        if len(_ZEROS.sub("", compact)) <= limit:
            return
    raise ValueError(
        f"it takes {len(text)} characters as JSON, which is more than max_payload={limit} allows"
    )


class Serializer(Generic[E]):
    """Encodes and decodes the events of one kind of aggregate.

    The decoder is chosen by the stored event type and schema version. A stored version below
    the class's own goes through the upcasters that there are; an added field needs a default,
    nothing else.
    """

    def __init__(self, definition: Definition, codec: Codec) -> None:
        self.definition = definition
        self._encode = codec.encode
        self._decoders = decoders_of(definition, codec)
        self._decode_metadata = codec.decoder(dict[str, Any])
        personal = {cls: personal_fields(cls) for cls in definition.event_classes}
        self._personal = {cls: tuple(fields) for cls, fields in personal.items() if fields}

    @property
    def has_personal(self) -> bool:
        """Whether what it encodes has envelopes that are to be sealed."""
        return bool(self._personal)

    def encode(self, event: E, aggregate_id: str) -> str:
        """The event's own fields as a JSON object, personal ones in envelopes.

        It is decoded once to be sure: an event that is stored can be read again.

        Raises:
            InvalidEventData: It cannot be stored, or would come back changed, as where a field
                holds a value of another type than its annotation says.
            EventSerializationFailed: A value is of a type that the codec does not know.
        """
        text = self._encode(event)
        name = type(event).__qualname__
        try:
            restored = self._decoders[event.__event_type__, event.__schema_version__](text)
        except (ValueError, RecursionError) as error:
            raise InvalidEventData(
                f"{name} cannot be stored, it could not be read again: {error}"
            ) from error
        if restored != event and not alike(event, restored):
            raise InvalidEventData(
                f"{name} cannot be stored, its field {first_difference(event, restored)} would "
                "be read again changed: give it a value of the type that it is annotated with"
            )
        names = self._personal.get(type(event))
        if names is not None:
            subject = check_identifier(f"the subject of {name}", subject_of(event, aggregate_id))
            return enclosed(text, names, subject)
        if MARK in text:
            check_no_envelope(text)
        return text

    def decode_stream(
        self, aggregate_id: str, rows: Iterable[StreamRow]
    ) -> Iterator[tuple[int, E | tuple[E, ...]]]:
        """The version and the event of each row; a tuple where an upcaster has given others.

        Raises:
            AggregateIDMismatch: A row belongs to another type of aggregate.
            EventSerializationFailed: A row's type is unknown, or its data do not fit.
        """
        decoders = self._decoders
        own_type = self.definition.aggregate_type
        for version, event_type, schema_version, data, aggregate_type in rows:
            if aggregate_type != own_type:
                check_aggregate_type(self.definition, aggregate_id, aggregate_type)
            try:
                event = decoders[event_type, schema_version](data)
            except (KeyError, ValueError, RecursionError) as error:
                raise self._failed(
                    aggregate_id, version, event_type, schema_version, error
                ) from error
            yield version, event

    def recorded(self, stored: StoredEvent) -> Sequence[RecordedEvent[E]]:
        """The decoded form of a stored event: one, unless an upcaster gives others.

        Raises:
            AggregateIDMismatch: It belongs to another type of aggregate.
            EventSerializationFailed: Its type is unknown, or its data or metadata do not fit.
        """
        if stored.aggregate_type != self.definition.aggregate_type:
            check_aggregate_type(self.definition, stored.aggregate_id, stored.aggregate_type)
        try:
            if MARK in stored.data and envelopes(stored.data):
                raise ValueError("a value about a person cannot be decrypted: it was changed")
            event = self._decoders[stored.event_type, stored.schema_version](stored.data)
        except (KeyError, ValueError, RecursionError) as error:
            raise self._failed(
                stored.aggregate_id, stored.version, stored.event_type, stored.schema_version, error
            ) from error
        metadata = _NO_METADATA
        if stored.metadata is not None:
            metadata = decoded_metadata(stored, self._decode_metadata)
        if event.__class__ is tuple:  # `isinstance` takes longer, for each event of the log
            events = cast("tuple[E, ...]", event)
            return [
                _part(recorded_event(stored, each, metadata), n) for n, each in enumerate(events)
            ]
        return (recorded_event(stored, event, metadata),)

    def knows(self, stored: StoredEvent) -> bool:
        """Whether it has a decoder for an event's type and schema version."""
        return (stored.event_type, stored.schema_version) in self._decoders

    def _failed(
        self, aggregate_id: str, version: int, event_type: str, schema: int, error: Exception
    ) -> EventSerializationFailed:
        which = f"event {event_type!r} (schema {schema}) of {aggregate_id!r} at version {version}"
        if not isinstance(error, KeyError):
            return EventSerializationFailed(f"{which} cannot be decoded: {error}")
        owner = self.definition.owner.__qualname__
        known = self.definition.stored_names.get(event_type)
        if known is None:
            schemas = [each for name, each in self.definition.upcasters if name == event_type]
            if schemas:
                return EventSerializationFailed(
                    f"{which} has no upcaster: {owner} has those for schema {schemas}"
                )
            return EventSerializationFailed(
                f"{which} is of a type that {owner} does not know: add it to the union"
            )
        return EventSerializationFailed(
            f"{which} is newer than the code, which knows schema {known.__schema_version__}"
        )


def _part(recorded: RecordedEvent[E], number: int) -> RecordedEvent[E]:
    """One of those that an upcaster has made; those after the first have ids that are derived."""
    if not number:
        return recorded
    return replace(recorded, event_id=uuid5(recorded.event_id, str(number)))


def recorded_event(stored: StoredEvent, event: E, metadata: Metadata) -> RecordedEvent[E]:
    """A stored event, decoded."""
    return RecordedEvent(
        event=event,
        event_id=stored.event_id,
        event_type=stored.event_type,
        schema_version=stored.schema_version,
        aggregate_id=stored.aggregate_id,
        aggregate_type=stored.aggregate_type,
        version=stored.version,
        position=stored.position,
        occurred_at=stored.occurred_at,
        stored_at=stored.stored_at,
        metadata=metadata,
    )


def decoded_metadata(stored: StoredEvent, decode: Callable[[str], Any]) -> Metadata:
    """The metadata of a stored event.

    Raises:
        EventSerializationFailed: They cannot be decoded.
    """
    if stored.metadata is None:
        return _NO_METADATA
    try:
        return Metadata.from_flat(decode(stored.metadata))
    except (ValueError, RecursionError) as error:
        raise EventSerializationFailed(
            f"the metadata of {stored.aggregate_id!r} at version {stored.version} cannot be "
            f"decoded: {error}"
        ) from error
