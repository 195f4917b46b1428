"""What a `when` raised, until its test asks for it: else the test would pass, and tell nothing."""

from typing import TypeVar

E = TypeVar("E", bound=Exception | None)

_unasked: dict[int, tuple[str, Exception]] = {}


def raised(who: str, error: Exception) -> Exception:
    """Note what somebody raised; gives it."""
    _unasked[id(error)] = who, error
    return error


def asked(error: E) -> E:
    """Note that the test has asked for what was raised, if anything; gives it."""
    _unasked.pop(id(error), None)
    return error


def take() -> list[str]:
    """Tells what nobody has asked for since the last call."""
    told = [
        f"{who} raised {error!r}, which the test does not ask for: end it with then_raises, or "
        "with what it expects"
        for who, error in _unasked.values()
    ]
    _unasked.clear()
    return told
