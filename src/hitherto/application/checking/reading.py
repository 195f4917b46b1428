"""Whether what was written with some fields is read with others."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from hitherto.application.checking.fieldtypes import (
    ARRAYS,
    MANY,
    ONE_OF,
    TEXTS,
    Field,
    Type,
    Types,
    parsed,
)
from hitherto.application.checking.schemas import Fields, Structure
from hitherto.domain.personal import REDACTED

IssueKind: TypeAlias = Literal[
    "field-removed",
    "field-required",
    "type-narrowed",
    "type-changed",
    "read-otherwise",
    "default-changed",
    "personal-added",
    "personal-removed",
]
"""Each kind, the gravest first; the last four break nothing."""

HARMLESS: frozenset[IssueKind] = frozenset(
    {"read-otherwise", "default-changed", "personal-added", "personal-removed"}
)

_NUMBERS = {"int", "float", "Decimal"}
_PLAIN = {"None", "bool", "int", "float", "str", "Any"}
_SETS = {"set", "frozenset"}
_REDACTED = (Type(name=ONE_OF, text=repr(REDACTED), values=(REDACTED,)),)


class Issue(msgspec.Struct, frozen=True):
    """Where old and new differ.

    Attributes:
        kind: How.
        path: The field, such as ``lines[].price``.
        what: A sentence.
    """

    kind: IssueKind
    path: str
    what: str


def issues(old: Fields, new: Fields) -> list[Issue]:
    """What happens when fields that were written as `old` are read as `new`."""
    return _Reading(old, new).found()


class _Reading:
    """Goes through two descriptions at once."""

    def __init__(self, old: Fields, new: Fields) -> None:
        self._old, self._new = old, new
        self._inside = set[tuple[str, str]]()  # Structures that are being compared.

    def found(self) -> list[Issue]:
        """Of the event's fields all. What was dropped before is read again if it has come back."""
        back = {name: each for name, each in self._old.dropped.items() if name in self._new.fields}
        return self._fields("", {**self._old.fields, **back}, self._new.fields)

    def _fields(
        self,
        path: str,
        old: Mapping[str, str],
        new: Mapping[str, str],
        *,
        closed: bool = False,
        omitting: bool = False,
    ) -> list[Issue]:
        found: list[Issue] = []
        added = {name: parsed(text).text for name, text in new.items() if name not in old}
        for name, text in old.items():
            if name in new:
                found += self._field(f"{path}{name}", text, new[name], omitting=omitting)
            else:
                alike = [each for each, its in added.items() if its == parsed(text).text]
                renamed = f"; renamed to `{alike[0]}`?" if len(alike) == 1 else ""
                lost = "is refused" if closed else "is read by nothing"
                what = f"`{path}{name}` ({parsed(text).text}) {lost}{renamed}"
                found.append(Issue("field-removed", f"{path}{name}", what))
        for name, its in added.items():
            if parsed(new[name]).default is None:
                what = f"`{path}{name}` ({its}) is new and has no default"
                found.append(Issue("field-required", f"{path}{name}", what))
        return found

    def _field(self, path: str, old_text: str, new_text: str, *, omitting: bool) -> list[Issue]:
        old, new = parsed(old_text), parsed(new_text)
        found = [*self._types(path, old.types, new.types), *self._personal(path, old, new)]
        if old.default is not None and new.default is None:
            what = f"`{path}` has no default any more, and events from before it lack it"
            found.append(Issue("field-required", path, what))
        elif old.default not in {None, new.default}:
            what = f"`{path}` is {new.default} where it is missing, and was {old.default}"
            # What was written leaves it out wherever it is the default.
            found.append(Issue("type-changed" if omitting else "default-changed", path, what))
        return found

    def _personal(self, path: str, old: Field, new: Field) -> list[Issue]:
        if old.is_personal == new.is_personal:
            return []
        if new.is_personal:
            what = f"`{path}` is Personal now; what was stored before stays as it is, in the clear"
            return [Issue("personal-added", path, what)]
        if self._types(path, _REDACTED, new.types):
            what = f"`{path}` takes no {REDACTED!r}, which it is once its subject was forgotten"
            return [Issue("type-narrowed", path, what)]
        what = f"`{path}` is not Personal any more; it is stored in the clear"
        return [Issue("personal-removed", path, what)]

    def _types(self, path: str, old: Types, new: Types) -> list[Issue]:
        """Each of the old types finds the new one that takes it best."""
        found: list[Issue] = []
        unread: list[str] = []
        singly = self._one_by_one(old)
        for each in singly:
            tried = [self._type(path, each, other, new) for other in self._takers(each, new)]
            ways = [way for way in tried if way is not None]
            if ways:
                best = min(ways, key=_gravity)
                found += best
            else:
                unread.append(each.text)
        if unread:
            kind = _kind_of(old, new, all_unread=len(unread) == len(singly))
            told = ", ".join(f"`{each}`" for each in dict.fromkeys(unread))
            change = f"{_text(old)} → {_text(new)}"
            found.append(Issue(kind, path, f"`{path}` takes {told} no more ({change})"))
        return list(dict.fromkeys(found))

    def _one_by_one(self, types: Types) -> list[Type]:
        """The old types, the values of literals and enums each for itself."""
        found: list[Type] = []
        for each in types:
            structure = self._old.types.get(each.name)
            values = structure.values if structure else each.values if each.name == ONE_OF else ()
            values = (None,) if each.name == "None" else values
            found += [_value(value) for value in values] if values else [each]
        return found

    def _takers(self, old: Type, new: Types) -> Types:
        """Which of the new types the decoder turns to: the nearest one, whether it fits or not."""
        value = old.values[0] if old.name == "value" and old.values else None
        wire = old.name if value is None else type(value).__name__
        if anything := tuple(each for each in new if each.name in {"Any", "Raw"}):
            return anything
        if wire == "int":
            likes = tuple(each for each in new if self._is_whole(each))
            if likes:
                return likes
        if wire in {"int", "float"}:
            return tuple(each for each in new if each.name == "float") or new
        texts = tuple(each for each in new if each.name == "str")
        return texts if texts and (wire == "str" or wire in TEXTS) else new

    def _is_whole(self, type: Type) -> bool:
        structure = self._new.types.get(type.name)
        values = type.values if type.name == ONE_OF else structure.values if structure else ()
        return type.name == "int" or any(isinstance(each, int) for each in values)

    def _type(self, path: str, old: Type, new: Type, beside: Types) -> list[Issue] | None:
        """What happens to one old type in one new one; None: that one does not take it."""
        if old.values and old.name == "value":
            return self._from_value(old, new)
        if new.name in {"Any", "Raw"}:
            return self._into_any(path, old, new)
        if old.name in ARRAYS or old.name == "tuple":
            return self._array(path, old, new)
        if old.name in self._old.types:
            return self._structure(path, old, new, beside)
        return self._mapping(path, old, new) if old.name == "Mapping" else self._one(path, old, new)

    def _from_value(self, old: Type, new: Type) -> list[Issue] | None:
        (value,) = old.values
        structure = self._new.types.get(new.name)
        allowed = new.values if new.name == ONE_OF else structure.values if structure else ()
        if any(each == value and type(each) is type(value) for each in allowed):
            return []
        if new.name in {"Any", "Raw"} or (value is None and new.name == "None"):
            return []
        if new.name == type(value).__name__ or (isinstance(value, int) and new.name in _NUMBERS):
            return [] if _lets_through(new, value) else None
        return None

    def _into_any(self, path: str, old: Type, new: Type) -> list[Issue]:
        if old.name == new.name or (new.name == "Any" and old.name in _PLAIN):
            return []
        return [_otherwise(path, old, "what JSON has", grave=True)]

    def _one(self, path: str, old: Type, new: Type) -> list[Issue] | None:
        if old.name == new.name:
            return [] if _within(old, new) and old.values == new.values else None
        if {old.name, new.name} <= _NUMBERS and old.name != "Decimal" and new.name != "int":
            if not _within(old, new):
                return None
            if old.name == "float":
                return [_otherwise(path, old, new.text, grave=True)]
            lost = ", rounded above 2**53" if new.name == "float" else ""
            return [_otherwise(path, old, f"{new.text}{lost}", grave=False)]
        if old.name in TEXTS and new.name == "str" and not new.limits:
            return [_otherwise(path, old, "str, its text in JSON,", grave=True)]
        return None

    def _array(self, path: str, old: Type, new: Type) -> list[Issue] | None:
        inside = f"{path}[]"
        if new.name == "tuple":
            if old.name != "tuple" or len(old.parts) != len(new.parts):
                return None
            pairs = list(zip(old.parts, new.parts, strict=True))
        elif new.name in ARRAYS:
            length = {"min_length": len(old.parts), "max_length": len(old.parts)}
            limits = length if old.name == "tuple" else old.limits
            if not _within(msgspec.structs.replace(old, limits=limits), new):
                return None
            pairs = [(each, new.parts[0]) for each in old.parts]
        else:
            return None
        found = [each for pair in pairs for each in self._types(inside, *pair)]
        if new.name in _SETS and old.name not in _SETS:
            found.append(_otherwise(path, old, f"{new.text}, without repetitions", grave=True))
        return found

    def _mapping(self, path: str, old: Type, new: Type) -> list[Issue] | None:
        if new.name != "Mapping" or not _within(old, new):
            return None
        keys = self._types(f"{path} key", old.parts[0], new.parts[0])
        return keys + self._types(f"{path}[]", old.parts[1], new.parts[1])

    def _structure(self, path: str, old: Type, new: Type, beside: Types) -> list[Issue] | None:
        one, other = self._old.types[old.name], self._new.types.get(new.name)
        if other is None or other.values or one.array_like != other.array_like:
            return None
        before, after = keys_of(one), keys_of(other)
        if other.tag is None and one.tag is not None and not one.array_like:
            if not other.forbid_unknown_fields and one.tag[0] not in after:
                before.pop(one.tag[0])
        elif one.tag is None and other.tag is not None and not other.array_like:
            alone = sum(each.name in self._new.types for each in beside) == 1
            if alone and other.tag[0] not in before:
                after.pop(other.tag[0])
        if (old.name, new.name) in self._inside:
            return []
        self._inside.add((old.name, new.name))
        try:
            return self._fields(
                f"{path}.",
                before,
                after,
                closed=other.forbid_unknown_fields,
                omitting=one.omit_defaults,
            )
        finally:
            self._inside.discard((old.name, new.name))


