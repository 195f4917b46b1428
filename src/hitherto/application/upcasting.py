"""Decoders for all that older code has stored, by the upcasters of the event classes."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any, TypeAlias, TypeVar, cast

from msgspec import UNSET

from hitherto.application.culprits import undecodable
from hitherto.application.ports import Codec
from hitherto.domain.definition import Definition
from hitherto.domain.event import Event
from hitherto.domain.personal import REDACTED, personal_fields
from hitherto.domain.upcasters import EventsUpcaster, FieldsUpcaster
from hitherto.errors import EventSerializationFailed

T = TypeVar("T")

Decoder: TypeAlias = Callable[[str], T]
Chain: TypeAlias = Sequence[tuple[int, FieldsUpcaster]]
Giver: TypeAlias = Callable[[dict[str, Any]], Any]
"""Makes of fields an event, or those that stand for it."""


def decoders_of(definition: Definition, codec: Codec) -> dict[tuple[str, int], Decoder[Any]]:
    """A decoder for each stored type and schema version, former ones too.

    A decoder gives an event, or a tuple of events where the aggregate has an upcaster. It raises
    ValueError for what does not fit.

    Raises:
        TypeError: An event class cannot be decoded.
    """
    own: dict[type[Event], Decoder[Event]] = {}
    for cls in definition.event_classes:
        try:
            own[cls] = _redacting(cls, codec)
        except (TypeError, NameError) as error:
            which = undecodable(cls, codec, error)
            raise TypeError(f"{which} cannot be decoded: {error}") from error
    given = {
        key: _given(upcaster, definition, codec, own)
        for key, upcaster in definition.upcasters.use().items()
    }
    decoders = {key: _raised((), give, codec) for key, give in given.items()}
    for cls, decode in own.items():
        reread = partial(_reread, codec, decode)
        for name, schema in product(cls.__stored_names__, range(1, cls.__schema_version__ + 1)):
            chain, give = _way(cls, name, schema, given)
            upcast = bool(chain) or give is not None
            decoders[name, schema] = _raised(chain, give or reread, codec) if upcast else decode
    return decoders


def _way(
    cls: type[Event], name: str, schema: int, given: Mapping[tuple[str, int], Giver]
) -> tuple[Chain, Giver | None]:
    """The upcasters that a schema of a class goes through, up to the aggregate's if it has one."""
    last = cls.__schema_version__
    keys = {
        number: (each, number)
        for each in (cls.__event_type__, name)  # What has a former name is read as its own.
        for known, number in given
        if known == each and schema <= number <= last
    }
    end = min(keys, default=last)
    upcasters = cls.__upcasters__.use()
    chain = [(each, upcasters[each]) for each in sorted(upcasters) if schema <= each < end]
    return chain, given[keys[end]] if keys else None


def _reread(codec: Codec, decode: Decoder[Event], fields: dict[str, Any]) -> Event:
    return decode(_encoded(codec, fields))


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


def _raised(chain: Chain, give: Giver, codec: Codec) -> Decoder[Any]:
    """Decodes what goes through a chain of upcasters, and is made of the fields in the end."""
    read = codec.decoder(dict[str, Any])

    def raised(text: str) -> Any:
        fields = read(text)
        for number, upcaster in chain:
            fields = _fields_of(upcaster, number, fields)
        return give(fields)

    return raised


def _fields_of(upcaster: FieldsUpcaster, schema: int, fields: dict[str, Any]) -> dict[str, Any]:
    which = f"the upcaster for schema {schema}"
    given: Any = _called(which, upcaster, fields)
    if not isinstance(given, dict):
        raise ValueError(f"{which} returned {type(given).__name__}, not a dict of fields")
    return cast("dict[str, Any]", given)


def _given(
    upcaster: EventsUpcaster,
    definition: Definition,
    codec: Codec,
    own: Mapping[type[Event], Decoder[Event]],
) -> Giver:
    """Gives what stands for other events, which is judged as stored events are."""

    def given(fields: dict[str, Any]) -> tuple[Event, ...]:
        events = _called("the upcaster", lambda fields: tuple(upcaster(fields)), fields)
        for each in events:
            if type(each) not in own:
                raise ValueError(
                    f"the upcaster gave {type(each).__qualname__}, which is not an event of "
                    f"{definition.owner.__qualname__}"
                )
        return tuple([own[type(each)](_encoded(codec, each)) for each in events])

    return given


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
