"""Which fields may be personal, and what they are read as when nobody can read them any more."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

import attrs
import msgspec
import pytest
from typing_extensions import TypeAliasType

from hitherto import Aggregate, Event, EventSerializationFailed, InvalidInput, Personal
from hitherto.application.codec import JsonCodec, Serializer
from hitherto.domain.event import EventMeta
from hitherto.domain.personal import REDACTED, personal_fields, subject_of

T = TypeVar("T")


class Address(msgspec.Struct, frozen=True):
    town: str


class Deep(msgspec.Struct, frozen=True):
    names: "tuple[Personal[str], ...]" = ()


class Deeper(msgspec.Struct, frozen=True):
    deep: Deep
    again: "Deeper | None" = None


@dataclass(frozen=True)
class Data:
    name: "Personal[str]"


class Around(msgspec.Struct, frozen=True):
    data: Data | None = None


class Tupled(NamedTuple):
    name: Personal[str]


class Keyed(TypedDict):
    name: Personal[str]


@attrs.frozen
class Attributes:
    name: Personal[str]


class Page(msgspec.Struct, Generic[T], frozen=True):
    item: T
    author: Personal[str]


Name = TypeAliasType("Name", Personal[str])


class Told(Event):
    a: Personal[str]
    b: Personal[str | None] = None
    c: Personal[str] | None = None
    d: Personal[date | None] = None
    e: Personal[Decimal] = Decimal(1)
    f: tuple[Personal[str], ...] = ("x",)
    g: Annotated[Personal[str], msgspec.Meta(max_length=20)] = ""
    h: Personal[Address | None] = None
    i: Personal[Literal["x", "y"]] = "x"
    j: Annotated[Personal[str], msgspec.Meta(max_length=5)] | None = "x"
    k: Personal[str | int] = 0
    z: str = ""
    y: Address = Address("")


def test_a_field_is_redacted_as_its_type_allows() -> None:
    """A text says so; else there is nothing, or what there is by default."""
    default = msgspec.UNSET
    assert personal_fields(Told) == {
        "a": REDACTED, "b": REDACTED, "c": REDACTED, "d": None, "e": default, "f": default,
        "g": REDACTED, "h": None, "i": default, "j": None, "k": REDACTED,
    }  # fmt: skip


@pytest.mark.parametrize(
    "annotation", [Personal[int], Personal[date], tuple[Personal[str], ...], Personal[Address]]
)
def test_a_field_that_cannot_be_redacted_is_refused(annotation: Any) -> None:
    """The message says what to do."""
    namespace = {"__annotations__": {"field": annotation}}
    event = EventMeta("Broken", (Event,), namespace)
    with pytest.raises(TypeError, match=r"Broken.field: .*Personal\[… \| None\]"):
        personal_fields(event)


@pytest.mark.parametrize(
    "annotation",
    [
        Deep,
        tuple[Deeper, ...],
        Mapping[str, Deeper | None],
        Data,
        Around,
        tuple[Tupled, ...],
        Keyed,
        Attributes,
        Page[int],
        TypeAliasType("Moved", Data),
    ],
)
def test_a_mark_inside_another_class_is_refused(annotation: Any) -> None:
    """It would not be found there."""
    namespace = {"__annotations__": {"field": annotation}}
    event = EventMeta("Broken", (Event,), namespace)
    with pytest.raises(TypeError, match=r"Broken\.field: there is a Personal inside"):
        personal_fields(event)


@pytest.mark.parametrize("annotation", [Name, Name | None, tuple[Name, ...] | None])
def test_a_mark_behind_an_alias_counts(annotation: Any) -> None:
    """What `type Name = Personal[str]` names would be stored in plain."""
    event = EventMeta("Named", (Event,), {"__annotations__": {"field": annotation}, "field": None})
    assert "field" in personal_fields(event)


@pytest.mark.parametrize("subject", ["nobody", "number", "name"])
def test_the_subject_is_named_by_a_plain_text(subject: str) -> None:
    """Else nobody could tell who it is."""

    class Sent(Event, subject=subject):
        number: int
        name: Personal[str]

    with pytest.raises(TypeError, match=f"subject='{subject}' names no field"):
        personal_fields(Sent)


def test_a_subject_of_nothing_is_refused() -> None:
    """It is a mistake."""

    class Sent(Event, subject="to"):
        to: str

    with pytest.raises(TypeError, match="but nothing is Personal"):
        personal_fields(Sent)


class Sent(Event, subject="to"):
    to: str
    name: Personal[str]


class Letter(Aggregate[Sent | Told]):
    def apply(self, event: Sent | Told) -> None:
        """Nothing is kept."""


LETTER = Serializer[Any](Letter.definition, JsonCodec())


def test_the_subject_is_the_aggregate_or_what_the_field_says() -> None:
    """As the class tells."""
    assert subject_of(Told(a="x"), "letter-1") == "letter-1"
    assert subject_of(Sent(to="ada", name="x"), "letter-1") == "ada"


@pytest.mark.parametrize("subject", ["", "x" * 256])
def test_a_subject_that_cannot_be_one_is_refused(subject: str) -> None:
    """Before anything is stored."""
    with pytest.raises(InvalidInput, match="the subject of Sent"):
        LETTER.encode(Sent(to=subject, name="x"), "letter-1")


def test_personal_values_are_in_envelopes_until_they_are_sealed() -> None:
    """Each says whom it is about."""
    text = LETTER.encode(Sent(to="ada", name="Ada"), "letter-1")
    assert text == '{"to":"ada","name":{"hitherto.personal":{"subject":"ada","value":"Ada"}}}'


def test_nobody_else_makes_envelopes() -> None:
    """Whoever may choose a value could make events unreadable with them."""

    class Noted(Event):
        values: Mapping[str, Any]
        name: Personal[str] = ""

    class Plain(Event):
        values: Mapping[str, Any]

    class Note(Aggregate[Noted | Plain]):
        pass

    notes = Serializer[Any](Note.definition, JsonCodec())
    forged = {"hitherto.personal": {"subject": "x", "key": 1, "sealed": "AAAA"}}
    later = {"a longer key than that": 1, **forged}  # PostgreSQL stores the shorter one first
    for event in (Noted(values=forged), Plain(values=forged), Plain(values=later)):
        with pytest.raises(EventSerializationFailed, match="'values' has the key"):
            notes.encode(event, "n-1")
    notes.encode(Plain(values={"inside": forged, "text": '{"hitherto.personal":1}'}), "n-1")
