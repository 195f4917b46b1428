"""Given events and time, when more comes, then a process has sent and set this."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.unit.domain.reminder import (
    AGAIN,
    PATIENCE,
    Awaited,
    GiveBonus,
    Paid,
    Placed,
    Remind,
    Reminded,
    Reminder,
    Settled,
    Warned,
)

from hitherto import InvalidInput, Process, RecordedEvent, on
from hitherto.testing import given

START = datetime(2024, 1, 1, tzinfo=UTC)
PLACED, PAID = Placed(customer="Ada"), Paid(amount=5)
SECOND = timedelta(seconds=1)


class Odd(Process[Awaited]):
    """Does what one should not."""

    kept = 0

    @classmethod
    def instance_of(cls, recorded: RecordedEvent[Any]) -> str:
        return f"of-{recorded.event.customer}"

    @on
    def placed(self, event: Placed, recorded: RecordedEvent[Any]) -> None:
        self.kept += 1
        self.record(Awaited(order=recorded.aggregate_id, customer=str(self.kept)))
        self.wake("always", at=recorded.occurred_at)
        if event.customer == "nobody":
            raise ZeroDivisionError("oops")
        if event.customer == "Eve":
            self.cancel("always")

    def on_timer(self, name: str, due: datetime) -> None:
        self.wake(name, at=due)

    def apply(self, event: Awaited) -> None:
        pass


def test_events_lead_to_commands_and_timers() -> None:
    """And to events of its own, and to a state; each `when` is told of by itself."""
    (
        given(Reminder, PLACED, id="order-1")
        .then_recorded(Awaited(order="order-1", customer="Ada"))
        .then_timers(unpaid=PATIENCE)
        .when(PAID)
        .then(GiveBonus(customer="Ada", order="order-1"))
        .then_recorded(Settled(amount=5))
        .then_timers()
        .then_state(order="order-1", customer="Ada")
    )


def test_timers_fire_when_their_time_has_come() -> None:
    """Those that they set in turn, too, each at its moment."""
    reminder = given(Reminder, PLACED, id="order-1").when(PATIENCE - SECOND).then_nothing()
    reminder.when(SECOND).then(Remind(order="order-1"))
    reminder.then_recorded(Warned(due=START + PATIENCE)).then_timers(unpaid=AGAIN)
    reminder.when(3 * AGAIN).then(Remind(order="order-1")).then_timers().then_state(warnings=2)
    given(Reminder, PLACED, id="o").when(3 * PATIENCE).then(Remind(order="o"), Remind(order="o"))


def test_time_may_pass_in_the_history_and_between_events() -> None:
    """A timer may be told by its moment, and one that is due in the past fires at once."""
    due = START + timedelta(days=1) + PATIENCE
    given(Reminder, timedelta(days=1), PLACED).then_timers(unpaid=due)
    late = given(Reminder, PLACED, PATIENCE, id="o").when(AGAIN, PAID)
    late.then(Remind(order="o"), GiveBonus(customer="Ada", order="o"))


def test_it_begins_with_events_of_its_own() -> None:
    """Where what led to them does not matter."""
    own = Awaited(order="o", customer="Ada")
    given(Reminder, own, id="o").when(PAID).then(GiveBonus(customer="Ada", order="o"))


def test_events_may_be_of_several_aggregates() -> None:
    """If one instance follows them; events of two are two tests."""
    one = given(Odd, ("order-1", Placed(customer="Eve"))).when(("order-2", Placed(customer="Eve")))
    one.then_recorded(Awaited(order="order-2", customer="1"))
    with pytest.raises(InvalidInput, match="two instances, 'of-Eve' and 'of-Ada'"):
        one.when(PLACED)


def test_what_is_not_in_its_state_is_lost() -> None:
    """As in a store: each thing that happens finds what its own events tell."""
    given(Odd, Placed(customer="Eve"), Placed(customer="Eve")).then_recorded(
        Awaited(order="given-1", customer="1"), Awaited(order="given-1", customer="1")
    )


def test_what_raises_leaves_nothing_behind() -> None:
    """And what would have come later does not come."""
    (
        given(Odd)
        .when(Placed(customer="nobody"), Placed(customer="nobody"))
        .then_raises(ZeroDivisionError, match="oops")
        .then_state(version=0)
    )


def test_a_timer_without_end_is_told() -> None:
    """A store would fire it again and again."""
    with pytest.raises(AssertionError, match="it would fire without end"):
        given(Odd).when(PLACED)


def test_timers_that_set_each_other_without_end_are_told() -> None:
    """No time passes meanwhile, so that a test would never end."""

    class Endless(Process[Awaited]):
        @on
        def placed(self, event: Placed, recorded: RecordedEvent[Any]) -> None:
            self.wake("tick", at=recorded.occurred_at)

        def on_timer(self, name: str, due: datetime) -> None:
            self.wake("tock" if name == "tick" else "tick", at=due)

        def apply(self, event: Awaited) -> None:
            pass

    with pytest.raises(AssertionError, match=r"sets 'tick' to .* it would fire without end"):
        given(Endless).when(PLACED)


def test_what_it_does_not_know_is_refused() -> None:
    """It could not come."""
    with pytest.raises(InvalidInput, match="Reminder neither reacts to Reminded nor records it"):
        given(Reminder, Reminded(number=1))
    with pytest.raises(InvalidInput, match="give events"):
        given(Reminder, "placed")  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("check", "told"),
    [
        (
            lambda it: it.then(Remind(order="b")),
            [
                "other commands",
                "expected: Remind(order='b')",
                "sent:     Remind(order='a')",
                "\n  [0].order: expected 'b', is 'a'",
            ],
        ),
        (lambda it: it.then_nothing(), ["expected: nothing", "[0]: not expected, is Remind"]),
        (lambda it: it.then_recorded(), ["other events", "recorded: Warned("]),
        (
            lambda it: it.then_timers(paid=AGAIN),
            [
                "other timers are set, at 2024-01-15",
                "['paid']: expected datetime",
                "is not there",
                "['unpaid']: not expected, is datetime",
            ],
        ),
        (lambda it: it.then_state(order="b"), ["the state differs", "order: expected 'b', is 'a'"]),
        (lambda it: it.then_raises(KeyError), ["did not raise", "sent:     Remind"]),
    ],
)
def test_a_failure_shows_what_was_expected_and_what_happened(check: Any, told: list[str]) -> None:
    """And whose it is."""
    reminder = given(Reminder, PLACED, id="a").when(PATIENCE)
    with pytest.raises(AssertionError) as caught:
        check(reminder)
    assert str(caught.value).startswith("Reminder 'Reminder-a'")
    for part in told:
        assert part in str(caught.value)


def test_what_raised_is_told_by_every_other_check() -> None:
    """Rather than that nothing was sent."""
    odd = given(Odd).when(Placed(customer="nobody"))
    for check in (odd.then, odd.then_recorded, odd.then_timers, odd.then_nothing):
        with pytest.raises(AssertionError, match="raised ZeroDivisionError"):
            check()
