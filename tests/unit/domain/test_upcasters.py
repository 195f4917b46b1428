"""What may be registered as an upcaster, and when."""

from collections.abc import Callable
from typing import Any

import pytest

from hitherto import Aggregate, Decider, Event, InvalidInput
from hitherto.application.codec import JsonCodec, Serializer
from hitherto.application.fingerprint import fingerprint


def same(fields: dict[str, Any]) -> dict[str, Any]:
    return fields


def none(_: dict[str, Any]) -> list[Event]:
    return []


class Base(Event, schema=3):
    """Each test makes classes of its own; this one only lends its fields."""

    name: str = ""


def an_event(schema: int = 3, **options: Any) -> Any:
    class Happened(Event, schema=schema, **options):
        name: str = ""

    return Happened


def an_aggregate(event: Any, **options: Any) -> type[Aggregate[Any]]:
    class Thing(Aggregate[event], **options):
        name: str = ""

        def apply(self, event: Any) -> None:
            self.name = event.name

    return Thing


@pytest.mark.parametrize("schema", [0, -1, 3, 4, "1", None, 1.0])
def test_an_event_has_upcasters_for_its_older_schemas_alone(schema: Any) -> None:
    """The message tells which those are."""
    with pytest.raises(TypeError, match=r"whose schema is 3: upcast\(.*\), but .* for 1 … 2"):
        an_event().upcast(schema)


def test_there_is_one_upcaster_for_a_schema() -> None:
    """A second one would hide the first."""
    event = an_event()
    event.upcast(1)(same)
    with pytest.raises(TypeError, match="two upcasters for schema 1"):
        event.upcast(1)(same)


def test_a_derived_class_has_upcasters_of_its_own() -> None:
    """Its fields are others, and its schema versions too."""
    event = an_event()
    event.upcast(1)(same)

    class Derived(event, schema=2):  # type: ignore[call-arg, misc, valid-type]
        pass

    Derived.upcast(1)(same)
    assert list(event.__upcasters__) == [1]


def test_the_function_stays_what_it_is() -> None:
    """So that it can be called, and tested, by its name."""
    assert an_event().upcast(1)(same) is same
    assert an_aggregate(an_event()).upcast("Gone")(none) is none


@pytest.mark.parametrize(
    "register", [lambda e, _: e.upcast(1)(same), lambda _, a: a.upcast("G")(none)]
)
def test_an_upcaster_that_comes_too_late_is_refused(register: Callable[[Any, Any], None]) -> None:
    """Some events would have been read with it, and some without."""
    event = an_event()
    aggregate = an_aggregate(event)
    Serializer[Any](aggregate.definition, JsonCodec())
    with pytest.raises(TypeError, match="already read without the upcaster"):
        register(event, aggregate)


@pytest.mark.parametrize(
    ("name", "schema"),
    [("Happened", 3), ("Was", 3), ("Happened", 4), ("Gone", 0), ("Gone", 32_768)],
)
def test_an_aggregate_replaces_no_schema_that_a_class_reads(name: str, schema: int) -> None:
    """Else what is saved could not be read as it was."""
    aggregate = an_aggregate(an_event(formerly="Was"))
    with pytest.raises(TypeError, match="but an upcaster is for 1 …"):
        aggregate.upcast(name, schema)


def test_one_schema_has_no_two_kinds_of_upcaster() -> None:
    """Which of them counts would be a riddle."""
    event = an_event()
    event.upcast(1)(same)
    with pytest.raises(TypeError, match="that class has an upcaster for schema 1, too"):
        an_aggregate(event).upcast("Happened", 1)
    other = an_event()
    an_aggregate(other).upcast("Happened", 1)(same)  # type: ignore[type-var]
    with pytest.raises(TypeError, match="has an upcaster for schema 1, too"):
        other.upcast(1)


@pytest.mark.parametrize("name", ["", "x" * 256, "a\0b"])
def test_names_that_cannot_be_stored_are_refused(name: str) -> None:
    """Nothing can be under them."""
    with pytest.raises(InvalidInput):
        an_event(formerly=name)
    with pytest.raises(InvalidInput):
        an_aggregate(an_event()).upcast(name)


def test_two_classes_with_one_former_name_are_refused() -> None:
    """An event under it would be of both."""
    one, other = an_event(formerly=("A", "B")), an_event(type="Other", formerly="B")
    with pytest.raises(TypeError, match="bear one stored name, 'B'"):
        an_aggregate(one | other)


def test_a_derived_aggregate_reads_what_its_base_reads() -> None:
    """It has the same events."""
    base = an_aggregate(an_event())
    base.upcast("Gone")(none)

    class Derived(base):  # type: ignore[misc, valid-type]
        pass

    assert Derived.definition.knows("Gone")
    assert not an_aggregate(an_event()).definition.knows("Gone")


def test_a_decider_has_upcasters_too() -> None:
    """They are the same."""
    event = an_event()

    class Deciding(Decider[int, event, str]):  # type: ignore[valid-type]
        initial = 0

        def decide(self, state: int, command: str) -> list[Any]:
            return []

        def evolve(self, state: int, event: Any) -> int:
            return state + 1

    Deciding.upcast("Gone")(none)
    assert Deciding.definition.knows("Gone")


def other(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "name": "other"}


def test_snapshots_depend_on_the_upcasters() -> None:
    """A fold through others leads elsewhere."""
    prints: set[str] = set()
    for each in (None, same, other):
        event = an_event()
        if each is not None:
            event.upcast(1)(each)
        prints.add(fingerprint(an_aggregate(event).definition))
    aggregate = an_aggregate(an_event())
    aggregate.upcast("Gone")(none)
    prints |= {fingerprint(aggregate.definition)}
    prints |= {fingerprint(an_aggregate(an_event(formerly="Was")).definition)}
    assert len(prints) == 5
