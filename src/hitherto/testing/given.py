"""`given`, when, then: tests of aggregates and deciders that need no store."""

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, Generic, Self, TypeVar

from hitherto.domain.aggregate import Aggregate
from hitherto.domain.event import Event
from hitherto.errors import InvalidInput

A = TypeVar("A", bound=Aggregate[Any])


def given(aggregate: Callable[[str], A], *history: Event, id: str = "given-1") -> "Given[A]":
    """An aggregate to which `history` has happened.

    ::

        def test_a_user_who_left_cannot_leave_again():
            (
                given(User, UserCreated(email="j@x.org", name="J"), UserDeactivated(reason="bye"))
                .when(lambda user: user.deactivate("again"))
                .then_raises(InvalidAggregateState, match="not active")
            )

    Args:
        aggregate: The aggregate class, or an instance of a `Decider`.
        history: Its saved events, oldest first.
        id: Its id.

    Raises:
        InvalidInput: An event of `history` is not in the aggregate's union.
    """
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
        _check_state(self.aggregate, expected)
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
        recorded = self.aggregate.pending
        if self.error is not None:
            raise AssertionError(
                f"{self._who}: the command raised {self.error!r}\n  expected: {_listed(expected)}"
            ) from self.error
        if recorded != expected:
            raise AssertionError(
                f"{self._who}: other events were recorded than expected\n"
                f"  expected: {_listed(expected)}\n  recorded: {_listed(recorded)}"
            )
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
        recorded = self.aggregate.pending
        if self.error is None:
            raise AssertionError(
                f"{self._who}: the command did not raise\n"
                f"  expected: {error.__name__}\n  recorded: {_listed(recorded)}"
            )
        if not isinstance(self.error, error):
            raise AssertionError(
                f"{self._who}: the command raised another error\n"
                f"  expected: {error.__name__}\n  raised:   {self.error!r}"
            ) from self.error
        if match is not None and not re.search(match, str(self.error)):
            raise AssertionError(
                f"{self._who}: {error.__name__} has another message\n"
                f"  expected: {match}\n  raised:   {self.error}"
            ) from self.error
        if recorded:
            raise AssertionError(
                f"{self._who}: the command recorded events before it raised {self.error!r}\n"
                f"  recorded: {_listed(recorded)}"
            ) from self.error
        return self

    def then_state(self, **expected: object) -> Self:
        """Check fields of the state after the command.

        Raises:
            AssertionError: A field has another value, or there is none of that name.
        """
        _check_state(self.aggregate, expected)
        return self

    @property
    def _who(self) -> str:
        return f"{self.aggregate.definition.owner.__qualname__} {self.aggregate.id!r}"


def _check_state(aggregate: Aggregate[Any], expected: dict[str, object]) -> None:
    missing = object()
    lines: list[str] = []
    for name, value in expected.items():
        actual = getattr(aggregate, name, missing)
        if actual is missing:
            lines.append(f"  {name}: there is no such field")
        elif actual != value:
            lines.append(f"  {name}: expected {value!r}, is {actual!r}")
    if lines:
        owner = aggregate.definition.owner.__qualname__
        raise AssertionError("\n".join([f"{owner} {aggregate.id!r}: the state differs", *lines]))


def _listed(events: Iterable[Event]) -> str:
    return "\n            ".join(map(repr, events)) or "nothing"
