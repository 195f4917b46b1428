"""What `hitherto.testing` offers."""

import pytest

from hitherto import testing


@pytest.mark.parametrize("name", testing.__all__)
def test_every_name_can_be_had(name: str) -> None:
    """Those that need pytest or hypothesis are imported when they are asked for."""
    assert getattr(testing, name).__name__ == name


def test_another_name_is_an_attribute_error() -> None:
    """As with any module."""
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = testing.nothing
