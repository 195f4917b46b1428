"""`Given` and `Outcome`: an aggregate with a history, and what a command led to."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Self, TypeVar

from hitherto.domain.aggregate import Aggregate
from hitherto.domain.event import Event
from hitherto.errors import InvalidInput
from hitherto.testing.telling import check_listed, check_raised, check_state, listed
from hitherto.testing.unasked import asked, raised

A = TypeVar("A", bound=Aggregate[Any])


def given_aggregate(aggregate: Callable[[str], A], history: Sequence[Any], id: str) -> "Given[A]":
    """An aggregate to which `history` has happened; see `given`."""
    definition = aggregate(id).definition
    for event in history:
        if type(event) not in definition.event_classes:
            owner = definition.owner.__qualname__
            raise InvalidInput(f"{type(event).__qualname__} is not an event of {owner}")

    def begin() -> A:
        subject = aggregate(id)
        subject._fold(enumerate(history, 1))
        return subject

    return Given(begin)


class Given(Generic[A]):
    """An aggregate with a history.

    Attributes:
        aggregate: It.

    Args:
        begin: Makes the aggregate of its history.
    """

    def __init__(self, begin: Callable[[], A]) -> None:
        self._begin = begin
        self.aggregate = begin()

    def when(self, command: Callable[[A], object]) -> "Outcome[A]":
        """Run `command` on the aggregate; what it led to is for the ``then`` methods to check.

        Raises:
            AssertionError: It changed the state by itself: after a load that would be lost.
        """
        try:
            result = command(self.aggregate)
        except Exception as error:  # noqa: BLE001  # then_raises looks at it
            return Outcome(self.aggregate, raised(f"{_who(self.aggregate)}: the command", error))
        if inspect.iscoroutine(result):
            result.close()
            raise TypeError("the command is a coroutine function: decisions are not async")
        self._check_folded()
        return Outcome(self.aggregate, None)

    def then_state(self, **expected: object) -> Self:
        """Check fields of the state that the history alone leads to."""
        check_state(_who(self.aggregate), self.aggregate, expected)
        return self

    def _check_folded(self) -> None:
        """See that the state is what its events come to."""
        state, folded = self.aggregate._capture(), self._folded()
        if state == folded:
            return
        again = self._folded()
        fold = self.aggregate.definition.fold.__name__
        lines = [
            f"{name} was changed outside {fold}: it is {state.get(name)!r}, after a load it would "
            f"be {folded.get(name)!r}"
            for name in self.aggregate.definition.fields
            if _differ(name, state, folded) and not _differ(name, folded, again)
        ]
        if lines:
            raise AssertionError("\n  ".join([_who(self.aggregate), *lines]))

    def _folded(self) -> dict[str, Any]:
        aggregate = self._begin()
        for event in self.aggregate.pending:
            aggregate.apply(event)
        return aggregate._capture()


class Outcome(Generic[A]):
    """What a command led to. Every ``then`` method returns it, so that checks can be chained.

    Attributes:
        aggregate: The aggregate after the command.
        error: What the command raised.
    """

    def __init__(self, aggregate: A, error: Exception | None) -> None:
        self.aggregate = aggregate
        self._error = error

    @property
    def error(self) -> Exception | None:
        """What the command raised."""
        return asked(self._error)

    def then(self, *expected: Event) -> Self:
        """Check that exactly these events were recorded, in this order.

        Raises:
            AssertionError: Others were, or the command raised.
        """
        if (error := self.error) is not None:
            raise AssertionError(
                f"{_who(self.aggregate)}: the command raised {error!r}\n"
                f"  expected: {listed(expected)}"
            ) from error
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


def _differ(name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return [one.get(name)] != [other.get(name)]  # in lists, a NaN is the same as itself


def _who(aggregate: Aggregate[Any]) -> str:
    return f"{aggregate.definition.owner.__qualname__} {aggregate.id!r}"
