"""`Process`: an aggregate that reacts to the events of others with commands and timers."""

import inspect
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

from hitherto.domain.aggregate import Aggregate
from hitherto.domain.event import Event
from hitherto.domain.handlers import Handlers, handlers_of
from hitherto.domain.identifiers import check_identifier
from hitherto.domain.places import declared
from hitherto.domain.recorded import RecordedEvent
from hitherto.errors import InvalidInput

E = TypeVar("E", bound=Event)


class Process(Aggregate[E], Generic[E]):
    """Base of your processes: events in, commands out, and timers.

    Its state is the fold of its own events, `E`, like that of any aggregate; each thing that it
    follows has an instance of its own. It reacts in methods marked with `on`, and in `on_timer`
    to the timers that it has set. There it may `record` own events, `send` commands, and set
    timers with `wake`; it does nothing else, and needs no store to be tested::

        class Reminder(Process[Awaited | Reminded]):
            order: str = ""

            @on
            def placed(self, event: OrderPlaced, recorded: RecordedEvent[OrderPlaced]) -> None:
                self.record(Awaited(order=recorded.aggregate_id))
                self.wake("unpaid", at=recorded.occurred_at + timedelta(days=14))

            @on
            def paid(self, event: OrderPaid, recorded: RecordedEvent[OrderPaid]) -> None:
                self.cancel("unpaid")

            def on_timer(self, name: str, due: datetime) -> None:
                self.record(Reminded(at=due))
                self.send(SendReminder(order=self.order))

    Args (of the class statement):
        type: The stored name, of its aggregates and of the process itself; the class's name if
            left out.

    Attributes:
        commands: What it has sent since it was loaded.
        timers: What it has set since it was loaded, and None for what it has cancelled.

    Raises:
        InvalidInput: At definition, for a handler that is async, that bears `side_effect`, or
            whose annotation names no event class.
    """

    reacts_to: ClassVar[tuple[type[Event], ...]] = ()
    """The event classes that it has handlers for."""
    _handlers: ClassVar[Handlers] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._handlers = handlers_of(cls)
        cls.reacts_to = tuple(cls._handlers)
        for handler in (each for handlers in cls._handlers.values() for each in handlers):
            name = handler.function.__qualname__
            if inspect.iscoroutinefunction(handler.function):
                raise InvalidInput(f"{name} is async: a process only decides, so use plain def")
            if handler.side_effect:
                raise InvalidInput(f"{name}: side_effect is for projections, leave it out")
        fields = cls.definition.fields if hasattr(cls, "definition") else ()
        taken = [name for name in fields if hasattr(Process, name)]
        if taken:
            raise TypeError(
                f"{declared(cls, taken[0])}: a state field may not be named {taken[0]!r}"
            )

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self._commands: list[object] = []
        self._timers: dict[str, datetime | None] = {}

    @classmethod
    def instance_of(cls, recorded: RecordedEvent[Any]) -> str:
        """The id of the instance that an event is for, unique among all aggregates of the store.

        By default there is one for each aggregate whose events it follows. Override it where one
        instance follows several.
        """
        return f"{cls.definition.aggregate_type}-{recorded.aggregate_id}"

    @property
    def commands(self) -> tuple[object, ...]:
        """What it has sent since it was loaded."""
        return tuple(self._commands)

    @property
    def timers(self) -> Mapping[str, datetime | None]:
        """What it has set since it was loaded, and None for what it has cancelled."""
        return dict(self._timers)

    def send(self, command: object) -> None:
        """Have a command carried out, once, together with what else this event leads to."""
        self._commands.append(command)

    def wake(self, name: str, *, at: datetime) -> None:
        """Set a timer, in place of one of this name: `on_timer` is called then, or soon after.

        A timer that fires has seen every event that was stored before its moment; while one of
        the instance's is set aside, it waits.

        Args:
            name: Tells it from the instance's other timers.
            at: When, with a time zone. What is past is due at once.

        Raises:
            InvalidInput: The time has no zone, or the name cannot be one.
        """
        if at.utcoffset() is None:
            raise InvalidInput(f"at={at} has no time zone: give one, such as tzinfo=UTC")
        self._timers[check_identifier("the timer's name", name)] = at

    def cancel(self, name: str) -> None:
        """Cancel a timer; one that is not set is no matter."""
        self._timers[check_identifier("the timer's name", name)] = None

    def react(self, recorded: RecordedEvent[Any]) -> None:
        """Give an event to its handlers."""
        event: Event = recorded.event
        for handler in self._handlers.get(type(event), ()):
            handler.function(self, event, recorded)

    def on_timer(self, name: str, due: datetime) -> None:
        """A timer has fired, which is thereby gone.

        Args:
            name: Its name.
            due: The moment that it was set to, in UTC.
        """
        raise NotImplementedError(f"{type(self).__qualname__} needs a method on_timer(name, due)")

    def _taken(self) -> tuple[list[object], dict[str, datetime | None]]:
        """What it has sent and set; from now on that is the caller's."""
        taken = self._commands, self._timers
        self._commands, self._timers = [], {}
        return taken
