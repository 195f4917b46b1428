"""Whether `check` calls a change breaking agrees with what the decoder does to old events."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct

from hitherto import Event
from hitherto.application.checking.describing import fields_of
from hitherto.application.checking.fieldtypes import checked
from hitherto.application.checking.reading import HARMLESS, Issue, issues
from hitherto.application.codec import JsonCodec
from hitherto.domain.event import EventMeta

CODEC = JsonCodec()


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class MoreColours(Enum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class Level(Enum):
    LOW = 1
    HIGH = 2


class Line(Struct, frozen=True):
    price: Decimal
    count: int = 1


class LineWithNote(Struct, frozen=True):
    price: Decimal
    count: int = 1
    note: str | None = None


class LineWithTax(Struct, frozen=True):
    price: Decimal
    tax: Decimal
    count: int = 1


class LineInFull(Struct, frozen=True):
    price: Decimal
    count: int


class LineOfFloat(Struct, frozen=True):
    price: float
    count: int = 1


class BareLine(Struct, frozen=True):
    price: Decimal


class StrictLine(Struct, frozen=True, forbid_unknown_fields=True):
    price: Decimal


class TaggedLine(Struct, frozen=True, tag="line"):
    price: Decimal
    count: int = 1


class Circle(Struct, frozen=True, tag=True):
    radius: int


class Square(Struct, frozen=True, tag=True):
    side: int


class Point(Struct, frozen=True, array_like=True):
    x: int
    y: int


class Point3(Struct, frozen=True, array_like=True):
    x: int
    y: int
    z: int = 0


class Tree(Struct, frozen=True):
    name: str
    children: tuple["Tree", ...] = ()


class WideTree(Struct, frozen=True):
    name: str | None
    children: tuple["WideTree", ...] = ()


class FlatTree(Struct, frozen=True):
    name: str


whole = st.integers(-(2**60), 2**60)
small = st.integers(-5, 5)
real = st.floats(allow_nan=False, allow_infinity=False)
money = st.decimals(-(10**6), 10**6, places=2)
text = st.text("abc", max_size=4)
moment = st.datetimes(timezones=st.just(UTC))
plain = st.none() | st.booleans() | small | text
price = st.builds(Line, price=money, count=small)
tree = st.recursive(
    st.builds(Tree, name=text),
    lambda inside: st.builds(Tree, name=text, children=st.lists(inside, max_size=2).map(tuple)),
    max_leaves=4,
)


def tuples(item: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(item, max_size=3).map(tuple)


TYPES: Mapping[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "bool": (bool, st.booleans()),
    "int": (int, whole),
    "int ≥ 0": (Annotated[int, Meta(ge=0)], st.integers(0, 9)),
    "int > 0": (Annotated[int, Meta(gt=0)], st.integers(1, 9)),
    "int 1 … 5": (Annotated[int, Meta(ge=1, le=5)], st.integers(1, 5)),
    "int < 6": (Annotated[int, Meta(lt=6)], st.integers(-9, 5)),
    "even": (Annotated[int, Meta(multiple_of=2)], small.map(lambda n: 2 * n)),
    "int | None": (int | None, st.none() | small),
    "int | str": (int | str, small | text),
    "int ≥ 0 | float": (Annotated[int, Meta(ge=0)] | float, st.integers(0, 9) | real),
    "int | float": (int | float, whole | real),
    "float": (float, real),
    "float ≥ 0": (Annotated[float, Meta(ge=0)], st.floats(0, 1e9)),
    "float | None": (float | None, st.none() | real),
    "Decimal": (Decimal, money),
    "Decimal | None": (Decimal | None, st.none() | money),
    "Decimal | int": (Decimal | int, money | small),
    "str": (str, text),
    "str | None": (str | None, st.none() | text),
    "short": (Annotated[str, Meta(max_length=2)], st.text("ab", max_size=2)),
    "long": (Annotated[str, Meta(min_length=3)], st.text("ab", min_size=3, max_size=5)),
    "letters": (Annotated[str, Meta(pattern="^[a-b]*$")], st.text("ab", max_size=4)),
    "datetime": (datetime, moment),
    "zoned": (Annotated[datetime, Meta(tz=True)], moment),
    "datetime | None": (datetime | None, st.none() | moment),
    "date": (date, st.dates()),
    "time": (time, st.times()),
    "timedelta": (timedelta, st.integers(0, 10**6).map(lambda n: timedelta(seconds=n))),
    "UUID": (UUID, st.uuids()),
    "bytes": (bytes, st.binary(max_size=4)),
    "Any": (Any, plain),
    "Literal a": (Literal["a"], st.just("a")),
    "Literal a b": (Literal["a", "b"], st.sampled_from(["a", "b"])),
    "Literal a 1": (Literal["a", 1], st.sampled_from(["a", 1])),
    "Literal a None": (Literal["a"] | None, st.sampled_from(["a", None])),
    "Literal 1 | float": (Literal[1] | float, st.just(1) | real),
    "Literal red blue": (Literal["red", "blue"], st.sampled_from(["red", "blue"])),
    "Colour": (Colour, st.sampled_from(Colour)),
    "MoreColours": (MoreColours, st.sampled_from(MoreColours)),
    "Colour | None": (Colour | None, st.none() | st.sampled_from(Colour)),
    "Level": (Level, st.sampled_from(Level)),
    "ints": (tuple[int, ...], tuples(small)),
    "ints or none": (tuple[int | None, ...], tuples(st.none() | small)),
    "decimals": (tuple[Decimal, ...], tuples(money)),
    "some ints": (
        Annotated[tuple[int, ...], Meta(min_length=1)],
        st.lists(small, min_size=1, max_size=3).map(tuple),
    ),
    "set of ints": (frozenset[int], st.frozensets(small, max_size=3)),
    "pair": (tuple[int, str], st.tuples(small, text)),
    "pair of ints": (tuple[int, int], st.tuples(small, small)),
    "triple": (tuple[int, int, int], st.tuples(small, small, small)),
    "mapping": (Mapping[str, int], st.dictionaries(text, small, max_size=3)),
    "mapping to int | None": (
        Mapping[str, int | None],
        st.dictionaries(text, st.none() | small, max_size=3),
    ),
    "mapping of ints": (Mapping[int, int], st.dictionaries(small, small, max_size=3)),
    "Line": (Line, price),
    "Line | None": (Line | None, st.none() | price),
    "Lines": (tuple[Line, ...], tuples(price)),
    "LineWithNote": (
        LineWithNote,
        st.builds(LineWithNote, price=money, count=small, note=st.none() | text),
    ),
    "LineWithTax": (LineWithTax, st.builds(LineWithTax, price=money, tax=money, count=small)),
    "LineInFull": (LineInFull, st.builds(LineInFull, price=money, count=small)),
    "LineOfFloat": (LineOfFloat, st.builds(LineOfFloat, price=real, count=small)),
    "BareLine": (BareLine, st.builds(BareLine, price=money)),
    "StrictLine": (StrictLine, st.builds(StrictLine, price=money)),
    "TaggedLine": (TaggedLine, st.builds(TaggedLine, price=money, count=small)),
    "Circle": (Circle, st.builds(Circle, radius=small)),
    "Circle | Square": (
        Circle | Square,
        st.builds(Circle, radius=small) | st.builds(Square, side=small),
    ),
    "Point": (Point, st.builds(Point, x=small, y=small)),
    "Point3": (Point3, st.builds(Point3, x=small, y=small, z=small)),
    "Tree": (Tree, tree),
    "WideTree": (
        WideTree,
        tree.map(lambda each: msgspec.convert(msgspec.to_builtins(each), WideTree)),
    ),
    "FlatTree": (FlatTree, st.builds(FlatTree, name=text)),
}

CLASSES: Mapping[str, Any] = {
    name: EventMeta("Happened", (Event,), {"__annotations__": {"f": its}, "__module__": __name__})
    for name, (its, _) in TYPES.items()
}
DECODERS: Mapping[str, Callable[[str], Any]] = {
    name: CODEC.decoder(cls) for name, cls in CLASSES.items()
}
FIELDS = {name: fields_of(cls) for name, cls in CLASSES.items()}
BREAKS = {
    (old, new): [each for each in issues(FIELDS[old], FIELDS[new]) if each.kind not in HARMLESS]
    for old in TYPES
    for new in TYPES
}


def covers(now: Any, before: Any) -> bool:
    """Whether nothing of some JSON is lost in other JSON: neither a key nor an item."""
    if isinstance(before, dict) and isinstance(now, dict):
        told = before.keys() - {"type"}  # The tag of a struct is no data.
        return all(key in now and covers(now[key], before[key]) for key in told)
    if isinstance(before, list) and isinstance(now, list):
        kept = all(any(covers(each, item) for each in now) for item in before)
        return kept and len(now) >= len(before)
    if type(before) is int and isinstance(now, float | str):  # A Decimal is a text.
        return now in {float(before), str(before)}
    return type(before) is type(now) and bool(now == before)


def survives(old: str, new: str, value: Any) -> bool:
    """Whether an event of the old class is read by the new one, and says the same."""
    stored = CODEC.encode(CLASSES[old](f=value))
    try:
        read = DECODERS[new](stored)
    except (ValueError, RecursionError):
        return False
    return bool(read.f == value) or covers(json.loads(CODEC.encode(read)), json.loads(stored))


def is_same(old: str, new: str, value: Any) -> bool:
    """Whether it also is the same in Python."""
    if not survives(old, new, value):
        return False
    read = DECODERS[new](CODEC.encode(CLASSES[old](f=value))).f
    return bool(read == value) or (isinstance(value, Struct) and isinstance(read, Struct))


NEEDLESS = {
    ("short", "letters"),  # Only a and b are drawn.
    ("long", "letters"),
    ("mapping", "Any"),
    ("mapping to int | None", "Any"),
    ("Line", "LineInFull"),  # Today's code writes the field, but did it always?
    ("TaggedLine", "LineInFull"),
    ("WideTree", "Tree"),  # None is not drawn.
}


@pytest.mark.parametrize("old", TYPES)
def test_what_is_called_breaking_breaks(old: str) -> None:
    """Some value of the old type is refused, loses something, or is another one in Python."""
    drawn: list[Any] = []

    @settings(
        max_examples=60, deadline=None, derandomize=True, database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    @given(TYPES[old][1])
    def draw(value: Any) -> None:
        drawn.append(value)

    draw()
    needless = {
        (old, new)
        for new in TYPES
        if BREAKS[old, new] and all(is_same(old, new, value) for value in drawn)
    }
    assert needless == {(one, other) for one, other in NEEDLESS if one == old}


@pytest.mark.parametrize("old", TYPES)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_passes_is_read_and_nothing_of_it_is_lost(old: str, data: st.DataObject) -> None:
    """There are no false passes: with each other type in the place of the old one."""
    value = data.draw(TYPES[old][1])
    for new in TYPES:
        if not BREAKS[old, new]:
            assert survives(old, new, value), (old, new, value)


PAIRS: list[tuple[Any, Any, str | None]] = [
    (int, int | None, None),
    (int, float, None),
    (Colour, MoreColours, None),
    (Literal["a"], Literal["a", "b"], None),
    (Line, LineWithNote, None),
    (Annotated[int, Meta(ge=1)], Annotated[int, Meta(gt=0)], None),
    (datetime, Annotated[datetime, Meta(tz=True)], None),
    (int | str, int, "type-narrowed"),
    (str | None, str, "type-narrowed"),
    (str, Literal["a"], "type-narrowed"),
    (MoreColours, Colour, "type-narrowed"),
    (int, Annotated[int, Meta(ge=0)], "type-narrowed"),
    (Decimal, float, "type-changed"),
    (float, Decimal, "type-changed"),
    (Decimal, str, "type-changed"),
    (str, int, "type-changed"),
    (Line, BareLine, "field-removed"),
    (Line, LineWithTax, "field-required"),
    (Line, LineInFull, "field-required"),
    (Line, LineOfFloat, "type-changed"),
]


def differences(old: Any, new: Any) -> list[Issue]:
    """What happens to a field `f`."""
    return issues(*(fields_of(msgspec.defstruct("S", [("f", each)])) for each in (old, new)))


@pytest.mark.parametrize(("old", "new", "kind"), PAIRS, ids=str)
def test_each_way_of_breaking_has_its_name(old: Any, new: Any, kind: str | None) -> None:
    """And what passes has at most a note."""
    found = [each.kind for each in differences(old, new) if each.kind not in HARMLESS]
    assert found == ([] if kind is None else [kind])


def test_a_narrowed_enum_tells_what_is_refused() -> None:
    """The members that are gone, and only they."""
    (found,) = differences(MoreColours, Colour)
    assert found.what == "`f` takes `'green'` no more (MoreColours → Colour)"


def test_a_change_deep_inside_tells_where_it_is() -> None:
    """A struct in a mapping in a tuple."""
    (found,) = differences(tuple[Mapping[str, Line], ...], tuple[Mapping[str, LineOfFloat], ...])
    assert found.path == "f[][].price"


def test_a_field_that_goes_while_another_comes_may_have_been_renamed() -> None:
    """If it has the same type; it is asked, not claimed."""
    old = msgspec.defstruct("S", [("name", str), ("size", int)])
    new = msgspec.defstruct("S", [("size", int), ("title", str, ""), ("weight", float, 0.0)])
    (found,) = issues(fields_of(old), fields_of(new))
    assert found.kind == "field-removed"
    assert found.what == "`name` (str) is read by nothing; renamed to `title`?"


def test_another_default_is_a_note() -> None:
    """Old events without the field are read with the new one."""
    old = msgspec.defstruct("S", [("language", str, "en")])
    new = msgspec.defstruct("S", [("language", str, "de")])
    (found,) = issues(fields_of(old), fields_of(new))
    assert found.kind == "default-changed"
    assert found.what == "`language` is 'de' where it is missing, and was 'en'"


def test_every_type_is_described_by_a_text_that_can_be_read_back() -> None:
    """The texts name no structure that is not told."""
    for fields in FIELDS.values():
        texts = [*fields.fields.values()]
        texts += [text for each in fields.types.values() for text in each.fields.values()]
        checked(texts, fields.types)


def test_the_texts_read_as_annotations_do() -> None:
    """One line for each field, which a reviewer understands."""
    cls = msgspec.defstruct(
        "S",
        [
            ("amount", Decimal),
            ("note", str | None, None),
            ("count", Annotated[int, Meta(ge=1, le=9)], 1),
            ("lines", tuple[Line, ...], ()),
            ("by", Mapping[str, Colour | None]),
            ("kind", Literal["b", "a"], "a"),
            ("pair", tuple[int, UUID]),
            ("at", datetime, datetime(2020, 1, 1, tzinfo=UTC)),
            ("perhaps", int | msgspec.UnsetType, msgspec.UNSET),
            ("id", UUID, msgspec.field(default_factory=lambda: UUID(int=0))),
            ("names", Annotated[tuple[str, ...], Meta(min_length=1)]),
        ],
        kw_only=True,
    )
    fields = fields_of(cls)
    assert fields.fields == {
        "amount": "Decimal",
        "note": "str | None = None",
        "count": "int(ge=1, le=9) = 1",
        "lines": "tuple[Line, ...] = ()",
        "by": "Mapping[str, Colour | None]",
        "kind": "Literal['a', 'b'] = 'a'",
        "pair": "tuple[int, UUID]",
        "at": "datetime = '2020-01-01T00:00:00Z'",
        "perhaps": "int = UNSET",
        "id": "UUID = ...",
        "names": "tuple[str, ...](min_length=1)",
    }
    assert fields.types["Colour"].values == ("red", "blue")
    assert fields.types["Line"].fields == {"price": "Decimal", "count": "int = 1"}


def test_two_structs_of_one_name_are_told_apart() -> None:
    """As where two modules have one each."""
    other = msgspec.defstruct("Line", [("text", str)], frozen=True)
    fields = fields_of(msgspec.defstruct("S", [("a", Line), ("b", other)]))
    assert fields.fields == {"a": "Line", "b": "Line2"}
    assert fields.types["Line2"].fields == {"text": "str"}
