"""Releases of an example, each compared with what the schema file knows of those before."""

from collections.abc import Mapping
from contextlib import nullcontext
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest
from msgspec import defstruct

from hitherto import Aggregate, ConfigurationError, Event, Personal
from hitherto.application.checking.changes import changes
from hitherto.application.checking.describing import described
from hitherto.application.checking.files import read_schemas, write_schemas
from hitherto.application.checking.problems import Problem
from hitherto.application.checking.schemas import Schemas, merged
from hitherto.application.codec import JsonCodec
from hitherto.domain.event import EventMeta


def release(*events: Any, name: str = "Customer") -> Any:
    """An aggregate of these events."""
    union = events[0]
    for each in events[1:]:
        union |= each

    class Customer(Aggregate[union], type=name):  # type: ignore[valid-type]
        def apply(self, event: Any) -> None:
            pass

    return Customer


def event(name: str, fields: Mapping[str, Any], /, **options: Any) -> Any:
    """An event class; a field is a type, or a type and a default."""
    made = {key: each if isinstance(each, tuple) else (each,) for key, each in fields.items()}
    body = {
        "__annotations__": {key: each[0] for key, each in made.items()},
        "__module__": __name__,
        **{key: each[1] for key, each in made.items() if len(each) == 2},
    }
    return EventMeta(name, (Event,), body, **options)


def schemas(*aggregates: Any) -> Schemas:
    """What the code of a release is."""
    return described({each.definition.aggregate_type: each.definition for each in aggregates})


def compared(known: Schemas, *today: Any) -> list[Problem]:
    """What breaks."""
    return [each for each in changes(known, schemas(*today)) if each.breaks]


def notes(known: Schemas, *today: Any) -> set[str]:
    """The kinds of the notes."""
    return {each.kind for each in changes(known, schemas(*today)) if not each.breaks}


def between(old: Mapping[str, Any], new: Mapping[str, Any], **options: Any) -> list[Problem]:
    """What breaks when the fields of an event become others."""
    known = schemas(release(event("Joined", old)))
    return compared(known, release(event("Joined", new, **options)))


BASE = {"mail": str, "balance": Decimal, "visits": int | str}


class Plan(Enum):
    FREE = "free"
    PAID = "paid"


class OldPlan(Enum):
    FREE = "free"
    PAID = "paid"
    TRIAL = "trial"


BREAKING: dict[str, tuple[Mapping[str, Any], Mapping[str, Any], set[str]]] = {
    "renamed field": (
        BASE,
        {"address": str, "balance": Decimal, "visits": int | str},
        {"field-removed", "field-required"},
    ),
    "renamed field with a default": (
        BASE,
        {"address": (str, ""), "balance": Decimal, "visits": int | str},
        {"field-removed"},
    ),
    "removed field": (BASE, {"mail": str, "balance": Decimal}, {"field-removed"}),
    "narrowed type": (BASE, {**BASE, "visits": int}, {"type-narrowed"}),
    "text to literal": (BASE, {**BASE, "mail": Literal["a", "b"]}, {"type-narrowed"}),
    "optional to required": ({"mail": str | None}, {"mail": str}, {"type-narrowed"}),
    "removed enum member": ({"plan": OldPlan}, {"plan": Plan}, {"type-narrowed"}),
    "new required field": (BASE, {**BASE, "language": str}, {"field-required"}),
    "default dropped": ({"mail": (str, "")}, {"mail": str}, {"field-required"}),
    "Decimal to float": (BASE, {**BASE, "balance": float}, {"type-changed"}),
    "float to Decimal": ({"balance": float}, {"balance": Decimal}, {"type-changed"}),
    "changed type": (BASE, {**BASE, "mail": int}, {"type-changed"}),
}

PASSING: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "nothing": (BASE, BASE),
    "new optional field": (BASE, {**BASE, "language": (str | None, None)}),
    "new field with a default": (BASE, {**BASE, "language": (str, "en")}),
    "widened to optional": (BASE, {**BASE, "mail": str | None}),
    "widened to float": ({"visits": int}, {"visits": float}),
    "new enum member": ({"plan": Plan}, {"plan": OldPlan}),
    "new literal": ({"plan": Literal["a"]}, {"plan": Literal["a", "b"]}),
    "fields in another order": (BASE, dict(reversed(BASE.items()))),
}


