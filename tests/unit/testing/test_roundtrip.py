"""`verify_roundtrip`: events that are read as they were written pass, and others are told."""

import enum
import sys
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta

from hitherto import Aggregate, Event, InvalidInput, JsonCodec, Personal
from hitherto.testing import verify_roundtrip
from hitherto.testing.repository_contract.domain import Account, Counter


class Colour(enum.Enum):
    RED = "red"


class Place(msgspec.Struct, frozen=True):
    name: str
    inside: "Place | None" = None


class Point:
    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and self.x == other.x

    def __repr__(self) -> str:
        return f"Point({self.x})"


LOSSY = JsonCodec(enc_hook=lambda point: abs(point.x), dec_hook=lambda _, x: Point(x))


class Everything(Event, subject="who"):
    who: str
    text: Personal[str]
    short: Annotated[str, Meta(min_length=2, max_length=3)]
    code: Annotated[str, Meta(pattern="^[a-z]{2}$")]
    number: Annotated[int, Meta(gt=3, le=90, multiple_of=4)]
    share: Annotated[float, Meta(ge=0, lt=1)]
    amount: Decimal
    at: datetime
    day: date
    hour: time
    took: timedelta
    id: UUID
    raw: bytes
    colour: Colour
    kind: Literal["a", 1]
    place: Place
    pairs: tuple[tuple[int, bool], ...]
    names: frozenset[str]
    counts: Mapping[str, int]
    anything: Any
    maybe: int | None = None
    perhaps: str | msgspec.UnsetType = msgspec.UNSET


class Naive(Event):
    at: Annotated[datetime, Meta(tz=False)]


class Pointed(Event):
    fine: int
    point: Point


class Positive(Event):
    number: int

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError("negative")


class Never(Event):
    number: int

    def __post_init__(self) -> None:
        raise ValueError("never")


class Renamed(Event, schema=3, formerly="Named"):
    name: str
    length: int = 0


@Renamed.upcast(2)
def _(fields: dict[str, Any]) -> dict[str, Any]:
    return {"name": fields["title"]}


class Thing(Aggregate[Renamed | Positive]):
    pass


class Gone(Event):
    pass


class Split(Aggregate[Gone]):
    pass


@Split.upcast("Burst")
def _burst(fields: dict[str, Any]) -> list[Gone]:
    return [Gone()] * fields["parts"]


@pytest.mark.parametrize("events", [Everything, Renamed | Positive, Account, Counter(), Thing])
def test_what_can_be_stored_passes(events: Any) -> None:
    """A class, a union, an aggregate, a decider; of every type that there is."""
    verify_roundtrip(events, max_examples=10)


def test_a_field_that_is_read_again_changed_is_told() -> None:
    """By the simplest value that shows it; the others are not."""
    with pytest.raises(AssertionError) as caught:
        verify_roundtrip(Pointed, codec=LOSSY)
    told = "  Pointed.point: Point(-1) is written as 1, and read again as Point(1)"
    assert str(caught.value).splitlines()[1:] == [told]


def test_a_value_that_cannot_be_written_is_told() -> None:
    """And why."""
    with pytest.raises(AssertionError, match=r"Naive\.at: datetime.* cannot be written: .*zone"):
        verify_roundtrip(Naive)


def test_examples_may_be_given() -> None:
    """Then none are made of that class."""
    verify_roundtrip(Pointed, Pointed(fine=1, point=Point(1)), codec=LOSSY)
    with pytest.raises(AssertionError, match=r"Pointed\.fine: '1' is written as .1., which"):
        verify_roundtrip(Pointed, Pointed(fine="1", point=Point(1)), codec=LOSSY)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="Gone is none of the classes to verify"):
        verify_roundtrip(Positive, Gone())


def test_a_class_that_no_codec_knows_is_told_by_its_field() -> None:
    """And passes with a codec that does."""
    with pytest.raises(AssertionError, match=r"Pointed\.point: .*Point") as caught:
        verify_roundtrip(Pointed, Pointed(fine=1, point=Point(1)))
    assert "Pointed.fine" not in str(caught.value)


