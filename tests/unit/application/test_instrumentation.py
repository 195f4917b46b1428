"""Hooks: silent unless overridden, and several in one."""

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from hitherto import Instrumentation
from hitherto.application.health import Usage
from hitherto.application.instrumentation import Instrumentations

HOOKS = dict(inspect.getmembers(Instrumentation, inspect.isfunction))
AROUND = {"operation", "store_call", "command", "handling"}


class Telling(Instrumentation):
    """Keeps what each hook is told, under a name of its own."""

    def __init__(self, name: str, told: list[tuple[Any, ...]]) -> None:
        self.name = name
        self.told = told

    def __getattribute__(self, hook: str) -> Any:
        if hook not in HOOKS:
            return super().__getattribute__(hook)

        def tell(*arguments: Any) -> Any:
            self.told.append((self.name, hook, *arguments))
            if hook in AROUND:
                return self.around(hook)
            return {"trace": self.name, self.name: 1} if hook == "event_metadata" else None

        return tell

    @contextmanager
    def around(self, hook: str) -> Any:
        try:
            yield
        finally:
            self.told.append((self.name, hook, "ended"))


def arguments_of(hook: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(hook).parameters)[1:]


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_that_is_not_overridden_does_nothing(name: str) -> None:
    """Whatever it is told; those around something give an empty block."""
    result = getattr(Instrumentation(), name)(*arguments_of(HOOKS[name]))
    if name in AROUND:
        assert isinstance(result, AbstractContextManager)
        with pytest.raises(ZeroDivisionError), result:
            raise ZeroDivisionError
    elif name == "event_metadata":
        assert isinstance(result, Mapping)
        assert not result
    else:
        assert result is None


@pytest.mark.parametrize("name", HOOKS)
def test_several_in_one_hear_of_everything_in_order(name: str) -> None:
    """A hook that is added to the base must be added to them, too."""
    told: list[tuple[Any, ...]] = []
    both = Instrumentations(Telling("first", told), Telling("second", told))
    arguments = arguments_of(HOOKS[name])
    result = getattr(both, name)(*arguments)
    assert told == [(each, name, *arguments) for each in ("first", "second")]
    if name == "event_metadata":
        assert result == {"trace": "second", "first": 1, "second": 1}
    if name in AROUND:
        with pytest.raises(ZeroDivisionError), result:
            raise ZeroDivisionError
        assert told[2:] == [(each, name, "ended") for each in ("second", "first")]


def test_a_usage_of_nothing_is_that_of_a_store_at_rest() -> None:
    """No pool, nothing queued, the breaker closed."""
    assert Usage() == Usage(pool=None, queue_depth=0, breaker="closed")