@pytest.mark.parametrize("name", BREAKING)
def test_a_change_that_breaks_is_caught(name: str) -> None:
    """With the event, the schema, and a remedy that says what to register."""
    old, new, kinds = BREAKING[name]
    found = between(old, new)
    assert {each.kind for each in found} == kinds
    for each in found:
        assert (each.aggregate_type, each.event_type, each.schema) == ("Customer", "Joined", 1)
        assert "raise schema= to 2 and register Joined.upcast(1)" in str(each.remedy)


@pytest.mark.parametrize("name", BREAKING)
def test_it_passes_with_a_new_schema_and_an_upcaster(name: str) -> None:
    """What the upcaster gives is judged by decoding; that is said."""
    old, new, _ = BREAKING[name]
    today = event("Joined", new, schema=2)
    today.upcast(1)(dict)
    known = schemas(release(event("Joined", old)))
    assert compared(known, release(today)) == []
    assert "upcast" in notes(known, release(today))


@pytest.mark.parametrize("name", BREAKING)
def test_a_new_schema_alone_is_not_enough(name: str) -> None:
    """Without an upcaster the old fields are read as the new ones."""
    old, new, kinds = BREAKING[name]
    found = between(old, new, schema=2)
    assert {each.kind for each in found} == kinds
    assert all(str(each.remedy).startswith("register Joined.upcast(1)") for each in found)


@pytest.mark.parametrize("name", PASSING)
def test_a_change_that_breaks_nothing_passes(name: str) -> None:
    """Without a new schema, and with one."""
    old, new = PASSING[name]
    assert between(old, new) == between(old, new, schema=2) == []


@pytest.mark.parametrize(
    ("after", "kind"),
    [
        (str, None),
        (str | None, None),
        (date | None, "type-narrowed"),
        (int | None, "type-narrowed"),
    ],
)
def test_a_field_that_is_personal_no_more_is_read_when_it_was_forgotten(
    after: Any, kind: str | None
) -> None:
    """As a text, which not every type takes; the decoder refuses what is told."""
    personal: Any = Personal
    known = schemas(release(event("Joined", {"about": personal[after]})))
    today = event("Joined", {"about": after})
    assert [each.kind for each in compared(known, release(today))] == ([kind] if kind else [])
    assert ("personal-removed" in notes(known, release(today))) == (kind is None)
    with pytest.raises(ValueError, match="about") if kind else nullcontext():
        JsonCodec().decoder(today)('{"about": "[redacted]"}')


def test_a_field_that_becomes_personal_is_told() -> None:
    """What was stored before cannot be forgotten."""
    known = schemas(release(event("Joined", {"mail": str})))
    today = release(event("Joined", {"mail": Personal[str]}))
    assert compared(known, today) == []
    assert "personal-added" in notes(known, today)
    assert compared(schemas(today), today) == []


def test_another_default_of_what_leaves_defaults_out_is_caught() -> None:
    """What was stored says nothing, and would be read as something else."""

    def price(default: str, *, omit_defaults: bool) -> Any:
        fields: list[Any] = [("amount", Decimal), ("currency", str, default)]
        made = defstruct("Price", fields, frozen=True, omit_defaults=omit_defaults)
        return {"price": made}

    assert between(price("EUR", omit_defaults=False), price("USD", omit_defaults=True)) == []
    (problem,) = between(price("EUR", omit_defaults=True), price("USD", omit_defaults=False))
    assert (problem.kind, problem.field) == ("type-changed", "price.currency")


def test_a_renamed_field_is_guessed() -> None:
    """For the message only."""
    old, new, _ = BREAKING["renamed field with a default"]
    (found,) = between(old, new)
    assert found.what == "`mail` (str) is read by nothing; renamed to `address`?"


def test_a_removed_type_is_caught() -> None:
    """It has no class, no former name and no upcaster."""
    known = schemas(release(event("Joined", BASE), event("Left", {"why": str})))
    (found,) = compared(known, release(event("Joined", BASE)))
    assert (found.kind, found.event_type, found.schema) == ("type-removed", "Left", 1)
    assert "formerly='Left'" in str(found.remedy)
    assert "Customer.upcast('Left', …)" in str(found.remedy)


def test_a_renamed_type_is_guessed_and_passes_with_its_former_name() -> None:
    """The stored name is what counts."""
    known = schemas(release(event("Joined", BASE)))
    (found,) = compared(known, release(event("Registered", BASE)))
    assert found.what.endswith("; renamed to Registered?")
    today = release(event("Registered", BASE, formerly="Joined"))
    assert compared(known, today) == []
    assert notes(known, today) == {"renamed", "type-added", "file-behind"}


