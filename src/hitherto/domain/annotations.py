"""What an annotation is made of, and the fields of what has fields."""

from collections.abc import Iterator
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

import msgspec

_MARKS = ("__dataclass_fields__", "__attrs_attrs__")


def inside(annotation: Any) -> Iterator[Any]:
    """An annotation with all of its parts, and with what aliases stand for, and theirs.

    The fields of a class are not parts of it: see `field_types`.
    """
    waiting: list[Any] = [annotation]
    opened: list[Any] = []
    each: Any
    while waiting:
        each = waiting.pop(0)
        yield each
        waiting.extend(get_args(each))
        origin = get_origin(each)
        if isinstance(origin, type):  # `Page[int]` has the fields of `Page`.
            waiting.append(origin)
        alias: Any = each if origin is None else origin
        if is_alias(alias) and not any(alias is one for one in opened):
            opened.append(alias)
            waiting.append(alias.__value__)


def is_alias(annotation: Any) -> bool:
    """Whether it was made by `type Tags = …` of Python 3.12."""
    return hasattr(annotation, "__value__") and not isinstance(annotation, type)


def field_types(cls: type[Any]) -> tuple[Any, ...]:
    """The types of the fields of a struct, a dataclass, an attrs class, a named tuple, a TypedDict.

    Raises:
        NameError: One names what is not there at run time.
    """
    if issubclass(cls, msgspec.Struct):
        return tuple(field.type for field in msgspec.structs.fields(cls))
    marks = (*_MARKS, "_fields") if tuple in cls.__mro__ else _MARKS
    if is_typeddict(cls) or any(hasattr(cls, mark) for mark in marks):
        return tuple(get_type_hints(cls, include_extras=True).values())
    return ()
