"""Hooks: silent unless overridden, and told of failures too."""

import inspect

import pytest

from hitherto import Instrumentation
from hitherto.application.instrumentation import timed
from hitherto.testing.repository_contract.base import Recorder


def test_a_hook_that_is_not_overridden_does_nothing() -> None:
    """Whatever it is told."""
    hooks = inspect.getmembers(Instrumentation, inspect.isfunction)
    assert len(hooks) == 7
    for name, hook in hooks:
        arguments = [0] * (len(inspect.signature(hook).parameters) - 1)
        assert getattr(Instrumentation(), name)(*arguments) is None


def test_an_operation_that_failed_is_told_too() -> None:
    """Its error goes on."""
    hooks = Recorder()
    with pytest.raises(ZeroDivisionError), timed(hooks, "load", "Account"):
        raise ZeroDivisionError
    assert hooks.of("operation") == [("load", "Account")]


def test_seconds_are_those_of_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """From its start to its end."""
    told: list[float] = []

    class Hooks(Instrumentation):
        def operation(self, name: str, aggregate_type: str, seconds: float) -> None:
            told.append(seconds)

    times = iter([10.0, 12.5])
    monkeypatch.setattr("time.perf_counter", lambda: next(times))
    with timed(Hooks(), "load", "Account"):
        pass
    assert told == [2.5]
