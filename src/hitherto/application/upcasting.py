"""Decoders for all that older code has stored, by the upcasters of the event classes."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar, cast

from msgspec import UNSET

from hitherto.application.ports import Codec
from hitherto.domain.definition import Definition
from hitherto.domain.event import Event
from hitherto.domain.personal import REDACTED, personal_fields
from hitherto.domain.upcasters import EventsUpcaster, FieldsUpcaster
from hitherto.errors import EventSerializationFailed

T = TypeVar("T")

Decoder: TypeAlias = Callable[[str], T]


def decoders_of(definition: Definition, codec: Codec) -> dict[tuple[str, int], Decoder[Any]]:
    """A decoder for each stored type and schema version, former ones too.

    A decoder gives an event, or a tuple of events where the aggregate has an upcaster. It raises
    ValueError for what does not fit.

    Raises:
        TypeError: An event class cannot be decoded.
    """
    decoders: dict[tuple[str, int], Decoder[Any]] = {}
    own: dict[type[Event], Decoder[Event]] = {}
    for cls in definition.event_classes:
        try:
            own[cls] = _redacting(cls, codec)
        except TypeError as error:
            raise TypeError(f"{cls.__qualname__} cannot be decoded: {error}") from error
        for schema in range(1, cls.__schema_version__ + 1):
            decode = _raised(cls, schema, codec, own[cls])
            decoders.update({(name, schema): decode for name in cls.__stored_names__})
    for (name, schema), upcaster in definition.upcasters.use().items():
        decoders[name, schema] = _replaced(upcaster, definition, codec, own)
    return decoders


def _redacting(cls: type[Event], codec: Codec) -> Decoder[Event]:
    """Decodes a class, some of whose personal fields cannot be "[redacted]"."""
    decode: Decoder[Event] = codec.decoder(cls)
    others = {name: value for name, value in personal_fields(cls).items() if value != REDACTED}
    if not others:
        return decode
    read = codec.decoder(dict[str, Any])

    def redacting(text: str) -> Event:
        if REDACTED not in text:
            return decode(text)
        fields = read(text)
        gone = {name: value for name, value in others.items() if fields.get(name) == REDACTED}
        kept = {name: value for name, value in (fields | gone).items() if value is not UNSET}
        return decode(_encoded(codec, kept))

    return redacting


def _raised(cls: type[Event], schema: int, codec: Codec, decode: Decoder[Event]) -> Decoder[Event]:
    """Decodes an older schema of a class, by the chain of its upcasters."""
    upcasters = cls.__upcasters__.use()
    chain = [(each, upcasters[each]) for each in sorted(upcasters) if each >= schema]
    if not chain:
        return decode
    read = codec.decoder(dict[str, Any])

    def raised(text: str) -> Event:
        fields = read(text)
        for number, upcaster in chain:
            fields = _fields_of(upcaster, number, fields)
        return decode(_encoded(codec, fields))

    return raised


def _fields_of(upcaster: FieldsUpcaster, schema: int, fields: dict[str, Any]) -> dict[str, Any]:
    which = f"the upcaster for schema {schema}"
    given: Any = _called(which, upcaster, fields)
    if not isinstance(given, dict):
        raise ValueError(f"{which} returned {type(given).__name__}, not a dict of fields")
    return cast("dict[str, Any]", given)


def _replaced(
    upcaster: EventsUpcaster,
    definition: Definition,
    codec: Codec,
    own: Mapping[type[Event], Decoder[Event]],
) -> Decoder[tuple[Event, ...]]:
    """Decodes what stands for other events, which are judged as stored ones are."""
    read = codec.decoder(dict[str, Any])

    def replaced(text: str) -> tuple[Event, ...]:
        events = _called("the upcaster", lambda fields: tuple(upcaster(fields)), read(text))
        for each in events:
            if type(each) not in own:
                raise ValueError(
                    f"the upcaster gave {type(each).__qualname__}, which is not an event of "
                    f"{definition.owner.__qualname__}"
                )
        return tuple([own[type(each)](_encoded(codec, each)) for each in events])

    return replaced


def _called(which: str, upcaster: Callable[[dict[str, Any]], T], fields: dict[str, Any]) -> T:
    try:
        return upcaster(fields)
    except Exception as error:
        raise ValueError(f"{which} raised {type(error).__name__}: {error}") from error


def _encoded(codec: Codec, value: object) -> str:
    try:
        return codec.encode(value)
    except EventSerializationFailed as error:
        raise ValueError(f"after its upcaster {error}") from error
