"""An error of definition says where the field is declared."""

from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from hitherto import Aggregate, Event
from hitherto.domain.places import declared


class Placed(Event):
    total: int


class Urgent(Placed):
    by: str


def line_of(text: str) -> int:
    """Where this file has a line of its own."""
    lines = Path(__file__).read_text().splitlines()
    return lines.index(text) + 1


def test_a_field_is_named_by_its_class_its_file_and_its_line() -> None:
    """An inherited one by the place where it is inherited from."""
    assert declared(Urgent, "by") == f"Urgent.by ({__file__}:{line_of('    by: str')})"
    assert declared(Urgent, "total") == f"Urgent.total ({__file__}:{line_of('    total: int')})"


def test_what_was_typed_in_has_no_place() -> None:
    """Its name has to do."""
    code: CodeType = compile("class Typed(Event):\n    by: str", "<stdin>", "exec")
    names: dict[str, Any] = {"Event": Event, "__name__": "typed"}
    exec(code, names)
    assert declared(names["Typed"], "by") == "Typed.by"


def test_a_mutable_field_is_refused_with_its_line() -> None:
    """Not that of the class."""
    line = line_of("            tags: list[str]")
    with pytest.raises(TypeError, match=rf"Tagged\.tags \(.*test_places\.py:{line}\): .* tuple"):

        class Tagged(Event):
            id: str
            tags: list[str]


def test_a_state_field_with_a_taken_name_is_refused_with_its_line() -> None:
    """So that it is found in a long class."""
    with pytest.raises(TypeError, match=r"Order\.version \(.*test_places\.py:\d+\): a state field"):

        class Order(Aggregate[Placed]):
            version: int = 0
