"""`Decider`: the functional form of an aggregate."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

from hitherto.domain.aggregate import Aggregate
from hitherto.domain.definition import Definition, base_arguments, events_of, is_open
from hitherto.domain.event import Event
from hitherto.domain.upcasters import EventsUpcaster, EventsUpcasters

S = TypeVar("S")
E = TypeVar("E", bound=Event)
C = TypeVar("C")
U = TypeVar("U", bound=EventsUpcaster)


class Decider(ABC, Generic[S, E, C]):
    """Three pure things: the initial state, what a command leads to, what an event changes.

    `Repository` takes an instance of it wherever it takes an aggregate class::

        class Counting(Decider[int, Incremented, Increment], type="Counter"):
            initial = 0

            def decide(self, state: int, command: Increment) -> list[Incremented]:
                return [Incremented(by=command.by)]

            def evolve(self, state: int, event: Incremented) -> int:
                return state + event.by

        counters = Repository(store, Counting())
        await counters.update("c-1", lambda counter: counter.execute(Increment(by=2)))

    The pattern and its name are Jérémie Chassaing's ("Functional Event Sourcing Decider", 2021).

    Args (of the class statement):
        type: The stored name; the class's name if left out.
        snapshot_version: Bump it when older snapshots must not be used any more.
    """

    initial: S
    """The state before the first event; copied for each aggregate."""

    definition: ClassVar[Definition]
    """What the class statement declares: the stored name, the events, the state's type."""

    def __init_subclass__(
        cls, *, type: str | None = None, snapshot_version: int = 1, **options: Any
    ) -> None:
        super().__init_subclass__(**options)
        arguments = base_arguments(cls, Decider)
        inherited: EventsUpcasters = {}
        if arguments is None and hasattr(cls, "definition"):
            events, inherited = dict(cls.definition.events), cls.definition.upcasters
            state_types = cls.definition.state_types
        elif arguments is None:
            raise TypeError(f"{cls.__qualname__}: say Decider[State, Event, Command]")
        elif is_open(arguments[1]):
            return
        else:
            state_type = arguments[0]
            events, state_types = events_of(arguments[1], cls), lambda: {"state": state_type}
        cls.definition = Definition(
            aggregate_type=cls.__name__ if type is None else type,
            events=events,
            fold=cls.evolve,
            owner=cls,
            fields=("state",),
            state_types=state_types,
            snapshot_version=snapshot_version,
            inherited=inherited,
        )

    @classmethod
    def upcast(cls, event_type: str, schema: int = 1) -> Callable[[U], U]:
        """See `Aggregate.upcast`."""
        return cls.definition.upcast(event_type, schema)

    @abstractmethod
    def decide(self, state: S, command: C) -> Iterable[E]:
        """The events that `command` leads to in `state`; raise to refuse it."""

    @abstractmethod
    def evolve(self, state: S, event: E) -> S:
        """The state after `event`."""

    def __call__(self, id: str) -> "Decided[S, E, C]":
        """A new aggregate of this kind, without any event yet."""
        return Decided(id, self)


class Decided(Aggregate[E], Generic[S, E, C]):
    """An aggregate that is run by a `Decider`.

    Attributes:
        state: The current state.
    """

    def __init__(self, id: str, decider: Decider[S, E, C]) -> None:
        self.definition: Definition = decider.definition  # type: ignore[misc]
        self._decider = decider
        self.state: S = copy.deepcopy(decider.initial)
        super().__init__(id)

    def execute(self, command: C, *, occurred_at: datetime | None = None) -> tuple[E, ...]:
        """Decide `command`, record what it leads to, and return it.

        Args:
            command: What is asked for.
            occurred_at: When it happened, with a time zone; the time of the save if left out.
        """
        events = tuple(self._decider.decide(self.state, command))
        for event in events:
            self.record(event, occurred_at=occurred_at)
        return events

    def apply(self, event: E) -> None:
        """Fold one event into the state, as the decider's `evolve` says."""
        self.state = self._decider.evolve(self.state, event)
