"""What cannot happen to a fine."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from hitherto import InvalidAggregateState, InvalidInput
from hitherto.examples.traffic_fines import (
    Fine,
    FineCreated,
    FineEvent,
    FineNotified,
    FineSent,
    JudgeAppealed,
    PaymentReceived,
    PenaltyAdded,
    PrefectureAppealEntered,
    PrefectureAppealSent,
    PrefectureResultNotified,
    PrefectureResultReceived,
    SentToCollection,
)
from hitherto.testing import given

Command = Callable[[Fine, datetime], None]

ROME = timezone(timedelta(hours=1))
NOW = datetime(2006, 3, 1, 12, tzinfo=ROME)
EURO = Decimal("1.00")


def create(fine: Fine, at: datetime) -> None:
    """Over one euro."""
    fine.create(EURO, at=at, article=157, vehicle_class="A", resource="561")


COMMANDS: dict[str, Command] = {
    "FineCreated": create,
    "FineSent": lambda fine, at: fine.send(EURO, at=at),
    "FineNotified": lambda fine, at: fine.notify("P", at=at),
    "PenaltyAdded": lambda fine, at: fine.add_penalty(EURO, at=at),
    "PaymentReceived": lambda fine, at: fine.pay(EURO, at=at),
    "PrefectureAppealEntered": lambda fine, at: fine.enter_prefecture_appeal(at=at),
    "PrefectureAppealSent": lambda fine, at: fine.send_prefecture_appeal(at=at),
    "PrefectureResultReceived": lambda fine, at: fine.receive_prefecture_result(at=at),
    "PrefectureResultNotified": lambda fine, at: fine.notify_prefecture_result(at=at),
    "JudgeAppealed": lambda fine, at: fine.appeal_to_judge(at=at, resource="0"),
    "SentToCollection": lambda fine, at: fine.send_to_collection(at=at),
}
EVENTS: dict[str, FineEvent] = {
    "FineCreated": FineCreated(
        at=NOW,
        amount=EURO,
        resource="561",
        dismissal="NIL",
        vehicle_class="A",
        total_paid=Decimal(0),
        article=157,
        points=0,
    ),
    "FineSent": FineSent(at=NOW, expense=EURO),
    "FineNotified": FineNotified(at=NOW, notification_type="P"),
    "PenaltyAdded": PenaltyAdded(at=NOW, amount=EURO),
    "PaymentReceived": PaymentReceived(at=NOW, amount=EURO, total_paid=EURO),
    "PrefectureAppealEntered": PrefectureAppealEntered(at=NOW),
    "PrefectureAppealSent": PrefectureAppealSent(at=NOW, dismissal="NIL"),
    "PrefectureResultReceived": PrefectureResultReceived(at=NOW),
    "PrefectureResultNotified": PrefectureResultNotified(at=NOW),
    "JudgeAppealed": JudgeAppealed(at=NOW, resource="0", dismissal="NIL", registration=0),
    "SentToCollection": SentToCollection(at=NOW),
}
ALL_BUT_CREATION = [name for name in COMMANDS if name != "FineCreated"]
CREATED, SENT, NOTIFIED, PENALTY = (
    EVENTS[name] for name in ("FineCreated", "FineSent", "FineNotified", "PenaltyAdded")
)
NEEDED = {
    "FineNotified": [CREATED, SENT],
    "PenaltyAdded": [CREATED, SENT, NOTIFIED],
    "SentToCollection": [CREATED, SENT, NOTIFIED, PENALTY],
}


def test_the_tables_above_are_complete() -> None:
    """A new step is refused in the same cases, or gets a test of its own."""
    assert set(COMMANDS) == set(EVENTS) == set(Fine.definition.events)


@pytest.mark.parametrize("name", ALL_BUT_CREATION)
def test_nothing_happens_to_a_fine_before_its_creation(name: str) -> None:
    """It is told, or else what the step needs."""
    given(Fine, id="A1").when(lambda fine: COMMANDS[name](fine, NOW)).then_raises(
        InvalidAggregateState, match="fine A1 (was not created|cannot be .*: it has no )"
    )


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "PaymentReceived"])
def test_no_step_but_a_payment_happens_twice(name: str) -> None:
    """A fine is sent once, added a penalty to once, and so on."""
    given(Fine, *EVENTS.values(), id="A1").when(lambda fine: COMMANDS[name](fine, NOW)).then_raises(
        InvalidAggregateState, match=f"fine A1 has its {name} already"
    )


def test_a_payment_happens_twice() -> None:
    """The exception to the above."""
    outcome = given(Fine, *EVENTS.values()).when(lambda fine: fine.pay(EURO, at=NOW))
    assert outcome.error is None


@pytest.mark.parametrize("name", ALL_BUT_CREATION)
def test_time_does_not_go_back(name: str) -> None:
    """By nothing at all; the message has both times."""
    before = NOW - timedelta(microseconds=1)
    given(Fine, *NEEDED.get(name, [CREATED]), id="A1").when(
        lambda fine: COMMANDS[name](fine, before)
    ).then_raises(
        InvalidAggregateState,
        match=r"fine A1 has an event of 2006-03-01 12:00:00\+01:00: .*11:59:59.999999.* is before",
    )


def test_a_later_hour_in_another_zone_may_be_earlier() -> None:
    """Moments are compared, not the hands of clocks."""
    in_athens = datetime(2006, 3, 1, 12, 30, tzinfo=timezone(timedelta(hours=2)))
    fine = given(Fine, CREATED)
    fine.when(lambda fine: fine.pay(EURO, at=in_athens)).then_raises(InvalidAggregateState)
    in_lisbon = datetime(2006, 3, 1, 11, 30, tzinfo=timezone(timedelta(0)))
    fine.when(lambda fine: fine.pay(EURO, at=in_lisbon)).then(
        PaymentReceived(at=in_lisbon, amount=EURO, total_paid=EURO)
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_a_time_without_a_zone_is_refused(name: str) -> None:
    """It is no moment."""
    given(Fine, *NEEDED.get(name, [CREATED])).when(
        lambda fine: COMMANDS[name](fine, NOW.replace(tzinfo=None))
    ).then_raises(InvalidInput, match="2006-03-01 12:00:00 has no time zone: give one")


def test_nobody_is_notified_of_what_was_never_sent() -> None:
    """Post comes first."""
    given(Fine, CREATED, id="A1").when(lambda fine: fine.notify("P", at=NOW)).then_raises(
        InvalidAggregateState, match="A1 cannot be notified: it has no FineSent"
    )


def test_nobody_is_penalised_who_was_not_told() -> None:
    """That it was sent is not enough."""
    given(Fine, CREATED, SENT, id="A1").when(
        lambda fine: fine.add_penalty(EURO, at=NOW)
    ).then_raises(InvalidAggregateState, match="A1 cannot be penalised: it has no FineNotified")


def test_a_penalty_cannot_lower_the_amount() -> None:
    """By no cent."""
    given(Fine, CREATED, SENT, NOTIFIED, id="A1").when(
        lambda fine: fine.add_penalty(Decimal("0.99"), at=NOW)
    ).then_raises(InvalidAggregateState, match="over 1.00 euros: a penalty cannot lower it to 0.99")


def test_nothing_is_collected_without_a_penalty() -> None:
    """Notice is not enough."""
    given(Fine, CREATED, SENT, NOTIFIED, id="A1").when(
        lambda fine: fine.send_to_collection(at=NOW)
    ).then_raises(InvalidAggregateState, match="A1 cannot be sent to collection: .*PenaltyAdded")


@pytest.mark.parametrize(
    "dismissal",
    [
        PrefectureAppealSent(at=NOW, dismissal="#"),
        JudgeAppealed(at=NOW, resource="0", dismissal="G", registration=0),
    ],
)
def test_nothing_is_collected_after_a_dismissal(dismissal: FineEvent) -> None:
    """Whoever has dismissed it."""
    given(Fine, CREATED, SENT, NOTIFIED, PENALTY, dismissal, id="A1").when(
        lambda fine: fine.send_to_collection(at=NOW)
    ).then_raises(InvalidAggregateState, match="A1 was dismissed: nothing is to be collected")


@pytest.mark.parametrize(
    "euros",
    [
        "-0.01",
        "-35",
        "0.001",
        "35.999",
        "NaN",
        "sNaN",
        "Infinity",
        "99999999999999999999999999999",
        "1000000000",
    ],
)
@pytest.mark.parametrize(
    ("what", "history", "command"),
    [
        (
            "the amount",
            [],
            lambda fine, euros: fine.create(
                euros, at=NOW, article=157, vehicle_class="A", resource="561"
            ),
        ),
        (
            "the total paid",
            [],
            lambda fine, euros: fine.create(
                EURO, at=NOW, article=157, vehicle_class="A", resource="561", total_paid=euros
            ),
        ),
        ("the expense", [CREATED], lambda fine, euros: fine.send(euros, at=NOW)),
        (
            "the penalty",
            [CREATED, SENT, NOTIFIED],
            lambda fine, euros: fine.add_penalty(euros, at=NOW),
        ),
        ("the payment", [CREATED], lambda fine, euros: fine.pay(euros, at=NOW)),
        (
            "the total paid",
            [CREATED],
            lambda fine, euros: fine.pay(EURO, at=NOW, total_paid=euros),
        ),
    ],
)
def test_amounts_are_whole_cents_and_not_negative(
    what: str, history: list[FineEvent], command: Callable[[Fine, Decimal], None], euros: str
) -> None:
    """The message names the amount and says what is allowed."""
    given(Fine, *history).when(lambda fine: command(fine, Decimal(euros))).then_raises(
        InvalidInput, match=f"{what} is {euros} euros: give whole cents, not below 0"
    )


def test_cents_may_be_written_with_more_digits() -> None:
    """35.9900 splits no cent."""
    given(Fine, CREATED).when(lambda fine: fine.pay(Decimal("35.9900"), at=NOW)).then(
        PaymentReceived(at=NOW, amount=Decimal("35.99"), total_paid=Decimal("35.99"))
    )


def test_a_licence_gains_no_points() -> None:
    """A fine takes them."""
    given(Fine).when(
        lambda fine: fine.create(
            EURO, at=NOW, article=157, vehicle_class="A", resource="561", points=-1
        )
    ).then_raises(InvalidInput, match="-1 points")
