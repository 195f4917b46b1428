"""`called`: a part of a backend each of whose calls is made in some way, such as retried."""

from collections.abc import Awaitable, Callable, Collection
from typing import Any, Protocol, TypeVar, cast

T = TypeVar("T")


class Calls(Protocol):
    """How a call is made: retried, up to a deadline."""

    def __call__(self, name: str, call: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        """What `call` gives."""
        ...


def called(part: T, call: Calls, *, but: Collection[str] = ()) -> T:
    """A part of a backend, such as its `Looking`, whose methods are called by `call`.

    Args:
        part: What does the work.
        call: How it is called.
        but: Methods that are called as they are, for they read all that is stored.
    """
    return cast("T", _Called(part, call, but))


class _Called:
    def __init__(self, part: object, call: Calls, but: Collection[str]) -> None:
        self._part = part
        self._call = call
        self._but = but

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method: Callable[..., Awaitable[Any]] = getattr(self._part, name)
        if name in self._but:
            return method
        return lambda *words, **named: self._call(name, lambda: method(*words, **named))
