"""Equality of JSON values."""

from typing import Any


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal, whatever the order of their keys; true is not 1 there."""
    kinds: set[type] = {type(one), type(other)}
    if bool in kinds:
        return one is other
    if kinds == {list}:
        return len(one) == len(other) and all(map(same, one, other))
    if kinds == {dict}:
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)
