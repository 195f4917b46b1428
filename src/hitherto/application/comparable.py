"""States as JSON that can be compared, whichever code they are of."""

import copy
import dataclasses
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

import msgspec

from hitherto.application.ports import Codec
from hitherto.application.validation import parts_of
from hitherto.domain.aggregate import Aggregate
from hitherto.domain.decider import Decider
from hitherto.domain.definition import Definition

_PLAIN = {str, int, bool, float, bytes, type(None), Decimal, datetime}
_in_order = msgspec.json.Encoder(order="deterministic").encode


class Ordering:
    """Gives what has no order one, the same in every process.

    Args:
        codec: Tells the elements of a set apart.
    """

    def __init__(self, codec: Codec) -> None:
        self._encode = codec.encode

    def ordered(self, value: Any) -> Any:
        """The value, with sorted lists in the place of sets."""
        if value.__class__ in _PLAIN:
            return value
        if isinstance(value, set | frozenset):
            return sorted(map(self.ordered, cast("set[Any]", value)), key=self._place)
        if isinstance(value, list | tuple):
            return [self.ordered(each) for each in cast("list[Any]", value)]
        if isinstance(value, dict):
            items = cast("Mapping[Any, Any]", value).items()
            return {key: self.ordered(part) for key, part in items}
        return self._ordered_inside(value)

    def _ordered_inside(self, value: Any) -> Any:
        if isinstance(value, msgspec.Struct):
            return self._with(value, value.__struct_fields__, msgspec.structs.force_setattr)
        if dataclasses.is_dataclass(value):
            names = tuple(field.name for field in dataclasses.fields(value))
            return self._with(value, names, object.__setattr__)
        return value

    def _with(self, value: Any, names: tuple[str, ...], set_field: Any) -> Any:
        """A copy of what has fields, if one of them holds a set."""
        parts = {name: getattr(value, name) for name in names if hasattr(value, name)}
        ordered = {name: self.ordered(part) for name, part in parts.items()}
        changed = [name for name in parts if ordered[name] is not parts[name]]
        if changed:
            value = copy.copy(value)
            for name in changed:
                set_field(value, name, ordered[name])
        return value

    def _place(self, element: Any) -> tuple[int, Any]:
        """Where it comes in a set: texts and numbers as a program would sort them."""
        value = msgspec.json.decode(self._encode(element))
        if isinstance(value, str):
            return 0, value
        return (1, value) if isinstance(value, int | float) else (2, _in_order(value))


def holds_set(value: Any) -> bool:
    """Whether a value is a set, or has one inside."""
    if value.__class__ in _PLAIN:
        return False
    if isinstance(value, set | frozenset):
        return True
    return any(holds_set(part) for _, part in parts_of(value))


class Comparable:
    """Writes the states of one kind of aggregate, field by field.

    Values are those of the codec's JSON, so two types that it writes alike are alike. What has no
    order gets one: sets, and the keys of objects.

    Args:
        definition: Of which kind.
        codec: The store's.

    Attributes:
        fields: The names of the state's fields; where a decider's state is a struct or a
            dataclass, those of that.
    """

    def __init__(self, definition: Definition, codec: Codec) -> None:
        self._encode = codec.encode
        self._ordered = Ordering(codec).ordered
        self._struct = msgspec.defstruct(
            f"{definition.aggregate_type}State",
            [(name, Any, msgspec.UNSET) for name in definition.fields],
            kw_only=True,
        )
        inner = _inner_fields(definition)
        self._is_inner = inner is not None
        self.fields: tuple[str, ...] = definition.fields if inner is None else inner

    def written(self, aggregate: Aggregate[Any]) -> dict[str, bytes]:
        """The fields that are set, each as JSON.

        Raises:
            EventSerializationFailed: The codec cannot write the state.
            TypeError: A decider's state is no struct or dataclass, though it is annotated so.
        """
        captured = aggregate._capture().items()
        state = self._struct(**{name: self._ordered(value) for name, value in captured})
        fields = msgspec.json.decode(self._encode(state))
        if self._is_inner:
            fields = fields["state"]
            if not isinstance(fields, dict):
                raise TypeError("the decider's state is not of the type that it is annotated with")
        return {name: _in_order(fields[name]) for name in self.fields if name in fields}


def _inner_fields(definition: Definition) -> tuple[str, ...] | None:
    """The fields of a decider's state, where its type tells them."""
    if not issubclass(definition.owner, Decider):
        return None
    try:
        (state,) = definition.state_types().values()
    except (TypeError, NameError):
        return None
    if isinstance(state, type) and issubclass(state, msgspec.Struct):
        return None if state.__struct_config__.array_like else state.__struct_encode_fields__
    if not dataclasses.is_dataclass(state):  # pyright: ignore[reportUnknownArgumentType]
        return None
    return tuple(field.name for field in dataclasses.fields(state))
