"""Values that would be changed without a word are found, and only those are looked for."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Optional, Union
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest

from hitherto.application.validation import (
    alike,
    check_fields,
    check_value,
    first_difference,
    has_nul,
    needs_check,
    unstorable_text,
)


class Colour(Enum):
    RED = "red"


class Safe(msgspec.Struct):
    text: str
    day: date | None = None
    colours: tuple[Colour, ...] = ()


class Unsafe(msgspec.Struct):
    safe: Safe
    size: float = 0.0


class Price(msgspec.Struct):
    amount: Decimal


class Tree(msgspec.Struct):
    children: "list[Tree]" = []


@dataclasses.dataclass
class Point:
    x: float
    y: Any = None


@pytest.mark.parametrize(
    "type",
    [
        str, int, bool, type(None), bytes, UUID, timedelta, date, Colour, Safe,
        str | None, Optional[int], Union[str, int], tuple[str, ...], list[int], dict[str, Safe],  # noqa: UP007, UP045
        frozenset[Colour], Mapping[str, bytes], Literal["a", 1], Annotated[int, "note"],
        msgspec.UnsetType, tuple[int, str],
    ],
)  # fmt: skip
def test_types_without_dangerous_values_need_no_check(type: Any) -> None:
    """It would only cost time."""
    assert not needs_check(type)


@pytest.mark.parametrize(
    "type",
    [
        float, Decimal, datetime, Any, object, list, dict, tuple, Unsafe, Tree, Point,
        float | None, list[float], dict[str, Unsafe], Mapping[str, Any], Annotated[float, "note"],
        tuple[int, datetime], complex, time,
    ],
)  # fmt: skip
def test_types_with_dangerous_values_need_one(type: Any) -> None:
    """Numbers that can be NaN, times that can lack a zone, and depth without a bound."""
    assert needs_check(type)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (float("nan"), "it is nan"),
        (float("inf"), "it is inf"),
        (Decimal("-Infinity"), "it is -Infinity"),
        (Decimal("NaN"), "it is NaN"),
        (Decimal("sNaN"), "it is sNaN"),
        (datetime(2024, 1, 1), "it has no time zone"),  # noqa: DTZ001
        ([1, [float("nan")]], r"it\[1\]\[0\] is nan"),
        ({"a": {"b": float("nan")}}, r"it\[0\]\[0\] is nan"),
        ({float("nan"): 1}, "it key 0 is nan"),
        ((1, float("nan")), r"it\[1\] is nan"),
        ({float("inf")}, r"it\[0\] is inf"),
        (frozenset({float("inf")}), r"it\[0\] is inf"),
        (Unsafe(Safe("a"), float("nan")), r"it\.size is nan"),
        (Point(1.0, [float("nan")]), r"it\.y\[0\] is nan"),
    ],
)
def test_a_dangerous_value_is_found_wherever_it_is(value: Any, place: str) -> None:
    """The message tells where."""
    with pytest.raises(ValueError, match=place):
        check_value(value, "it")


@pytest.mark.parametrize(
    "value",
    [
        1, "a", None, 1.5, Decimal("1.5"), Decimal("1E+400"), datetime(2024, 1, 1, tzinfo=UTC),
        [1, {"a": (2.0,)}], Unsafe(Safe("a"), 1.0), Point(1.0), Point, {}, date(2024, 1, 1),
    ],
)  # fmt: skip
def test_a_good_value_passes(value: Any) -> None:
    """Of any kind."""
    check_value(value, "it")


def test_a_decimal_need_not_fit_a_float() -> None:
    """Also as a field of what is encoded."""
    check_fields(Price(Decimal("-1E+400")))
    for bad in ("sNaN", "NaN", "Infinity"):
        with pytest.raises(ValueError, match=rf"Price\.amount is {bad}"):
            check_fields(Price(Decimal(bad)))


@pytest.mark.parametrize(("levels", "good"), [(64, True), (65, False), (5000, False)])
def test_values_may_be_nested_64_levels_deep(levels: int, good: bool) -> None:
    """And no deeper."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    if good:
        check_value(value, "it")
    else:
        with pytest.raises(ValueError, match="deeper than 64 levels"):
            check_value(value, "it")


def test_structs_count_as_levels_too() -> None:
    """A tree of structs is as deep as one of lists."""
    tree = Tree()
    for _ in range(40):
        tree = Tree([tree])
    with pytest.raises(ValueError, match="deeper than 64"):
        check_value(tree, "it")


@pytest.mark.parametrize("text", ['"\\u0000"', '"a\\\\\\u0000"', '["\\u0000"]'])
def test_an_escaped_nul_is_found_in_json(text: str) -> None:
    """After an even number of backslashes it is a NUL."""
    assert has_nul(text)


@pytest.mark.parametrize("text", ['"\\\\u0000"', '"\\\\\\\\u0000"', '"u0000"', '"\\u0001"', "{}"])
def test_other_text_passes(text: str) -> None:
    """After an odd number of backslashes it is plain text."""
    assert not has_nul(text)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Safe("a\0"), "it.text contains a NUL character: leave it out"),
        (Unsafe(Safe("\udc80")), "it.safe.text contains a lone surrogate, which is not valid text"),
        (Point(1.0, ["a", {"\0": 1}]), "it.y[1] key 0 contains a NUL character"),
        ({"a": ("b", "\0")}, "it[0][1] contains a NUL character"),
        (Safe("a"), "None"),
    ],
)  # fmt: skip
def test_text_that_cannot_be_stored_is_found_wherever_it_is(value: Any, told: str) -> None:
    """The message tells where, and neither the text nor a key."""
    assert str(unstorable_text(value, "it")).startswith(told)


def test_text_that_cannot_be_stored_is_not_looked_for_without_end() -> None:
    """A text's place may hold a list, as deep as a client likes."""
    value: Any = "\0"
    for _ in range(100_000):
        value = [value]
    assert unstorable_text(value, "it") is None


class Deep(msgspec.Struct):
    moments: tuple[datetime, ...] = ()
    by_name: Mapping[str, datetime] = {}


def test_the_first_difference_is_named() -> None:
    """For messages that must not show values."""
    assert first_difference(Safe("a"), Safe("b")) == "text"
    assert first_difference(Safe("a"), Safe("a", date(2024, 1, 1))) == "day"
    assert first_difference(Safe("a"), Safe("a")) == "?"


BERLIN = ZoneInfo("Europe/Berlin")
ODD_HOURS = [
    datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN),
    datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
    datetime(2026, 3, 29, 2, 30, tzinfo=BERLIN),
]


@pytest.mark.parametrize("moment", ODD_HOURS)
def test_a_moment_of_an_hour_that_a_clock_repeats_or_skips_is_alike_what_is_read(
    moment: datetime,
) -> None:
    """Python calls it unequal to everything but itself."""
    read = datetime.fromisoformat(moment.isoformat())
    assert moment != read
    assert alike(moment, read)
    assert alike(moment, read.astimezone(UTC))
    assert alike(Deep((moment,), {"at": moment}), Deep((read,), {"at": read}))
    assert not alike(moment, read + timedelta(seconds=1))
    assert not alike(moment, read.replace(tzinfo=None))
    assert not alike(Deep((moment,)), Deep((read, read)))
    assert not alike((moment,), [read])
    assert first_difference(Deep((moment,), {"at": moment}), Deep((read,), {})) == "by_name"
