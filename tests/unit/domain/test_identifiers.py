"""What may be an id or a stored name."""

from typing import Any

import pytest

from hitherto import InvalidInput
from hitherto.domain.identifiers import check_identifier


@pytest.mark.parametrize("value", ["a", " ", "x" * 255, "😀" * 255, "'; --", "\n", "\ufffd"])
def test_any_text_up_to_255_characters_is_good(value: str) -> None:
    """It is returned as it is."""
    assert check_identifier("aggregate id", value) is value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "is empty"),
        ("x" * 256, "has 256 characters, at most 255"),
        ("a\0", "NUL"),
        ("\ud83d", "lone surrogate"),
        (b"bytes", "must be a str, not bytes"),
        (None, "must be a str, not NoneType"),
    ],
)
def test_anything_else_is_refused(value: Any, reason: str) -> None:
    """The message says what the value was to be and why it is refused."""
    with pytest.raises(InvalidInput, match=f"^aggregate id .*{reason}"):
        check_identifier("aggregate id", value)


def test_a_long_value_is_shown_in_part() -> None:
    """A message stays readable."""
    with pytest.raises(InvalidInput) as caught:
        check_identifier("aggregate id", "x" * 10_000)
    assert len(str(caught.value)) < 200