def test_a_renamed_type_is_compared_with_the_fields_that_it_had() -> None:
    """Under its former name."""
    known = schemas(release(event("Joined", BASE)))
    today = event("Registered", {**BASE, "balance": float}, formerly="Joined")
    (found,) = compared(known, release(today))
    assert (found.kind, found.event_type) == ("type-changed", "Joined")
    assert "Registered.upcast(1)" in str(found.remedy)


def test_a_former_name_that_is_given_up_is_caught() -> None:
    """Its events are still stored."""
    known = schemas(release(event("Registered", BASE, formerly="Joined")))
    (found,) = compared(known, release(event("Registered", BASE)))
    assert (found.kind, found.event_type) == ("type-removed", "Joined")


def test_a_former_name_that_is_given_up_stays_in_the_file() -> None:
    """An update does not forget that such events are stored."""
    known = schemas(release(event("Joined", BASE, formerly="SignedUp")))
    today = release(event("Joined", BASE))
    (problem,) = compared(merged(known, schemas(today)), today)
    assert (problem.kind, problem.event_type) == ("type-removed", "SignedUp")


def test_a_schema_is_compared_with_what_an_upcaster_of_the_aggregate_is_given() -> None:
    """Where it is the next one that those events go through."""
    known = schemas(release(event("Told", {"mail": str, "phone": str})))
    known = merged(known, schemas(release(event("Told", {"mail": str, "number": str}, schema=2))))
    today = release(event("Told", {"mail": str}, schema=3, formerly="Said"))
    today.upcast("Told", 2)(lambda _: [])
    problems = {(each.kind, each.schema, each.field) for each in compared(known, today)}
    assert problems == {("field-removed", 1, "phone"), ("field-required", 1, "number")}


def test_a_retired_type_passes_with_an_upcaster_of_the_aggregate() -> None:
    """And is caught again when that is gone, whether the file knows the type's fields or not."""
    known = schemas(release(event("Joined", BASE), event("Left", {"why": str})))
    today = release(event("Joined", BASE))
    today.upcast("Left")(lambda fields: [])
    assert compared(known, today) == []
    assert "retired" in notes(known, today)
    for file in (merged(known, schemas(today)), schemas(today)):
        (found,) = compared(file, release(event("Joined", BASE)))
        assert found.kind == ("type-removed" if file != schemas(today) else "upcaster-removed")
        assert (found.event_type, found.schema) == ("Left", 1)


def test_an_upcaster_of_the_aggregate_is_for_one_schema() -> None:
    """The other is still caught."""
    second = event("Left", {"why": str, "when": str}, schema=2)
    known = merged(
        schemas(release(event("Joined", BASE), event("Left", {"why": str}))),
        schemas(release(event("Joined", BASE), second)),
    )
    today = release(event("Joined", BASE))
    today.upcast("Left", schema=2)(lambda fields: [])
    (found,) = compared(known, today)
    assert (found.kind, found.schema) == ("type-removed", 1)


def test_a_lowered_schema_is_caught() -> None:
    """What is stored of it is newer than the code."""
    known = schemas(release(event("Joined", BASE, schema=3)))
    (found,) = compared(known, release(event("Joined", BASE, schema=2)))
    assert (found.kind, found.schema) == ("schema-lowered", 3)
    assert "schema=3" in str(found.remedy)


def test_an_upcaster_that_is_gone_is_caught() -> None:
    """Though the file does not know the fields that it was for."""
    before = event("Joined", BASE, schema=2)
    before.upcast(1)(dict)
    (found,) = compared(schemas(release(before)), release(event("Joined", BASE, schema=2)))
    assert (found.kind, found.schema) == ("upcaster-removed", 1)


def test_an_aggregate_that_is_gone_is_caught() -> None:
    """It may be in another module."""
    known = schemas(release(event("Joined", BASE)), release(event("Opened", BASE), name="Account"))
    (found,) = compared(known, release(event("Joined", BASE)))
    assert (found.kind, found.aggregate_type) == ("aggregate-removed", "Account")


def test_new_types_and_aggregates_pass() -> None:
    """The file is to be brought up to date."""
    known = schemas(release(event("Joined", BASE)))
    today = [
        release(event("Joined", BASE), event("Left", {})),
        release(event("Opened", BASE), name="Account"),
    ]
    assert compared(known, *today) == []
    assert notes(known, *today) == {"type-added", "file-behind"}


