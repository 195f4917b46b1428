"""What differs is told, whatever is compared."""

from dataclasses import dataclass

import pytest

from hitherto.testing.telling import check_same


@dataclass
class Remind:
    order: str = "order-1"


@dataclass
class Warn:
    order: str = "order-1"


def test_two_classes_are_not_equal_for_having_the_same_defaults() -> None:
    """As where a test forgets to make a command of a class."""
    with pytest.raises(AssertionError, match=r"expected .*Remind.*, is .*Warn"):
        check_same("the classes differ", Remind, Warn)
