"""`GivenProcess`: a process to which events have come and time has passed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Self, TypeVar

from hitherto.domain.event import Event
from hitherto.domain.process import Process
from hitherto.errors import InvalidInput
from hitherto.testing.telling import check_listed, check_raised, check_same, check_state, listed
from hitherto.testing.timeline import Happening, Timeline
from hitherto.testing.unasked import asked, raised

P = TypeVar("P", bound=Process[Any])


class GivenProcess(Generic[P]):
    """One instance of a process. Each ``then`` method tells of what the last `when` led to.

    As in a store, it is made anew of its own events for each thing that happens, so what it keeps
    elsewhere than in its state is lost.

    Attributes:
        error: What it raised.
    """

    def __init__(self, process: type[P], timeline: Timeline) -> None:
        self._class = process
        self._timeline = timeline
        self._clock = timeline.clock
        self._own: list[Event] = []
        self._timers: dict[str, datetime] = {}
        self._instance: str | None = None
        self._forget()

    @property
    def error(self) -> Exception | None:
        """What it raised."""
        return asked(self._error)

    @property
    def process(self) -> P:
        """The instance, as it is now."""
        process = self._class(self._instance or "given")
        process._fold(enumerate(self._own, 1))
        return process

    def when(self, *happening: Happening) -> Self:
        """Events come, and time passes, in this order; timers that are due by then fire.

        Args:
            happening: Events that it reacts to, ``(aggregate id, event)`` for another aggregate
                than that of the test, a `RecordedEvent`, or a `timedelta`. Events of its own
                have been recorded by it before.

        Raises:
            InvalidInput: It is no event of its, or one for another instance.
        """
        self._forget()
        for each in happening:
            if self._error is None:
                self._happens(each)
        return self

    def then(self, *commands: object) -> Self:
        """Check that exactly these commands were sent, in this order.

        Raises:
            AssertionError: Others were, or it raised.
        """
        self._check_no_error(f"expected: {listed(commands)}")
        check_listed(
            f"{self._who}: other commands were sent than expected", "sent", commands, self._sent
        )
        return self

    def then_nothing(self) -> Self:
        """Check that no command was sent, and no event of its own recorded.

        Raises:
            AssertionError: One was, or it raised.
        """
        return self.then().then_recorded()

    def then_recorded(self, *events: Event) -> Self:
        """Check that it recorded exactly these events of its own, in this order.

        Raises:
            AssertionError: Others were recorded, or it raised.
        """
        self._check_no_error(f"expected: {listed(events)}")
        what = f"{self._who}: other events were recorded than expected"
        check_listed(what, "recorded", events, self._recorded)
        return self

    def then_timers(self, **expected: datetime | timedelta) -> Self:
        """Check that exactly these timers are set: by name, the moment or how long it is to that.

        Raises:
            AssertionError: Others are, or it raised.
        """
        self._check_no_error(f"expected: {expected}")
        now = self._clock.now
        moments = {
            name: now + due if isinstance(due, timedelta) else due for name, due in expected.items()
        }
        check_same(f"{self._who}: other timers are set, at {now}", moments, self._timers)
        return self

    def then_raises(self, error: type[Exception], *, match: str | None = None) -> Self:
        """Check that it raised `error`; nothing that the event led to is stored then.

        Args:
            error: The class of the error.
            match: A regular expression that is to be found in its message.

        Raises:
            AssertionError: It raised nothing or something else.
        """
        check_raised(self._who, self.error, error, match, f"sent:     {listed(self._sent)}")
        return self

    def then_state(self, **expected: object) -> Self:
        """Check fields of the state that its own events lead to.

        Raises:
            AssertionError: A field has another value, or there is none of that name.
        """
        check_state(self._who, self.process, expected)
        return self

    def _forget(self) -> None:
        self._error: Exception | None = None
        self._sent: list[object] = []
        self._recorded: list[Event] = []

    def _happens(self, what: Happening) -> None:
        if isinstance(what, timedelta):
            self._pass(what)
            return
        recorded = self._timeline.recorded(what)
        event: Event = recorded.event
        kind = type(event)
        if kind in self._class.reacts_to:
            self._enter(self._class.instance_of(recorded))
            self._react(lambda process: process.react(recorded))
            self._pass(timedelta())
        elif kind in self._class.definition.event_classes:
            self._own.append(event)
        else:
            name = self._class.__qualname__
            raise InvalidInput(f"{name} neither reacts to {kind.__qualname__} nor records it")

    def _enter(self, instance: str) -> None:
        if self._instance not in {None, instance}:
            raise InvalidInput(
                f"these events are for two instances, {self._instance!r} and {instance!r}: test "
                "them one by one"
            )
        self._instance = instance

    def _pass(self, time: timedelta) -> None:
        """Let time pass; what is past is due at once."""
        end = self._clock.advance(time)
        moment: datetime | None = None
        fired: set[str] = set()
        while self._error is None and self._timers:
            due, name = min((due, name) for name, due in self._timers.items())
            if due > end:
                break
            if moment is None or due > moment:
                moment, fired = due, set()
            if name in fired:
                raise AssertionError(
                    f"{self._who}: on_timer sets {name!r} to {due}, but it fires at {moment}: so "
                    "it would fire without end"
                )
            fired.add(name)
            self._fire(name, due)

    def _fire(self, name: str, due: datetime) -> None:
        del self._timers[name]
        self._react(lambda process: process.on_timer(name, due.astimezone(UTC)))

    def _react(self, react: Callable[[P], None]) -> None:
        process = self.process
        try:
            react(process)
        except Exception as error:  # noqa: BLE001  # then_raises looks at it
            self._error = raised(self._who, error)
            return
        self._own += process.pending
        self._recorded += process.pending
        self._sent += process.commands
        for name, due in process.timers.items():
            self._timers.pop(name, None)
            if due is not None:
                self._timers[name] = due

    def _check_no_error(self, expected: str) -> None:
        if (error := self.error) is not None:
            raise AssertionError(f"{self._who} raised {error!r}\n  {expected}") from error

    @property
    def _who(self) -> str:
        return f"{self._class.__qualname__} {self._instance or 'without an event'!r}"
