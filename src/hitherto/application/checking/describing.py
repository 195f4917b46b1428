"""What today's code writes and reads, described by its event classes."""

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, get_origin

import msgspec
from msgspec import inspect

from hitherto.application.checking.fieldtypes import PERSONAL, RESERVED
from hitherto.application.checking.schemas import (
    AggregateSchemas,
    EventSchemas,
    Fields,
    Schemas,
    Structure,
)
from hitherto.domain.aggregate import Aggregate
from hitherto.domain.definition import Definition
from hitherto.domain.event import Event
from hitherto.domain.personal import personal_fields
from hitherto.errors import ConfigurationError, InvalidInput

_SCALARS: Mapping[type[inspect.Type], str] = {
    inspect.NoneType: "None",
    inspect.BoolType: "bool",
    inspect.IntType: "int",
    inspect.FloatType: "float",
    inspect.StrType: "str",
    inspect.DecimalType: "Decimal",
    inspect.DateTimeType: "datetime",
    inspect.DateType: "date",
    inspect.TimeType: "time",
    inspect.TimeDeltaType: "timedelta",
    inspect.UUIDType: "UUID",
    inspect.BytesType: "bytes",
    inspect.ByteArrayType: "bytes",
    inspect.MemoryViewType: "bytes",
    inspect.AnyType: "Any",
    inspect.RawType: "Raw",
}
_ARRAYS: Mapping[type[inspect.Type], str] = {
    inspect.ListType: "list[{}]",
    inspect.SetType: "set[{}]",
    inspect.FrozenSetType: "frozenset[{}]",
    inspect.CollectionType: "Collection[{}]",
    inspect.VarTupleType: "tuple[{}, ...]",
}
_LIMITS = (
    "gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern", "tz",
)  # fmt: skip
_FACTORIES: Sequence[Callable[[], Any]] = (list, dict, set, frozenset, tuple)


def definitions_of(
    aggregates: Iterable[Callable[[str], Aggregate[Any]]],
) -> dict[str, Definition]:
    """The definitions of kinds of aggregate, by stored name.

    Args:
        aggregates: The classes, or instances of `Decider`.

    Raises:
        InvalidInput: Two bear one stored name.
    """
    found: dict[str, Definition] = {}
    for each in aggregates:
        definition: Definition = each.definition  # type: ignore[attr-defined]
        rival = found.setdefault(definition.aggregate_type, definition)
        if rival is not definition:
            names = [one.owner.__qualname__ for one in (rival, definition)]
            raise InvalidInput(
                f"{names[0]} and {names[1]} bear one stored name, {definition.aggregate_type!r}: "
                "name the one whose events are stored"
            )
    return found


def described(definitions: Mapping[str, Definition]) -> Schemas:
    """What the events of some kinds of aggregate are today.

    Raises:
        ConfigurationError: The types of an event's fields cannot be told.
    """
    return {name: _aggregate(definitions[name]) for name in sorted(definitions)}


def _aggregate(definition: Definition) -> AggregateSchemas:
    upcasters: dict[str, tuple[int, ...]] = {}
    for name, schema in sorted(definition.upcasters):
        upcasters[name] = (*upcasters.get(name, ()), schema)
    events = {name: _event(definition.events[name]) for name in sorted(definition.events)}
    return AggregateSchemas(events=events, upcasters=upcasters)


def _event(cls: type[Event]) -> EventSchemas:
    return EventSchemas(
        schema=cls.__schema_version__,
        formerly=cls.__stored_names__[1:],
        upcasters=tuple(sorted(cls.__upcasters__)),
        schemas={cls.__schema_version__: fields_of(cls)},
    )


def fields_of(cls: type[msgspec.Struct]) -> Fields:
    """The fields of a struct, and the structures in them.

    Raises:
        ConfigurationError: Their types cannot be told.
    """
    try:
        info: Any = inspect.type_info(cls)
        writer = _Writer()
        personal = personal_fields(cls) if issubclass(cls, Event) else ()
        fields = writer.fields(info, personal)
        return Fields(fields=fields, types=writer.structures())
    except (TypeError, NameError) as error:
        raise ConfigurationError(
            f"the fields of {cls.__qualname__} cannot be told: {error}"
        ) from error


