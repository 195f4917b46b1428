"""`Given` and `Outcome`: an aggregate with a history, and what a command led to."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Generic, Self, TypeVar

from hitherto.domain.aggregate import Aggregate
from hitherto.domain.event import Event
from hitherto.errors import InvalidInput
from hitherto.testing.telling import check_listed, check_raised, check_state, listed

A = TypeVar("A", bound=Aggregate[Any])


def given_aggregate(aggregate: Callable[[str], A], history: Sequence[Any], id: str) -> "Given[A]":
    """An aggregate to which `history` has happened; see `given`."""
    subject = aggregate(id)
    for event in history:
        if type(event) not in subject.definition.event_classes:
            owner = subject.definition.owner.__qualname__
            raise InvalidInput(f"{type(event).__qualname__} is not an event of {owner}")
    subject._fold(enumerate(history, 1))
    return Given(subject)


class Given(Generic[A]):
    """An aggregate with a history.

    Attributes:
        aggregate: It.
    """

    def __init__(self, aggregate: A) -> None:
        self.aggregate = aggregate

    def when(self, command: Callable[[A], object]) -> "Outcome[A]":
        """Run `command` on the aggregate; what it led to is for the ``then`` methods to check."""
        try:
            result = command(self.aggregate)
        except Exception as error:  # noqa: BLE001  # then_raises looks at it
            return Outcome(self.aggregate, error)
        if inspect.iscoroutine(result):
            result.close()
            raise TypeError("the command is a coroutine function: decisions are not async")
        return Outcome(self.aggregate, None)

    def then_state(self, **expected: object) -> Self:
        """Check fields of the state that the history alone leads to."""
        check_state(_who(self.aggregate), self.aggregate, expected)
        return self


class Outcome(Generic[A]):
    """What a command led to. Every ``then`` method returns it, so that checks can be chained.

    Attributes:
        aggregate: The aggregate after the command.
        error: What the command raised.
    """

    def __init__(self, aggregate: A, error: Exception | None) -> None:
        self.aggregate = aggregate
        self.error = error

    def then(self, *expected: Event) -> Self:
        """Check that exactly these events were recorded, in this order.

        Raises:
            AssertionError: Others were, or the command raised.
        """
        if self.error is not None:
            raise AssertionError(
                f"{_who(self.aggregate)}: the command raised {self.error!r}\n"
                f"  expected: {listed(expected)}"
            ) from self.error
        what = f"{_who(self.aggregate)}: other events were recorded than expected"
        check_listed(what, "recorded", expected, self.aggregate.pending)
        return self

    def then_nothing(self) -> Self:
        """Check that the command was accepted and recorded no event.

        Raises:
            AssertionError: It recorded one, or it raised.
        """
        return self.then()

    def then_raises(self, error: type[Exception], *, match: str | None = None) -> Self:
        """Check that the command raised `error`, and left no event behind.

        Args:
            error: The class of the error.
            match: A regular expression that is to be found in its message.

        Raises:
            AssertionError: It raised nothing or something else, or had recorded events.
        """
        recorded = f"recorded: {listed(self.aggregate.pending)}"
        who = f"{_who(self.aggregate)}: the command"
        check_raised(who, self.error, error, match, recorded)
        if self.aggregate.pending:
            raise AssertionError(
                f"{who} recorded events before it raised {self.error!r}\n  {recorded}"
            ) from self.error
        return self

    def then_state(self, **expected: object) -> Self:
        """Check fields of the state after the command.

        Raises:
            AssertionError: A field has another value, or there is none of that name.
        """
        check_state(_who(self.aggregate), self.aggregate, expected)
        return self


def _who(aggregate: Aggregate[Any]) -> str:
    return f"{aggregate.definition.owner.__qualname__} {aggregate.id!r}"
