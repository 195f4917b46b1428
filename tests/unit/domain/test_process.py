"""Processes decide purely: given events, when an event or a timer comes, then these commands."""

from datetime import datetime, timedelta
from types import new_class
from typing import Any, Generic, TypeVar

import pytest
from tests.unit.domain.account import Nowhere
from tests.unit.domain.reminder import (
    AGAIN,
    NOON,
    PATIENCE,
    Awaited,
    GiveBonus,
    Paid,
    Placed,
    Remind,
    Reminder,
    Settled,
    Warned,
    recorded,
)

from hitherto import Event, InvalidInput, RecordedEvent
from hitherto.domain.handlers import on
from hitherto.domain.process import Process


def test_an_event_leads_to_own_events_and_timers() -> None:
    """What a handler records and sets is there to be looked at; no store is needed."""
    reminder = Reminder("reminder-1")
    reminder.react(recorded(Placed(customer="Ada")))
    assert reminder.pending == (Awaited(order="order-1", customer="Ada"),)
    assert reminder.timers == {"unpaid": NOON + PATIENCE}
    assert reminder.commands == ()


def test_an_event_leads_to_commands() -> None:
    """Commands are kept in order, and a cancelled timer is told as None."""
    reminder = Reminder("reminder-1")
    reminder.react(recorded(Placed(customer="Ada")))
    reminder.react(recorded(Paid(amount=3)))
    assert reminder.pending[-1] == Settled(amount=3)
    assert reminder.commands == (GiveBonus(customer="Ada", order="order-1"),)
    assert reminder.timers == {"unpaid": None}


def test_a_timer_leads_to_the_same_things() -> None:
    """`on_timer` may record, send, and set the timer again."""
    reminder = Reminder("reminder-1")
    reminder.react(recorded(Placed(customer="Ada")))
    reminder.on_timer("unpaid", NOON + PATIENCE)
    assert reminder.pending[-1] == Warned(due=NOON + PATIENCE)
    assert reminder.commands == (Remind(order="order-1"),)
    assert reminder.timers == {"unpaid": NOON + PATIENCE + AGAIN}


def test_a_timer_that_is_set_again_is_replaced() -> None:
    """An instance has at most one timer of each name."""
    reminder = Reminder("reminder-1")
    reminder.wake("unpaid", at=NOON)
    reminder.wake("unpaid", at=NOON + AGAIN)
    reminder.wake("other", at=NOON)
    assert reminder.timers == {"unpaid": NOON + AGAIN, "other": NOON}


def test_its_state_is_the_fold_of_its_own_events() -> None:
    """A history brings back the state, and sends and sets nothing."""
    reminder = Reminder("reminder-1")
    reminder.react(recorded(Placed(customer="Ada")))
    reminder.on_timer("unpaid", NOON)
    again = Reminder("reminder-1")
    again._fold(enumerate(reminder.pending, 1))
    assert (again.order, again.customer, again.warnings) == ("order-1", "Ada", 1)
    assert (again.commands, again.timers, again.pending) == ((), {}, ())


def test_there_is_an_instance_for_each_aggregate() -> None:
    """Its id bears the process's type, since ids are unique among all aggregates."""
    assert Reminder.instance_of(recorded(Placed(customer="Ada"), "order-7")) == "Reminder-order-7"


def test_it_reacts_to_what_its_handlers_are_annotated_with() -> None:
    """A process knows which events it is to be given; others are passed over."""
    assert set(Reminder.reacts_to) == {Placed, Paid}
    reminder = Reminder("reminder-1")
    reminder.react(recorded(Warned(due=NOON)))
    assert reminder.pending == ()


def test_a_handler_may_take_a_union_and_be_overridden() -> None:
    """Each class of a union leads to the method; a subclass's method takes its place."""

    class Counter(Process[Settled]):
        seen: int = 0

        @on
        def anything(self, event: Placed | Paid, _: RecordedEvent[Any]) -> None:
            self.record(Settled(amount=1))

        def apply(self, event: Settled) -> None:
            self.seen += event.amount

    class Doubled(Counter, type="Doubled"):
        @on
        def anything(self, event: Placed | Paid, _: RecordedEvent[Any]) -> None:
            self.record(Settled(amount=2))

    for cls, seen in ((Counter, 2), (Doubled, 4)):
        process = cls("p")
        process.react(recorded(Placed(customer="Ada")))
        process.react(recorded(Paid(amount=1)))
        assert process.seen == seen


@pytest.mark.parametrize("at", [datetime(2024, 5, 1), datetime(2024, 5, 1, tzinfo=Nowhere())])
def test_a_timer_needs_a_time_zone(at: datetime) -> None:
    """A moment that means another one elsewhere is refused."""
    with pytest.raises(InvalidInput, match="no time zone"):
        Reminder("reminder-1").wake("unpaid", at=at)


@pytest.mark.parametrize("name", ["", "x" * 256, "a\0b"])
def test_a_timers_name_can_be_stored(name: str) -> None:
    """A name is refused like any other identifier."""
    with pytest.raises(InvalidInput, match="the timer's name"):
        Reminder("reminder-1").wake(name, at=NOON)
    with pytest.raises(InvalidInput, match="the timer's name"):
        Reminder("reminder-1").cancel(name)


def test_a_timer_that_nobody_answers_is_told_of() -> None:
    """A process that sets timers needs `on_timer`."""

    class Deaf(Process[Settled]):
        pass

    with pytest.raises(NotImplementedError, match="Deaf needs a method on_timer"):
        Deaf("d").on_timer("x", NOON)


def test_an_async_handler_is_refused() -> None:
    """A process only decides, so its handlers are plain functions."""
    with pytest.raises(InvalidInput, match=r"placed is async"):

        class Waiting(Process[Settled]):
            @on
            async def placed(self, event: Placed, _: RecordedEvent[Any]) -> None: ...


def test_a_side_effect_is_refused() -> None:
    """The word is a projection's; every command of a process is sent once anyhow."""
    with pytest.raises(InvalidInput, match="side_effect is for projections"):

        class Loud(Process[Settled]):
            @on(side_effect=True)
            def placed(self, event: Placed, _: RecordedEvent[Any]) -> None: ...


def test_a_handler_without_an_annotation_is_refused() -> None:
    """The annotation is what tells the events."""
    with pytest.raises(InvalidInput, match="give it two parameters"):

        class Bare(Process[Settled]):
            @on
            def placed(self, event, _): ...  # type: ignore[no-untyped-def]

    with pytest.raises(InvalidInput, match="is not a subclass of Event"):

        class Wrong(Process[Settled]):
            @on
            def placed(self, event: int, _: RecordedEvent[Any]) -> None: ...


@pytest.mark.parametrize("name", ["commands", "timers", "reacts_to", "wake"])
def test_a_field_may_not_hide_a_part_of_the_process(name: str) -> None:
    """As with aggregates, at definition."""
    with pytest.raises(TypeError, match=f"may not be named '{name}'"):
        new_class(
            "Hiding",
            (Process[Settled],),
            exec_body=lambda body: body.update(__annotations__={name: int}),
        )


E = TypeVar("E", bound=Event)


def test_a_generic_base_leaves_the_union_open() -> None:
    """Processes may share handlers, each with events of its own."""

    class Base(Process[E], Generic[E]):
        @on
        def paid(self, event: Paid, _: RecordedEvent[Any]) -> None:
            self.wake("later", at=NOON + timedelta(days=event.amount))

    class Made(Base[Settled]):
        pass

    made = Made("m")
    made.react(recorded(Paid(amount=2)))
    assert made.timers == {"later": NOON + timedelta(days=2)}