class _Writer:
    """Writes types as texts; what has a name is told once."""

    def __init__(self) -> None:
        self._names: dict[object, str] = {}  # By class.
        self._infos: dict[str, Any] = {}

    def fields(self, info: Any, personal: Container[str] = ()) -> dict[str, str]:
        """The fields of a struct, by their keys in JSON; some of an event's are personal."""
        return {
            each.encode_name: self._field(each, is_personal=each.encode_name in personal)
            for each in info.fields
        }

    def structures(self) -> dict[str, Structure]:
        """All that was named, and what is named there."""
        done: dict[str, Structure] = {}
        while waiting := [name for name in self._infos if name not in done]:
            for name in waiting:
                done[name] = self._structure(self._infos[name])
        return dict(sorted(done.items()))

    def _structure(self, info: Any) -> Structure:
        if isinstance(info, inspect.EnumType):
            return Structure(values=tuple([each.value for each in info.cls]))
        tag = getattr(info, "tag", None)
        return Structure(
            fields=self.fields(info),
            tag=None if tag is None else (info.tag_field, tag),
            array_like=getattr(info, "array_like", isinstance(info, inspect.NamedTupleType)),
            forbid_unknown_fields=getattr(info, "forbid_unknown_fields", False),
            omit_defaults=isinstance(info, inspect.StructType)
            and bool(info.cls.__struct_config__.omit_defaults),
        )

    def _field(self, field: inspect.Field, *, is_personal: bool) -> str:
        text = self._text(field.type)
        text = f"{PERSONAL}[{text}]" if is_personal else text
        if field.required:
            return text
        if field.default is not msgspec.NODEFAULT:
            return f"{text} = {_written(field.default)}"
        if field.default_factory in _FACTORIES:
            return f"{text} = {_written(field.default_factory())}"
        return f"{text} = {'UNSET' if field.default_factory is msgspec.NODEFAULT else '...'}"

    def _text(self, info: inspect.Type) -> str:
        kind: Any = type(info)
        if isinstance(info, inspect.Metadata):
            return self._text(info.type)
        if isinstance(info, inspect.UnionType):
            return " | ".join(_sorted(dict.fromkeys(map(self._text, info.types))))
        if kind in _SCALARS:
            return f"{_SCALARS[kind]}{_limits(info)}"
        if isinstance(info, inspect.LiteralType):
            return f"Literal[{', '.join(_sorted(map(repr, info.values)))}]"
        return self._container(info) or self._named(info)

    def _container(self, info: Any) -> str | None:
        kind: Any = info.__class__
        if kind in _ARRAYS:
            return f"{_ARRAYS[kind].format(self._text(info.item_type))}{_limits(info)}"
        if isinstance(info, inspect.DictType | inspect.FrozenDictType):
            inside = f"{self._text(info.key_type)}, {self._text(info.value_type)}"
            return f"Mapping[{inside}]{_limits(info)}"
        if isinstance(info, inspect.TupleType):
            return f"tuple[{', '.join(map(self._text, info.item_types)) or '()'}]"
        return None

    def _named(self, info: Any) -> str:
        cls: Any = getattr(info, "cls", info.__class__)
        if isinstance(info, inspect.CustomType | inspect.ExtType):
            return f"Custom[{f'{cls.__module__}.{cls.__qualname__}'!r}]"
        return self._name(cls, info)

    def _name(self, cls: Any, info: inspect.Type) -> str:
        """One for each struct and enum, though two modules may have one of the same name."""
        if cls not in self._names:
            plain = re.sub(r"\W", "_", (get_origin(cls) or cls).__name__)
            plain = plain if plain.isidentifier() else f"_{plain}"
            taken, name, number = {*RESERVED, *self._infos}, plain, 2
            while name in taken:
                name, number = f"{plain}{number}", number + 1
            self._names[cls], self._infos[name] = name, info
        return self._names[cls]


def _sorted(texts: Iterable[str]) -> list[str]:
    return sorted(texts, key=lambda text: (text == "None", text))


def _limits(info: Any) -> str:
    found = {name: getattr(info, name, None) for name in _LIMITS}
    told = [f"{name}={value!r}" for name, value in found.items() if value is not None]
    return f"({', '.join(told)})" if told else ""


def _written(default: Any) -> str:
    """A default, as JSON would have it."""
    if default is msgspec.UNSET:
        return "UNSET"
    try:
        plain = msgspec.to_builtins(default, order="deterministic")
    except (TypeError, ValueError):
        plain = ...
    if plain is ... or isinstance(plain, Enum):
        return "..."
    return repr(plain)
