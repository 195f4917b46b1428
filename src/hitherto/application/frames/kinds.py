"""What an annotation of a field is in Arrow, and how its values get there."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import inspect

from hitherto.application.arrow import arrow

Text = Callable[[Any], str]
"""Writes a value as JSON."""

Enclosing = tuple[Any, ...]
"""The structures that an annotation is a part of."""

DIGITS, DECIMALS = 38, 9
"""Of a Decimal: what 128 bits hold, and how many of them are behind the point."""

_ARRAYS = (
    inspect.ListType,
    inspect.SetType,
    inspect.FrozenSetType,
    inspect.CollectionType,
    inspect.VarTupleType,
)
_STRUCTURES = (
    inspect.StructType,
    inspect.DataclassType,
    inspect.NamedTupleType,
    inspect.TypedDictType,
)
_ONE_TYPE = ({"str"}, {"int"}, {"bool"})


class Kind(msgspec.Struct, frozen=True):
    """One type of Arrow.

    Attributes:
        type: It.
        make: What is handed to Arrow for a value; None: the value.
    """

    type: Any
    make: Callable[[Any], Any] | None = None

    def given(self, value: Any) -> Any:
        """What is handed to Arrow; a value that is not there is null."""
        if value is None or value is msgspec.UNSET or self.make is None:
            return None if value is msgspec.UNSET else value
        return self.make(value)


class Kinds:
    """Finds the kind of each annotation. What Arrow has no one type for is JSON, as text.

    That is a union of several types, a tuple of several, what holds itself, `Any`, a time that may
    have a zone, and types that only the codec knows.
    """

    def __init__(self, text: Text) -> None:
        self._arrow = arrow("pyarrow", "frames")
        self.text: Kind = Kind(self._arrow.string(), text)
        self._scalars = self._plain()
        self._builders: Mapping[Any, Callable[[Any, Enclosing], Kind]] = {
            inspect.EnumType: self._enum,
            inspect.LiteralType: self._literal,
            inspect.TimeType: self._time,
            **dict.fromkeys(_ARRAYS, self._list),
            inspect.TupleType: self._tuple,
            inspect.DictType: self._map,
            inspect.FrozenDictType: self._map,
            **dict.fromkeys(_STRUCTURES, self._struct),
        }

    def of(self, info: inspect.Type, enclosing: Enclosing = ()) -> Kind:
        """The kind of an annotation.

        Args:
            info: The annotation, as msgspec tells it.
            enclosing: The structures that it is a part of.
        """
        if isinstance(info, inspect.Metadata):
            return self.of(info.type, enclosing)
        if isinstance(info, inspect.UnionType):
            parts = [each for each in info.types if not isinstance(each, inspect.NoneType)]
            return self.of(parts[0], enclosing) if len(parts) == 1 else self.text
        if type(info) in self._builders:
            return self._builders[type(info)](info, enclosing)
        return self._scalars.get(type(info), self.text)

    def _plain(self) -> Mapping[Any, Kind]:
        make = self._arrow
        return {
            inspect.BoolType: Kind(make.bool_()),
            inspect.IntType: Kind(make.int64()),
            inspect.FloatType: Kind(make.float64()),
            inspect.StrType: Kind(make.string()),
            inspect.BytesType: Kind(make.binary()),
            inspect.DateTimeType: Kind(make.timestamp("us", tz="UTC")),
            inspect.DateType: Kind(make.date32()),
            inspect.TimeDeltaType: Kind(make.duration("us")),
            inspect.DecimalType: Kind(make.decimal128(DIGITS, DECIMALS)),
            inspect.UUIDType: Kind(make.string(), str),
        }

    def _enum(self, info: inspect.EnumType, _: Enclosing) -> Kind:
        kind = self._of_values([each.value for each in info.cls])
        return Kind(kind.type, lambda member: kind.given(member.value))

    def _literal(self, info: inspect.LiteralType, _: Enclosing) -> Kind:
        return self._of_values(info.values)

    def _of_values(self, values: Iterable[object]) -> Kind:
        names = {each.__class__.__name__ for each in values if each is not None}
        known = {"str": inspect.StrType, "int": inspect.IntType, "bool": inspect.BoolType}
        return self._scalars[known[names.pop()]] if names in _ONE_TYPE else self.text

    def _time(self, info: inspect.TimeType, _: Enclosing) -> Kind:
        return Kind(self._arrow.time64("us")) if info.tz is False else self.text

    def _list(self, info: Any, enclosing: Enclosing) -> Kind:
        item = self.of(info.item_type, enclosing)
        return Kind(self._arrow.list_(item.type), lambda values: list(map(item.given, values)))

    def _tuple(self, info: inspect.TupleType, enclosing: Enclosing) -> Kind:
        kinds = [self.of(each, enclosing) for each in info.item_types]
        if not kinds or any(each.type != kinds[0].type for each in kinds):
            return self.text

        def make(values: Iterable[Any]) -> list[Any]:
            return [kind.given(each) for kind, each in zip(kinds, values, strict=True)]

        return Kind(self._arrow.list_(kinds[0].type), make)

    def _map(self, info: inspect.DictType, enclosing: Enclosing) -> Kind:
        key, item = self.of(info.key_type, enclosing), self.of(info.value_type, enclosing)

        def make(values: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
            return [(key.given(name), item.given(each)) for name, each in values.items()]

        return Kind(self._arrow.map_(key.type, item.type), make)

    def _struct(self, info: Any, enclosing: Enclosing) -> Kind:
        if not info.fields or info.cls in enclosing:
            return self.text
        inside = (*enclosing, info.cls)
        kinds = {each.name: self.of(each.type, inside) for each in info.fields}
        read = _item if isinstance(info, inspect.TypedDictType) else getattr

        def make(value: Any) -> dict[str, Any]:
            return {name: kind.given(read(value, name)) for name, kind in kinds.items()}

        return Kind(self._arrow.struct([(name, kind.type) for name, kind in kinds.items()]), make)


def _item(value: Mapping[str, Any], name: str) -> Any:
    return value.get(name)
