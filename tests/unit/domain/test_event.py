"""Events are immutable facts, and so are their fields."""

import collections
import dataclasses
from collections.abc import (
    Callable,
    Mapping,
    MutableMapping,
    MutableSequence,
    MutableSet,
    Sequence,
)
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ForwardRef, Literal, NamedTuple

import msgspec
import pytest
from typing_extensions import TypeAliasType

from hitherto import Event, InvalidInput
from hitherto.domain.event import EventMeta, check_event_class


class Address(msgspec.Struct, frozen=True):
    city: str
    lines: tuple[str, ...] = ()


class Open(msgspec.Struct):
    city: str


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    tags: frozenset[str] = frozenset()


@dataclasses.dataclass
class OpenPoint:
    x: int


class Deep(msgspec.Struct, frozen=True):
    names: list[str]


@dataclasses.dataclass(frozen=True)
class DeepPoint:
    names: set[str]


class Named(NamedTuple):
    tags: list[str]


TAGS: Any = TypeAliasType("Tags", list[str])


class Tree(msgspec.Struct, frozen=True):
    children: "tuple[Tree, ...]" = ()


class UserCreated(Event):
    email: str
    name: str = "nobody"


class Renamed(Event, type="user-renamed", schema=3):
    name: str


def define(annotation: Any) -> Any:
    return EventMeta(
        "Defined", (Event,), {"__module__": __name__, "__annotations__": {"field": annotation}}
    )


def test_its_fields_are_keyword_only() -> None:
    """So that a field can be added anywhere."""
    assert UserCreated(email="a@b.c").name == "nobody"
    positional: Any = UserCreated
    with pytest.raises(TypeError):
        positional("a@b.c")


def test_it_cannot_be_changed() -> None:
    """Neither set nor deleted nor added."""
    event: Any = UserCreated(email="a@b.c")
    for name in ("email", "other"):
        with pytest.raises(AttributeError):
            setattr(event, name, "x")
    with pytest.raises(AttributeError):
        del event.email


def test_events_are_equal_by_their_class_and_fields() -> None:
    """They can be members of sets, too."""
    assert Renamed(name="a") == Renamed(name="a")
    assert Renamed(name="a") != Renamed(name="b")
    assert len({Renamed(name="a"), Renamed(name="a"), Renamed(name="b")}) == 2


def test_its_stored_name_is_its_class_name_unless_another_is_given() -> None:
    """The schema version is 1 unless another is given."""
    assert (UserCreated.__event_type__, UserCreated.__schema_version__) == ("UserCreated", 1)
    assert (Renamed.__event_type__, Renamed.__schema_version__) == ("user-renamed", 3)


def test_a_subclass_has_a_name_of_its_own() -> None:
    """It inherits fields, and neither name nor schema."""

    class RenamedTwice(Renamed):
        again: str

    assert RenamedTwice.__struct_fields__ == ("name", "again")
    assert (RenamedTwice.__event_type__, RenamedTwice.__schema_version__) == ("RenamedTwice", 1)


@pytest.mark.parametrize("name", ["x" * 256, "a\0b", "a\ud800"])
def test_a_name_that_cannot_be_stored_is_refused(name: str) -> None:
    """At definition."""
    with pytest.raises(InvalidInput, match="stored name of event class Bad"):
        EventMeta("Bad", (Event,), {}, type=name)


def test_a_name_of_255_characters_can_be_stored() -> None:
    """Characters count, not bytes."""
    event: Any = EventMeta("Long", (Event,), {}, type="😀" * 255)
    assert event.__event_type__ == "😀" * 255


@pytest.mark.parametrize("schema", [0, -1, 32_768])
def test_a_schema_version_fits_its_column(schema: int) -> None:
    """From 1 to 32767."""
    with pytest.raises(TypeError, match="32767"):
        EventMeta("Bad", (Event,), {}, schema=schema)


@pytest.mark.parametrize(
    ("annotation", "part", "remedy"),
    [
        (list[str], "list", "tuple"),
        (list, "list", "tuple"),
        (set[int], "set", "frozenset"),
        (dict[str, int], "dict", "Mapping"),
        (bytearray, "bytearray", "bytes"),
        (collections.deque[int], "deque", "tuple"),
        (collections.defaultdict[str, int], "defaultdict", "Mapping"),
        (collections.OrderedDict[str, int], "OrderedDict", "Mapping"),
        (collections.Counter[str], "Counter", "Mapping"),
        (MutableSequence[int], "MutableSequence", "tuple"),
        (MutableSet[int], "MutableSet", "frozenset"),
        (MutableMapping[str, int], "MutableMapping", "Mapping"),
        (tuple[list[int], ...], "list", "tuple"),
        (list[int] | None, "list", "tuple"),
        (Mapping[str, set[int]], "set", "frozenset"),
        (Annotated[list[int], "note"], "list", "tuple"),
        (Open, "Open", "a frozen struct"),
        (tuple[Open, ...], "Open", "a frozen struct"),
        (OpenPoint, "OpenPoint", "a frozen dataclass"),
        (Deep, "list", "tuple"),
        (DeepPoint, "set", "frozenset"),
        (TAGS, "list", "tuple"),
        (tuple[TAGS, ...], "list", "tuple"),
        (Named, "list", "tuple"),
    ],
)
def test_a_field_of_a_mutable_type_is_refused(annotation: Any, part: str, remedy: str) -> None:
    """At definition, with what to use in its place."""
    with pytest.raises(TypeError, match=rf"Defined\.field: .*{part} is not; use {remedy}"):
        define(annotation)


@pytest.mark.parametrize(
    "annotation",
    [
        str,
        Decimal,
        datetime,
        tuple[int, ...],
        frozenset[str],
        Mapping[str, tuple[int, ...]],
        Sequence[int],
        Address,
        Address | None,
        Point,
        Tree,
        Literal["a", "b"],
        Annotated[int, msgspec.Meta(ge=0)],
        Callable[[int], str],
        Any,
    ],
)
def test_a_field_of_an_immutable_type_is_accepted(annotation: Any) -> None:
    """Frozen structs and dataclasses, tuples, mappings and plain values."""
    assert define(annotation).__struct_fields__ == ("field",)


def test_a_forward_reference_is_checked_when_a_union_names_the_class() -> None:
    """Before that it cannot be resolved."""
    event = define(ForwardRef("NotYetDefined"))
    check_event_class(event)
    globals()["NotYetDefined"] = Open
    try:
        with pytest.raises(TypeError, match="Open is not; use a frozen struct"):
            check_event_class(event)
    finally:
        del globals()["NotYetDefined"]


@pytest.mark.parametrize("stranger", [Event, str, "UserCreated", None, UserCreated(email="")])
def test_only_subclasses_are_event_classes(stranger: object) -> None:
    """Neither Event itself, nor an instance, nor anything else."""
    with pytest.raises(TypeError, match="is not a subclass of Event"):
        check_event_class(stranger)