def keys_of(structure: Structure) -> dict[str, str]:
    """The fields with the tag; of an array their places are the keys."""
    fields = dict(structure.fields)
    if structure.tag is not None:
        key, value = structure.tag
        fields = {key: f"{ONE_OF}[{value!r}]", **fields}
    if structure.array_like:
        return {str(place): text for place, text in enumerate(fields.values())}
    return fields


def _value(value: Any) -> Type:
    return Type(name="value", text=repr(value), values=(value,))


def _text(types: Types) -> str:
    return " | ".join(each.text for each in types)


def _otherwise(path: str, old: Type, read_as: str, *, grave: bool) -> Issue:
    kind: IssueKind = "type-changed" if grave else "read-otherwise"
    return Issue(kind, path, f"`{path}` ({old.text}) is read as {read_as}".rstrip(","))


def _kind_of(old: Types, new: Types, *, all_unread: bool) -> IssueKind:
    """Whether less is taken than before, or something else."""
    same = {_family(each) for each in old} & {_family(each) for each in new}
    narrowed = same or not all_unread or any(each.name == "Any" for each in old)
    return "type-narrowed" if narrowed else "type-changed"


def _family(type: Type) -> str:
    """Literals and enums are narrow texts or numbers."""
    if type.name == ONE_OF:
        return "int" if isinstance(type.values[0], int) else "str"
    if type.name in ARRAYS or type.name == "tuple":
        return MANY
    return type.name


