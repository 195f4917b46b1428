"""Metadata: merged, flattened, and inherited through a context variable."""

from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest

from hitherto import InvalidInput, Metadata, current_metadata, metadata_context


def test_what_is_left_open_is_taken_from_the_base() -> None:
    """Keys of one's own are merged, and the upper ones win."""
    base = Metadata(correlation_id="c", actor="a", extra={"x": 1, "y": 1})
    upper = Metadata(correlation_id="d", causation_id="e", extra={"y": 2, "z": None})
    assert upper.over(base) == Metadata(
        correlation_id="d", causation_id="e", actor="a", extra={"x": 1, "y": 2, "z": None}
    )
    assert Metadata(actor="").over(base).actor == ""


@pytest.mark.parametrize(
    "metadata",
    [
        Metadata(),
        Metadata(actor="a"),
        Metadata(correlation_id="c", causation_id="d", actor="a", extra={"n": 1, "none": None}),
    ],
)
def test_it_is_flat_when_stored_and_comes_back(metadata: Metadata) -> None:
    """What is not set is left out."""
    flat = metadata.flat()
    assert all(not isinstance(value, dict) for value in flat.values())
    assert Metadata.from_flat(flat) == metadata


def test_flat_metadata_has_no_empty_names() -> None:
    """An empty metadata is an empty mapping."""
    assert Metadata().flat() == {}
    assert Metadata(actor="a", extra={"k": None}).flat() == {"actor": "a", "k": None}


@pytest.mark.parametrize("name", ["correlation_id", "causation_id", "actor"])
def test_an_extra_key_may_not_take_a_name(name: str) -> None:
    """It would be stored in the place of the real one."""
    with pytest.raises(InvalidInput, match=name):
        Metadata(extra={name: "x"})


@pytest.mark.parametrize("name", ["correlation_id", "causation_id", "actor"])
@pytest.mark.parametrize("value", [UUID(int=1), 3, b"a", ["a"]])
def test_names_are_text(name: str, value: Any) -> None:
    """Anything else would come back as another type; the error names it and the remedy."""
    given: dict[str, Any] = {name: value}
    with pytest.raises(InvalidInput, match=rf"{name} is of type {type(value).__name__}.*str\("):
        Metadata(**given)
    with pytest.raises(InvalidInput, match=name), metadata_context(**given):
        pass


@pytest.mark.parametrize(
    "value", [UUID(int=1), Decimal("1.5"), [1, 2], {"a": 1}, b"a", datetime(2024, 1, 1, tzinfo=UTC)]
)
def test_extra_values_are_plain(value: Any) -> None:
    """What would come back as something else is refused by its key, with the remedy."""
    with pytest.raises(InvalidInput, match=rf"'key'.* is of type {type(value).__name__}.*str\("):
        Metadata(extra={"good": 1, "key": value})
    with pytest.raises(InvalidInput, match="'key'"), metadata_context(key=value):
        pass


def test_extra_keys_are_text() -> None:
    """A number would come back as text."""
    extra: Any = {3: "a"}
    with pytest.raises(InvalidInput, match=r"key 3 is of type int.*str\("):
        Metadata(extra=extra)


class Role(StrEnum):
    ADMIN = "admin"


def test_kinds_of_plain_values_are_plain() -> None:
    """An enumeration of texts equals the text that comes back."""
    metadata = Metadata(actor=Role.ADMIN, extra={"role": Role.ADMIN, "done": True, "size": 1.5})
    assert metadata.flat() == {"actor": "admin", "role": "admin", "done": True, "size": 1.5}


def test_whatever_is_stored_can_be_read() -> None:
    """Another tool may have stored a list; that is its business."""
    stored = {"actor": ["a", "b"], "tags": [1, {"b": None}]}
    metadata = Metadata.from_flat(stored)
    assert metadata.flat() == stored
    assert metadata == Metadata.from_flat(stored) != Metadata()


def test_contexts_nest() -> None:
    """Inside, the inner one goes before; afterwards the outer one holds again."""
    assert current_metadata() == Metadata()
    with metadata_context(correlation_id="outer", actor="a") as outer:
        assert current_metadata() is outer
        with metadata_context(correlation_id="inner", ip="::1") as inner:
            assert inner == Metadata(correlation_id="inner", actor="a", extra={"ip": "::1"})
            assert current_metadata() is inner
        assert current_metadata() is outer
    assert current_metadata() == Metadata()


def test_a_context_ends_with_an_error_too() -> None:
    """Nothing leaks into what comes after."""
    with pytest.raises(ZeroDivisionError), metadata_context(actor="a"):
        raise ZeroDivisionError
    assert current_metadata() == Metadata()
