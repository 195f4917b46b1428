"""What can be told of a value of an aggregate's state."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

_IMMUTABLE = (
    str, bytes, int, float, complex, bool, type(None), Decimal, UUID, Enum,
    datetime, date, time, timedelta,
)  # fmt: skip


def is_immutable(value: Any) -> bool:
    """Whether it may be shared by all instances of a class."""
    if isinstance(value, tuple | frozenset):
        return all(map(is_immutable, value))  # pyright: ignore[reportUnknownArgumentType]
    return isinstance(value, _IMMUTABLE)


def is_same(one: Any, other: Any) -> bool:
    """Equal; where a class does not say what is, it is the class and the attributes."""
    says: object = type(one).__eq__
    if type(one) is type(other) and says is object.__eq__:
        return one is other or getattr(one, "__dict__", None) == getattr(other, "__dict__", None)
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001  # An array has no one truth.
        return False
