"""Given, when, then: what passes, and what a failure tells."""

from decimal import Decimal
from typing import Any

import pytest

from hitherto import Aggregate, Decider, Event, InvalidAggregateState, InvalidInput
from hitherto.testing import given
from hitherto.testing.repository_contract.domain import (
    Account,
    Counter,
    Deposited,
    Grew,
    Grow,
    Opened,
    Registered,
    Withdrawn,
)

OPENED, TEN, FIVE = Opened(owner="Ada"), Deposited(amount=Decimal(10)), Deposited(amount=Decimal(5))


def test_a_decision_is_checked_by_its_events() -> None:
    """And by the state that they lead to; checks can be chained."""
    (
        given(Account, OPENED, TEN)
        .then_state(owner="Ada", balance=10)
        .when(lambda account: account.withdraw(4))
        .then(Withdrawn(amount=Decimal(4)))
        .then_state(balance=6)
    )


def test_the_history_is_saved_and_what_is_decided_is_not() -> None:
    """As after a load."""
    outcome = given(Account, OPENED, TEN, id="a-7").when(lambda account: account.deposit(5))
    assert (outcome.aggregate.id, outcome.aggregate.version) == ("a-7", 2)
    assert outcome.aggregate.pending == (FIVE,)


def test_a_decider_can_be_given_too() -> None:
    """Its instance."""
    given(Counter(), Grew(by=1)).when(lambda counter: counter.execute(Grow(2))).then(
        Grew(by=1), Grew(by=1)
    )


def test_a_refusal_is_checked_by_its_error() -> None:
    """Its class, and what its message says."""
    outcome = given(Account, OPENED).when(lambda account: account.withdraw(1))
    outcome.then_raises(InvalidAggregateState, match="less than 1").then_state(balance=0)


def test_nothing_may_happen() -> None:
    """The command is accepted, and records nothing."""
    given(Account).when(lambda account: account.version).then_nothing()


def test_a_history_of_other_events_is_refused() -> None:
    """They could never have been stored."""
    with pytest.raises(InvalidInput, match="Registered is not an event of Account"):
        given(Account, Registered(name="x"))


def test_a_decision_is_not_async() -> None:
    """A coroutine would never have run."""

    async def later(account: Account) -> None:
        raise AssertionError

    with pytest.raises(TypeError, match="decisions are not async"):
        given(Account).when(later)


class Bumped(Event):
    pass


class Label:
    """Equal to none but itself."""


class Meter(Aggregate[Bumped]):
    count: int = 0
    seen: list[str] = []  # noqa: RUF012  # copied for each instance
    label: Label | None = None
    ratio: float = 0.0

    def apply(self, event: Bumped) -> None:
        self.count += 1
        self.seen.append("b")
        self.label = Label()
        self.ratio = float("nan")


class Bumping(Decider[list[int], Bumped, int]):
    initial: list[int] = []  # noqa: RUF012  # copied for each aggregate

    def decide(self, state: list[int], command: int) -> list[Bumped]:
        state.append(command)
        return [Bumped()]

    def evolve(self, state: list[int], event: Bumped) -> list[int]:
        return state


def test_a_state_that_is_changed_outside_apply_is_told() -> None:
    """Before anything else: it is there in memory, and would be lost by a load."""

    def mutate(meter: Meter) -> None:
        meter.record(Bumped())
        meter.count = 99
        meter.seen.append("c")

    with pytest.raises(AssertionError) as caught:
        given(Meter).when(mutate)
    assert str(caught.value).split("\n  ") == [
        "Meter 'given-1'",
        "count was changed outside apply: it is 99, after a load it would be 1",
        "seen was changed outside apply: it is ['b', 'c'], after a load it would be ['b']",
    ]
    with pytest.raises(AssertionError, match="state was changed outside evolve: it is"):
        given(Bumping()).when(lambda bumping: bumping.execute(1))


def test_a_field_that_no_two_folds_leave_equal_is_not_taken_for_changed() -> None:
    """Nor is a state half-way to an event that was refused, for nobody saves it."""
    meter = given(Meter, Bumped()).when(lambda meter: meter.record(Bumped())).then(Bumped())
    meter.then_state(count=2)

    def refused(meter: Meter) -> None:
        meter.count = 99
        raise InvalidAggregateState("too late")

    given(Meter).when(refused).then_raises(InvalidAggregateState)


def test_a_decision_may_follow_another() -> None:
    """What the first has recorded is still pending."""
    meter = given(Meter, Bumped())
    meter.when(lambda meter: meter.record(Bumped())).then(Bumped())
    meter.when(lambda meter: meter.record(Bumped())).then(Bumped(), Bumped()).then_state(count=3)


def reckless(account: Account) -> None:
    account.deposit(5)
    raise ZeroDivisionError("oops")


@pytest.mark.parametrize(
    ("command", "check", "told"),
    [
        (
            lambda account: account.deposit(5),
            lambda outcome: outcome.then(TEN),
            ["other events", f"expected: {TEN!r}", f"recorded: {FIVE!r}"],
        ),
        (
            lambda account: account.deposit(5),
            lambda outcome: outcome.then(FIVE, FIVE),
            [f"expected: {FIVE!r}\n            {FIVE!r}", f"recorded: {FIVE!r}"],
        ),
        (
            lambda account: account.deposit(5),
            lambda outcome: outcome.then_nothing(),
            ["expected: nothing", f"recorded: {FIVE!r}"],
        ),
        (
            reckless,
            lambda outcome: outcome.then(FIVE),
            ["the command raised ZeroDivisionError('oops')", f"expected: {FIVE!r}"],
        ),
        (
            lambda account: account.deposit(5),
            lambda outcome: outcome.then_raises(KeyError),
            ["did not raise", "expected: KeyError", f"recorded: {FIVE!r}"],
        ),
        (
            reckless,
            lambda outcome: outcome.then_raises(KeyError),
            ["another error", "expected: KeyError", "raised:   ZeroDivisionError('oops')"],
        ),
        (
            reckless,
            lambda outcome: outcome.then_raises(ZeroDivisionError, match="ouch"),
            ["another message", "expected: ouch", "raised:   oops"],
        ),
        (
            reckless,
            lambda outcome: outcome.then_raises(ZeroDivisionError, match="o+ps"),
            ["recorded events before it raised", f"recorded: {FIVE!r}"],
        ),
        (
            lambda account: account.deposit(5),
            lambda outcome: outcome.then_state(owner="Ada", balance=6, colour="red"),
            ["the state differs", "balance: expected 6, is Decimal('5')", "colour: there is no"],
        ),
    ],
)
def test_a_failure_shows_what_was_expected_and_what_happened(
    command: Any, check: Any, told: list[str]
) -> None:
    """And whose it is."""
    outcome = given(Account, OPENED).when(command)
    with pytest.raises(AssertionError) as caught:
        check(outcome)
    message = str(caught.value)
    assert message.startswith("Account 'given-1': ")
    for part in told:
        assert part in message
    assert "owner" not in message.replace("owner='Ada'", "")