def test_each_released_schema_needs_a_way_to_today() -> None:
    """Schema 1 goes through no upcaster: it is read as schema 2, which has one, expects it."""
    first = schemas(release(event("Joined", {"name": str})))
    second = event("Joined", {"first": str, "last": str}, schema=2)
    second.upcast(1)(dict)
    known = merged(first, schemas(release(second)))
    third = event("Joined", {"full": str}, schema=3)
    third.upcast(2)(dict)
    found = compared(known, release(third))
    assert {(each.kind, each.schema, each.field) for each in found} == {
        ("field-removed", 1, "name"),
        ("field-required", 1, "first"),
        ("field-required", 1, "last"),
        ("upcaster-removed", 1, None),
    }
    third.upcast(1)(dict)
    assert compared(known, release(third)) == []


def test_the_file_remembers_every_schema() -> None:
    """Three releases; the first one's fields are still compared."""
    known: Schemas = {}
    for number in (1, 2, 3):
        known = merged(known, schemas(release(event("Joined", BASE, schema=number))))
    assert list(known["Customer"].events["Joined"].schemas) == [1, 2, 3]
    found = compared(known, release(event("Joined", {**BASE, "balance": float}, schema=4)))
    assert [(each.kind, each.schema) for each in found] == [
        ("type-changed", number) for number in (1, 2, 3)
    ]


def test_what_was_removed_stays_in_the_file() -> None:
    """An update accepts changes of fields, and forgets no type."""
    known = schemas(release(event("Joined", BASE), event("Left", {"why": str})))
    today = release(event("Joined", {"mail": str, "balance": float}))
    after = merged(known, schemas(today))
    assert [each.kind for each in compared(after, today)] == ["type-removed"]
    assert after["Customer"].events["Joined"].latest.dropped == {"visits": "int | str"}


def test_an_accepted_field_that_comes_back_is_compared_with_what_it_was() -> None:
    """Old events still have it."""
    known = schemas(release(event("Joined", BASE)))
    known = merged(known, schemas(release(event("Joined", {"mail": str, "balance": Decimal}))))
    assert between(BASE, BASE) == compared(known, release(event("Joined", BASE))) == []
    (found,) = compared(known, release(event("Joined", {**BASE, "visits": (int, 0)})))
    assert (found.kind, found.field) == ("type-narrowed", "visits")


def test_a_file_is_the_same_whenever_it_is_written(tmp_path: Path) -> None:
    """It is read back as it was, and not written again for nothing."""
    path = tmp_path / "events.schema.json"
    today = event("Joined", {**BASE, "plan": (Plan, Plan.FREE)}, schema=2, formerly="Registered")
    today.upcast(1)(dict)
    customer = release(today)
    customer.upcast("Greeted")(lambda fields: [])
    assert write_schemas(path, schemas(customer))
    text = path.read_text()
    assert not write_schemas(path, schemas(customer))
    assert read_schemas(path) == schemas(customer)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == text == FILE


FILE = """\
{
  "format": 1,
  "aggregates": {
    "Customer": {
      "events": {
        "Joined": {
          "schema": 2,
          "formerly": [
            "Registered"
          ],
          "upcasters": [
            1
          ],
          "schemas": {
            "2": {
              "fields": {
                "mail": "str",
                "balance": "Decimal",
                "visits": "int | str",
                "plan": "Plan = 'free'"
              },
              "types": {
                "Plan": {
                  "values": [
                    "free",
                    "paid"
                  ]
                }
              }
            }
          }
        }
      },
      "upcasters": {
        "Greeted": [
          1
        ]
      }
    }
  }
}
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is damaged"),
        ('{"format": 2, "aggregates": {}}', "has format 2"),
        (FILE.replace("Decimal", "Decimal["), "'Decimal[' is not the type of a field"),
        (FILE.replace('"Decimal"', '"Money"'), "names 'Money', which is not among the types"),
        (FILE.replace('"2": {', '"1": {'), "Customer.Joined is written in schema 2"),
        (FILE.replace('"formerly"', '"former"'), "former"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, text: str, told: str) -> None:
    """It is told which, and where."""
    path = tmp_path / "events.schema.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        read_schemas(path)
    assert told in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_file_that_is_not_there_is_told_with_what_makes_it(tmp_path: Path) -> None:
    """It is the first thing that everybody meets."""
    with pytest.raises(ConfigurationError, match="make it with --update"):
        read_schemas(tmp_path / "events.schema.json")