def _gravity(found: Collection[Issue]) -> tuple[int, int]:
    return sum(each.kind not in HARMLESS for each in found), len(found)


def _within(old: Type, new: Type) -> bool:
    """Whether the limits of `new` take all that those of `old` let through."""
    zoned = old.name == "datetime" and new.limits.get("tz")  # Others were never stored.
    return zoned or all(_is_implied(name, each, old.limits) for name, each in new.limits.items())


def _is_implied(name: str, limit: Any, old: Mapping[str, Any]) -> bool:
    if name in {"pattern", "tz"} or old.get(name) == limit:
        return bool(old.get(name) == limit)
    if name == "multiple_of":
        whole = isinstance(limit, int) and isinstance(old.get(name), int)
        return whole and old[name] % limit == 0
    if name.endswith("_length"):
        return (
            bool(old.get(name, 0) > limit) if name == "min_length" else old.get(name, limit) < limit
        )
    sign = 1 if name in {"ge", "gt"} else -1  # An upper bound is a lower one, upside down.
    strict, loose = ("gt", "ge") if sign == 1 else ("lt", "le")
    if strict in old and sign * old[strict] >= sign * limit:
        return True
    if loose not in old:
        return False
    beyond = sign * (old[loose] - limit)
    return bool(beyond > 0 or (name == loose and beyond == 0))


def _lets_through(type: Type, value: Any) -> bool:
    """Whether a value is within the limits of a type."""
    kind: Any = value.__class__
    try:
        msgspec.convert(value, Annotated[kind, msgspec.Meta(**type.limits)])
    except msgspec.ValidationError:
        return False
    return True
