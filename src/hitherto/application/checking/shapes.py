"""The shapes of stored JSON: its keys with their types, and whether code would write it so."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias, cast

import msgspec

from hitherto.application.checking.fieldtypes import ARRAYS, ONE_OF, TEXTS, Type, Types, parsed
from hitherto.application.checking.reading import keys_of
from hitherto.application.checking.schemas import Fields, Structure
from hitherto.domain.personal import REDACTED

_JSON: Mapping[type, str] = {
    type(None): "null", bool: "bool", int: "int", float: "float", str: "str",
    list: "array", dict: "object",
}  # fmt: skip
_ANYTHING = {"Any", "Raw", "Custom"}


class Deviation(msgspec.Struct, frozen=True):
    """Where stored JSON is not what the code writes.

    Attributes:
        kind: A key too many, one that is missing, or a value of another JSON type.
        path: Where.
        what: A sentence.
    """

    kind: Literal["extra", "missing", "type"]
    path: str
    what: str


Deviations: TypeAlias = Iterator[Deviation]
Structures: TypeAlias = Mapping[str, Structure]


def shape_of(value: Any, fields: Fields | None) -> str:
    """The shape of an event's fields, such as ``{amount: str, lines: [{price: str}]}``.

    Args:
        value: They, decoded from JSON.
        fields: What the code that wrote them is thought to have known: of a mapping, whose keys
            are data, it tells that it is one.
    """
    if not isinstance(value, dict):
        return _shape(value, (), {})
    known = {} if fields is None else {**fields.dropped, **fields.fields}
    return _object(cast("dict[str, Any]", value), known, fields.types if fields else {})


def deviations(value: Any, fields: Fields) -> Deviations:
    """Where it is not what code with these fields writes; of values only the JSON type counts."""
    if not isinstance(value, dict):
        yield Deviation("type", "", f"{_JSON[type(value)]} is stored, where an object is written")
        return
    known = {**_optional(fields.dropped), **fields.fields}
    yield from _in_object(cast("dict[str, Any]", value), known, fields.types, "")


def _optional(dropped: Mapping[str, str]) -> dict[str, str]:
    return {name: f"{parsed(text).text} = ..." for name, text in dropped.items()}


def _object(value: Mapping[str, Any], fields: Mapping[str, str], types: Structures) -> str:
    told = [
        f"{_key(key)}: {_shape(value[key], _types_of(fields, key), types)}" for key in sorted(value)
    ]
    return f"{{{', '.join(told)}}}"


def _shape(value: Any, types: Types, structures: Structures) -> str:
    taker = _taker(value, types, structures)
    if isinstance(value, list):
        items = _items(value, taker, structures)
        inside = {_shape(each, part, structures) for each, part in items}
        return f"[{' | '.join(sorted(inside))}]"
    if not isinstance(value, dict):
        return _JSON[type(value)]
    entries = cast("dict[str, Any]", value)
    if taker is not None and taker.name == "Mapping":
        inside = {_shape(each, taker.parts[1], structures) for each in entries.values()}
        return f"{{*: {' | '.join(sorted(inside))}}}" if inside else "{}"
    structure = structures.get(taker.name) if taker else None
    return _object(entries, keys_of(structure) if structure else {}, structures)


def _in_object(
    value: Mapping[str, Any], fields: Mapping[str, str], structures: Structures, path: str
) -> Deviations:
    for key, each in value.items():
        if key in fields:
            yield from _in_value(each, parsed(fields[key]).types, structures, f"{path}{key}")
        else:
            what = f"`{path}{key}` is stored, and not written"
            yield Deviation("extra", f"{path}{key}", what)
    for key, text in fields.items():
        if key not in value and parsed(text).default is None:
            what = f"`{path}{key}` is written, and not stored"
            yield Deviation("missing", f"{path}{key}", what)


def _in_value(value: Any, types: Types, structures: Structures, path: str) -> Deviations:
    taker = _taker(value, types, structures)
    if taker is None and value != REDACTED:  # What was about a person may be forgotten.
        written = " | ".join(dict.fromkeys(_written(each, structures) for each in types))
        what = f"`{path}` is stored as {_JSON[type(value)]}, and written as {written}"
        yield Deviation("type", path, what)
    elif taker is not None and isinstance(value, list):
        for each, part in _items(value, taker, structures):
            if part:
                yield from _in_value(each, part, structures, f"{path}[]")
    elif taker is not None and isinstance(value, dict):
        entries = cast("dict[str, Any]", value)
        if taker.name == "Mapping":
            for each in entries.values():
                yield from _in_value(each, taker.parts[1], structures, f"{path}[]")
        elif taker.name in structures:
            fields = keys_of(structures[taker.name])
            yield from _in_object(entries, fields, structures, f"{path}.")


def _items(value: Any, taker: Type | None, structures: Structures) -> list[tuple[Any, Types]]:
    """The items of an array, each with the types that it may have."""
    if taker is None or taker.name in _ANYTHING:
        return [(each, ()) for each in value]
    if taker.name in ARRAYS:
        return [(each, taker.parts[0]) for each in value]
    structure = structures.get(taker.name)
    parts = taker.parts
    if structure is not None:
        parts = tuple(parsed(text).types for text in keys_of(structure).values())
    return [(each, parts[n] if n < len(parts) else ()) for n, each in enumerate(value)]


def _taker(value: Any, types: Types, structures: Structures) -> Type | None:
    """Which of the types has written a value, by its JSON type and its tag."""
    stored = _JSON[type(value)]
    fitting = [each for each in types if stored in _written(each, structures).split(" | ")]
    anything = [each for each in types if each.name in _ANYTHING]
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value)
        for each in fitting:
            structure = structures.get(each.name)
            if structure and structure.tag and entries.get(structure.tag[0]) == structure.tag[1]:
                return each
    return next(iter([*fitting, *anything]), None)


def _written(type: Type, structures: Structures) -> str:
    """The JSON types that a type is written as."""
    structure = structures.get(type.name)
    values = structure.values if structure else type.values if type.name == ONE_OF else ()
    if values:
        return " | ".join(dict.fromkeys(_JSON[each.__class__] for each in values))
    if structure is not None:
        return "array" if structure.array_like else "object"
    if type.name in ARRAYS or type.name == "tuple":
        return "array"
    if type.name in TEXTS:
        return "str"
    names = {"None": "null", "Mapping": "object", "float": "float | int"}  # PostgreSQL: 1e16
    return names.get(type.name, type.name)


def _types_of(fields: Mapping[str, str], key: str) -> Types:
    return parsed(fields[key]).types if key in fields else ()


def _key(key: str) -> str:
    return key if key.isidentifier() else json.dumps(key, ensure_ascii=False)
