"""Deciders: the functional form of an aggregate."""

import copy
import pickle
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec
import pytest

from hitherto import Decider, Event, InvalidAggregateState, InvalidInput

C = TypeVar("C")
S = TypeVar("S")


class Grew(Event):
    by: int


class Shrank(Event):
    by: int


class Change(msgspec.Struct, frozen=True):
    by: int


class Counter(Decider[list[int], Grew | Shrank, Change], type="counter", snapshot_version=2):
    initial: list[int] = []  # noqa: RUF012

    def decide(self, state: list[int], command: Change) -> Iterator[Grew | Shrank]:
        if command.by == 0:
            raise InvalidAggregateState("nothing changes")
        if command.by < -sum(state):
            raise InvalidAggregateState("it would be negative")
        yield Grew(by=command.by) if command.by > 0 else Shrank(by=-command.by)

    def evolve(self, state: list[int], event: Grew | Shrank) -> list[int]:
        return [*state, event.by if isinstance(event, Grew) else -event.by]


class Strange(Decider[int, Grew, int]):
    initial = 0

    def decide(self, state: int, command: int) -> Iterable[Any]:
        return [Shrank(by=command)]

    def evolve(self, state: int, event: Grew) -> int:
        return state + event.by


def test_its_declaration_is_read_at_definition() -> None:
    """Stored name, events and the type of the state."""
    definition = Counter.definition
    assert (definition.aggregate_type, definition.snapshot_version) == ("counter", 2)
    assert definition.events == {"Grew": Grew, "Shrank": Shrank}
    assert (definition.fields, definition.state_types()) == (("state",), {"state": list[int]})


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))]
)
def test_a_copy_is_of_the_same_kind(copied: Callable[[Any], Any]) -> None:
    """It can be saved as the aggregate itself can."""
    counter = Counter()("c-1")
    counter.execute(Change(by=2))
    other = copied(counter)
    assert other.definition is Counter.definition
    assert (other.state, other.pending) == ([2], counter.pending)


def test_a_command_leads_to_events_and_they_to_the_state() -> None:
    """It returns the events, and they are pending."""
    counter = Counter()("c-1")
    assert counter.state == []
    assert counter.execute(Change(by=5)) == (Grew(by=5),)
    assert counter.execute(Change(by=-2)) == (Shrank(by=2),)
    assert counter.state == [5, -2]
    assert counter.pending == (Grew(by=5), Shrank(by=2))


def test_a_refused_command_records_nothing() -> None:
    """Also where decide is a generator."""
    counter = Counter()("c-1")
    for by in (0, -1):
        with pytest.raises(InvalidAggregateState):
            counter.execute(Change(by=by))
    assert (counter.state, counter.pending) == ([], ())


def test_each_starts_from_its_own_copy_of_the_initial_state() -> None:
    """Whatever another one does with it."""
    decider = Counter()
    decider("c-1").state.append(1)
    assert decider("c-2").state == []
    assert decider.initial == []


def test_commands_may_say_when_it_happened() -> None:
    """For each of their events."""
    counter = Counter()("c-1")
    now = datetime(2024, 1, 1, tzinfo=UTC)
    counter.execute(Change(by=1), occurred_at=now)
    assert [unsaved.occurred_at for unsaved in counter._unsaved] == [now]


def test_an_event_outside_the_union_is_refused() -> None:
    """As with any aggregate; the message names the decider."""
    strange = Strange()("s-1")
    with pytest.raises(InvalidInput, match="Shrank is not an event of"):
        strange.execute(1)


def test_its_types_must_be_named() -> None:
    """State, event and command."""
    with pytest.raises(TypeError, match=r"Bad: say Decider\[State, Event, Command\]"):

        class Bad(Decider):  # type: ignore[type-arg]
            pass


def test_a_subclass_inherits_the_declaration() -> None:
    """With a name of its own."""

    class Other(Counter):
        pass

    assert Other.definition.aggregate_type == "Other"
    assert Other.definition.events == Counter.definition.events
    assert Other.definition.state_types() == {"state": list[int]}
    assert Other()("o-1").execute(Change(by=1)) == (Grew(by=1),)


def test_a_generic_base_leaves_the_events_open() -> None:
    """Whoever derives from it names them."""
    event = TypeVar("event", bound=Event)

    class Base(Decider[int, event, C], Generic[event, C]):
        initial = 0

        def evolve(self, state: int, event: Any) -> int:
            return state + 1

    class Derived(Base[Grew, int]):
        def decide(self, state: int, command: int) -> Iterable[Grew]:
            return [Grew(by=command)]

    derived = Derived()("d-1")
    derived.execute(4)
    assert derived.state == 1
    assert set(Derived.definition.events) == {"Grew"}


def test_a_generic_base_may_leave_the_state_open_in_part() -> None:
    """Its type is put together from what is given later."""

    class Base(Decider[list[S], Grew, C], Generic[S, C]):
        pass

    class Derived(Base[int, str]):
        pass

    assert Derived.definition.state_types() == {"state": list[int]}


def test_a_generic_subclass_of_a_finished_decider_inherits_the_declaration() -> None:
    """Its type arguments are its own affair."""

    class Tagged(Counter, Generic[S]):
        pass

    class Derived(Tagged[str]):
        pass

    assert Derived.definition.events == Counter.definition.events


def test_decide_and_evolve_have_to_be_written() -> None:
    """A decider without them cannot be made."""

    class Half(Decider[int, Grew, int]):
        initial = 0

    make: Any = Half
    with pytest.raises(TypeError, match="abstract"):
        make()
