"""What a failed check tells: where what is differs from what was expected."""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import msgspec

_NOTHING = object()


def check_same(what: str, expected: object, actual: object) -> None:
    """Check that two values are equal.

    Raises:
        AssertionError: They are not; it tells each place.
    """
    lines = differences(expected, actual)
    if lines:
        raise AssertionError("\n  ".join([what, *lines]))


def check_listed(
    what: str, verb: str, expected: Sequence[object], actual: Sequence[object]
) -> None:
    """Check that two sequences are equal, which are told whole.

    Raises:
        AssertionError: They are not.
    """
    lines = differences(list(expected), list(actual))
    if lines:
        told = [what, f"expected: {listed(expected)}", f"{verb + ':':10}{listed(actual)}"]
        raise AssertionError("\n  ".join([*told, *lines]))


def check_state(who: str, subject: object, expected: Mapping[str, object]) -> None:
    """Check some attributes.

    Raises:
        AssertionError: One has another value, or there is none of that name.
    """
    lines: list[str] = []
    for name, value in expected.items():
        actual = getattr(subject, name, _NOTHING)
        if actual is _NOTHING:
            lines.append(f"{name}: there is no such field")
        else:
            lines += differences(value, actual, name)
    if lines:
        raise AssertionError("\n  ".join([f"{who}: the state differs", *lines]))


def check_raised(
    who: str, raised: Exception | None, error: type[Exception], match: str | None, otherwise: str
) -> None:
    """Check that an error was raised, and what it says.

    Args:
        who: Begins the message.
        raised: What was.
        error: The class that was expected.
        match: A regular expression that is to be found in its message.
        otherwise: What happened, where nothing was raised.

    Raises:
        AssertionError: Nothing or something else was raised.
    """
    expected = f"  expected: {error.__name__}"
    if raised is None:
        raise AssertionError(f"{who} did not raise\n{expected}\n  {otherwise}")
    if not isinstance(raised, error):
        raise AssertionError(
            f"{who} raised another error\n{expected}\n  raised:   {raised!r}"
        ) from raised
    if match is not None and not re.search(match, str(raised)):
        raise AssertionError(
            f"{who} raised {error.__name__} with another message\n"
            f"  expected: {match}\n  raised:   {raised}"
        ) from raised


def differences(expected: object, actual: object, path: str = "") -> list[str]:
    """Each place in which two values differ, the deepest that both have; a line each."""
    if expected is _NOTHING:
        return [f"{path}: not expected, is {actual!r}"]
    if actual is _NOTHING:
        return [f"{path}: expected {expected!r}, is not there"]
    if expected == actual:
        return []
    one, other = _parts(expected), _parts(actual)
    if one is None or other is None or _kind(expected) is not _kind(actual):
        told = f"expected {expected!r}, is {actual!r}"
        return [f"{path}: {told}" if path else told]
    found: list[str] = []
    for place in dict.fromkeys([*one, *other]):
        parts = one.get(place, _NOTHING), other.get(place, _NOTHING)
        found += differences(*parts, f"{path}{place}".removeprefix("."))
    return found


def listed(values: Iterable[object]) -> str:
    """Values under one another, beside a label."""
    return "\n            ".join(map(repr, values)) or "nothing"


def _kind(value: object) -> object:
    return Mapping if isinstance(value, Mapping) else type(value)


def _parts(value: object) -> dict[str, object] | None:
    """What a value is made of, by the path to it; None: nothing that could be told apart."""
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {f"[{key!r}]": part for key, part in items}
    if isinstance(value, list | tuple):
        return {f"[{n}]": part for n, part in enumerate(cast("Sequence[object]", value))}
    if isinstance(value, msgspec.Struct):
        names: Iterable[str] = value.__struct_fields__
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
    else:
        return None
    return {f".{name}": getattr(value, name) for name in names}
