"""States written so that they can be compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec
import pytest

from hitherto import Aggregate, Decider, Event, EventSerializationFailed
from hitherto.application.codec import JsonCodec
from hitherto.application.comparable import Comparable


class Told(Event):
    """Its aggregates hold what a test gives them."""

    at: datetime


class Anything(Aggregate[Told]):
    value: Any = None
    other: Any

    def apply(self, event: Told) -> None:
        """Nothing comes of it."""


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Line(msgspec.Struct, frozen=True):
    tags: frozenset[Any] = frozenset()
    price: Decimal = Decimal(1)


class Turned(msgspec.Struct, frozen=True):
    """Like a line, with its fields the other way round."""

    price: Decimal = Decimal(1)
    tags: frozenset[Any] = frozenset()


@dataclass(frozen=True)
class Plain:
    tags: frozenset[Any]


def written(value: Any) -> bytes:
    """The JSON of a field."""
    aggregate = Anything("a-1")
    aggregate.value = value
    return Comparable(Anything.definition, JsonCodec()).written(aggregate)["value"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"b", "a", "a!", 'a"'}, b'["a","a!","a\\"","b"]'),
        (frozenset({10, 9}), b"[9,10]"),
        ({2, "2", None, 1.5}, b'["2",1.5,2,null]'),
        ({Colour.RED, Colour.BLUE}, b'["blue","red"]'),
        ({frozenset({"b", "a"}), frozenset({"c"})}, b'[["a","b"],["c"]]'),
        ([{"b", "a"}], b'[["a","b"]]'),
        ({"z": {2, 1}, "a": 1}, b'{"a":1,"z":[1,2]}'),
        (Line(tags=frozenset({"b", "a"})), b'{"price":"1","tags":["a","b"]}'),
        ({Line(price=Decimal(2)), Line()}, b'[{"price":"1","tags":[]},{"price":"2","tags":[]}]'),
        (Plain(tags=frozenset({"b", "a"})), b'{"tags":["a","b"]}'),
        ((Line(tags=frozenset("ba")),), b'[{"price":"1","tags":["a","b"]}]'),
    ],
)
def test_what_has_no_order_is_put_in_one(value: Any, told: bytes) -> None:
    """However deep it lies, and though its elements cannot be sorted by themselves."""
    assert written(value) == told


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["a"], ("a",)),
        ({"a", "b"}, ("a", "b")),
        (Colour.RED, "red"),
        (Line(), Turned()),
        (Line(), {"price": Decimal(1), "tags": []}),
        (datetime(2024, 2, 29, tzinfo=UTC), "2024-02-29T00:00:00Z"),
        (Decimal("1.0"), "1.0"),
    ],
)
def test_types_that_are_stored_alike_are_alike(old: Any, new: Any) -> None:
    """Code may change the one for the other, and its snapshots would stay the same."""
    assert written(old) == written(new)


@pytest.mark.parametrize(
    ("old", "new"), [(Decimal("1.0"), 1.0), (Decimal("1.0"), Decimal("1.00")), (1, True), (1, 1.0)]
)
def test_what_is_written_otherwise_is_not_alike(old: Any, new: Any) -> None:
    """Though Python calls it equal: who reads it may see the difference."""
    assert old == new or isinstance(new, float)
    assert written(old) != written(new)


def test_a_state_is_not_changed_by_it() -> None:
    """What is written are copies."""
    line = Line(tags=frozenset({"b", "a"}))
    written({"line": line})
    assert line.tags == {"a", "b"}
    assert isinstance(line.tags, frozenset)


def test_a_field_that_is_not_set_is_left_out() -> None:
    """It has no default, and no event has set it."""
    fields = Comparable(Anything.definition, JsonCodec())
    aggregate = Anything("a-1")
    assert fields.fields == ("value", "other")
    assert fields.written(aggregate) == {"value": b"null"}
    aggregate.other = 1
    assert fields.written(aggregate) == {"value": b"null", "other": b"1"}


def test_what_cannot_be_stored_cannot_be_compared() -> None:
    """A NaN would be written as null, as if nothing were there."""
    with pytest.raises(EventSerializationFailed, match="nan"):
        written(float("nan"))


class Deciding(Decider[Line, Told, int]):
    initial = Line()

    def decide(self, state: Line, command: int) -> list[Told]:
        return []

    def evolve(self, state: Line, event: Told) -> Line:
        return state


class Counting(Decider[int, Told, int]):
    initial = 0

    def decide(self, state: int, command: int) -> list[Told]:
        return []

    def evolve(self, state: int, event: Told) -> int:
        return state + 1


class Listing(Decider[Mapping[str, int] | None, Told, int]):
    initial = None

    def decide(self, state: Mapping[str, int] | None, command: int) -> list[Told]:
        return []

    def evolve(self, state: Mapping[str, int] | None, event: Told) -> Mapping[str, int]:
        return {}


def test_the_state_of_a_decider_is_told_by_its_own_fields() -> None:
    """Where its type has some; else it is one field."""
    lines = Comparable(Deciding.definition, JsonCodec())
    assert lines.fields == ("tags", "price")
    assert lines.written(Deciding()("d-1")) == {"tags": b"[]", "price": b'"1"'}
    for decider, told in ((Counting(), b"0"), (Listing(), b"null")):
        whole = Comparable(decider.definition, JsonCodec())
        assert whole.fields == ("state",)
        assert whole.written(decider("d-1")) == {"state": told}


def test_a_decider_whose_state_is_of_another_type_than_it_says_is_told() -> None:
    """Its fields cannot be found."""
    decided = Deciding()("d-1")
    decided.state = 7  # type: ignore[assignment]
    with pytest.raises(TypeError, match="annotated"):
        Comparable(Deciding.definition, JsonCodec()).written(decided)
