"""Which texts are searched for when somebody is forgotten."""

from typing import Any

import pytest

from hitherto.application.forgetting import telling


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ("Ada", {"Ada"}),
        ("Zoë", {"Zo\\u00eb", "Zoë"}),
        ('say "Ada"', {'say "Ada"', 'say \\"Ada\\"'}),
        ("12 St\nTown", {"12 St\nTown", "12 St\\nTown"}),
        ({"ada@example.com": ["SW1Y 4LE", None]}, {"ada@example.com", "SW1Y 4LE"}),
        (4929123412341234, {"4929123412341234"}),
        (-1234.5, {"-1234.5"}),
    ],
)
def test_whatever_tells_something_is_searched_for(value: Any, texts: set[str]) -> None:
    """As it may stand in JSON or an error; names of fields are keys, too."""
    assert set(telling(value)) == texts


@pytest.mark.parametrize("value", ["", "GB", "[redacted]", 12345, 0.5, True, None, [], {}])
def test_what_stands_everywhere_is_not(value: Any) -> None:
    """It would be found wherever anything is stored."""
    assert list(telling(value)) == []