def test_a_codec_of_ones_own_is_used() -> None:
    """As the store would."""
    codec = JsonCodec(max_payload=20)
    with pytest.raises(AssertionError, match="takes 32 bytes as JSON, at most 20"):
        verify_roundtrip(Renamed, Renamed(name="0123456789"), codec=codec)


def test_stored_events_are_read_through_upcasters() -> None:
    """Of former names, too; the lines of an export, of which other aggregates' are left."""
    verify_roundtrip(
        Thing,
        stored=[
            '{"format": "hitherto events", "version": 1}',
            '{"event_type": "Named", "schema_version": 1, "data": {"title": "x"}}',
            {"event_type": "Renamed", "schema_version": 2, "data": {"title": "x"}},
            {"event_type": "Renamed", "schema_version": 3, "data": {"name": "x"}},
            {"event_type": "Opened", "aggregate_type": "Account", "data": {}},
        ],
    )
    verify_roundtrip(Split, stored=[{"event_type": "Burst", "data": {"parts": 2}}])


def test_what_stored_events_are_read_as_can_be_written() -> None:
    """Else no copy of the store could be made."""
    stored = [{"event_type": "Pointed", "data": {"fine": 1, "point": -7}}]
    with pytest.raises(AssertionError, match=r"Pointed\.point: Point\(-7\) is written as 7"):
        verify_roundtrip(Pointed, Pointed(fine=1, point=Point(1)), codec=LOSSY, stored=stored)


def test_the_classes_belong_to_no_other_aggregate_than_before() -> None:
    """Their upcasters would be looked for there."""
    verify_roundtrip(Gone | Pointed, Gone(), Pointed(fine=1, point=Point(1)), codec=LOSSY)
    assert list(Gone.__definitions__) == ["Split"]
    assert not Pointed.__definitions__


@pytest.mark.parametrize(
    ("sample", "told"),
    [
        ({"event_type": "Renamed", "data": {"name": "x"}}, "the upcaster for schema 2 raised"),
        (
            {"event_type": "Renamed", "schema_version": 3, "data": {"name": 1}},
            "Expected `str`, got `int` - at `$.name`",
        ),
        ({"event_type": "Renamed", "schema_version": 4, "data": {}}, "is newer than the code"),
        ({"event_type": "Lost", "data": {}}, "of a type that Thing does not know"),
    ],
)
def test_a_stored_event_that_cannot_be_read_is_told(sample: Any, told: str) -> None:
    """With its number, and why."""
    good = {"event_type": "Renamed", "schema_version": 3, "data": {"name": "x"}}
    with pytest.raises(AssertionError) as caught:
        verify_roundtrip(Thing, stored=[good, sample])
    assert "stored[1]: event" in str(caught.value)
    assert told in str(caught.value)


@pytest.mark.parametrize("sample", ["[]", "{", {"data": {}}, {"event_type": "Renamed"}, 3])
def test_what_is_told_otherwise_is_refused(sample: Any) -> None:
    """Rather than passed over."""
    with pytest.raises(InvalidInput, match=r"stored\[0\] is not told as"):
        verify_roundtrip(Thing, stored=[sample])


def test_stored_events_of_other_aggregates_alone_are_refused() -> None:
    """Of none of them would be said whether it can be read."""
    sample = {"event_type": "Renamed", "aggregate_type": "Old", "data": {"name": 1}}
    with pytest.raises(InvalidInput, match="stored tells of other aggregates alone"):
        verify_roundtrip(Thing, stored=[sample])


def test_what_has_no_example_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would pass without a word."""
    with pytest.raises(InvalidInput, match="no example of Never could be made"):
        verify_roundtrip(Never)
    with pytest.raises(InvalidInput, match="is not a subclass of Event"):
        verify_roundtrip(Point)
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InvalidInput, match="no example of Positive: give one, or install"):
        verify_roundtrip(Positive)
    verify_roundtrip(Positive, Positive(number=1))
    verify_roundtrip(Renamed, stored=['{"event_type": "Named", "data": {"title": "x"}}'])
