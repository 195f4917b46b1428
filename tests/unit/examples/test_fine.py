"""What happens to a fine: each command, the event it leads to, and what the fine then comes to."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from itertools import permutations

import pytest

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

Command = Callable[[Fine], None]


def day(number: int) -> datetime:
    """A day of January 2006 in Rome."""
    return datetime(2006, 1, number, tzinfo=timezone(timedelta(hours=1)))


CREATED = FineCreated(
    at=day(1),
    amount=Decimal("35.00"),
    resource="561",
    dismissal="NIL",
    vehicle_class="A",
    total_paid=Decimal(0),
    article=157,
    points=0,
)
SENT = FineSent(at=day(2), expense=Decimal("11.50"))
NOTIFIED = FineNotified(at=day(3), notification_type="P")
PENALTY = PenaltyAdded(at=day(4), amount=Decimal("71.50"))
COLLECTED = SentToCollection(at=day(5))
BY_PREFECTURE = PrefectureAppealSent(at=day(5), dismissal="#")
BY_JUDGE = JudgeAppealed(at=day(5), resource="0", dismissal="G", registration=0)


def paid(euros: str, number: int = 4) -> PaymentReceived:
    """A payment, the only one so far."""
    return PaymentReceived(at=day(number), amount=Decimal(euros), total_paid=Decimal(euros))


class TestSteps:
    def test_a_fine_is_created(self) -> None:
        """With all that the officer wrote."""
        (
            given(Fine)
            .when(
                lambda fine: fine.create(
                    Decimal("35.00"),
                    at=day(1),
                    article=80,
                    vehicle_class="C",
                    resource="561",
                    points=2,
                    dismissal="T",
                    total_paid=Decimal("1.00"),
                )
            )
            .then(
                FineCreated(
                    at=day(1),
                    amount=Decimal("35.00"),
                    resource="561",
                    dismissal="T",
                    vehicle_class="C",
                    total_paid=Decimal("1.00"),
                    article=80,
                    points=2,
                )
            )
            .then_state(amount=35, created_at=day(1), last_at=day(1), dismissed=False)
            .then_state(owed=35, outstanding=35, overpaid=0)
        )

    def test_most_fines_take_no_points_and_are_not_dropped(self) -> None:
        """So much may be left out."""
        given(Fine).when(
            lambda fine: fine.create(
                Decimal("35.00"), at=day(1), article=157, vehicle_class="A", resource="561"
            )
        ).then(CREATED)

    def test_the_postage_is_owed_too(self) -> None:
        """From when it was sent."""
        (
            given(Fine, CREATED)
            .when(lambda fine: fine.send(Decimal("11.50"), at=day(2)))
            .then(SENT)
            .then_state(expense=Decimal("11.50"), amount=35, owed=Decimal("46.50"))
        )

    def test_the_offender_is_notified(self) -> None:
        """Whom it was last sent to is kept, where it was noted."""
        sent = given(Fine, CREATED, SENT)
        sent.when(lambda fine: fine.notify("P", at=day(3))).then(NOTIFIED)
        given(Fine, CREATED, SENT).when(
            lambda fine: fine.notify("C", at=day(3), last_sent="N")
        ).then(FineNotified(at=day(3), notification_type="C", last_sent="N"))

    def test_a_penalty_takes_the_place_of_the_first_amount(self) -> None:
        """The postage stays."""
        (
            given(Fine, CREATED, SENT, NOTIFIED)
            .when(lambda fine: fine.add_penalty(Decimal("71.50"), at=day(4)))
            .then(PENALTY)
            .then_state(amount=Decimal("71.50"), owed=83, outstanding=83)
        )

    def test_a_payment_lowers_what_is_outstanding(self) -> None:
        """What is owed in all stays."""
        (
            given(Fine, CREATED)
            .when(lambda fine: fine.pay(Decimal("35.00"), at=day(4)))
            .then(paid("35.00"))
            .then_state(paid=35, owed=35, outstanding=0, overpaid=0)
        )

    def test_payments_are_summed_unless_the_books_say_otherwise(self) -> None:
        """The force's own sum is kept as it is told, and changes nothing."""
        (
            given(Fine, CREATED, paid("5.00"), paid("6.00"))
            .when(lambda fine: fine.pay(Decimal("7.00"), at=day(4)))
            .then(PaymentReceived(at=day(4), amount=Decimal("7.00"), total_paid=Decimal("18.00")))
            .then_state(paid=18, outstanding=17)
        )
        (
            given(Fine, CREATED, paid("5.00"))
            .when(lambda fine: fine.pay(Decimal("7.00"), at=day(4), total_paid=Decimal("99.00")))
            .then(PaymentReceived(at=day(4), amount=Decimal("7.00"), total_paid=Decimal("99.00")))
            .then_state(paid=12, outstanding=23)
        )
        given(Fine, CREATED, paid("5.00")).when(
            lambda fine: fine.pay(Decimal("7.00"), at=day(4), total_paid=Decimal(0))
        ).then(PaymentReceived(at=day(4), amount=Decimal("7.00"), total_paid=Decimal(0)))

    @pytest.mark.parametrize(
        ("command", "event"),
        [
            (lambda fine: fine.enter_prefecture_appeal(at=day(5)), PrefectureAppealEntered),
            (lambda fine: fine.receive_prefecture_result(at=day(5)), PrefectureResultReceived),
            (lambda fine: fine.notify_prefecture_result(at=day(5)), PrefectureResultNotified),
        ],
    )
    def test_an_appeal_to_the_prefecture_is_followed(
        self,
        command: Command,
        event: type[PrefectureAppealEntered],
    ) -> None:
        """Its dates change nothing of what is owed."""
        given(Fine, CREATED).when(command).then(event(at=day(5))).then_state(
            owed=35, last_at=day(5), dismissed=False
        )

    def test_an_appeal_is_passed_to_the_prefecture(self) -> None:
        """Not dismissed, unless it is said."""
        given(Fine, CREATED).when(lambda fine: fine.send_prefecture_appeal(at=day(5))).then(
            PrefectureAppealSent(at=day(5), dismissal="NIL")
        ).then_state(dismissed=False)
        given(Fine, CREATED).when(lambda fine: fine.send_prefecture_appeal("#", at=day(5))).then(
            BY_PREFECTURE
        ).then_state(dismissed=True)

    def test_the_offender_appeals_to_a_judge(self) -> None:
        """Not dismissed, unless it is said."""
        given(Fine, CREATED).when(lambda fine: fine.appeal_to_judge(at=day(5), resource="0")).then(
            JudgeAppealed(at=day(5), resource="0", dismissal="NIL", registration=0)
        ).then_state(dismissed=False)
        given(Fine, CREATED).when(
            lambda fine: fine.appeal_to_judge(
                at=day(5), resource="7", dismissal="G", registration=12
            )
        ).then(JudgeAppealed(at=day(5), resource="7", dismissal="G", registration=12)).then_state(
            dismissed=True
        )

    def test_a_fine_that_was_not_paid_goes_to_collection(self) -> None:
        """It is owed as before."""
        (
            given(Fine, CREATED, SENT, NOTIFIED, PENALTY)
            .when(lambda fine: fine.send_to_collection(at=day(5)))
            .then(COLLECTED)
            .then_state(owed=83, outstanding=83)
        )

    def test_a_fine_knows_its_steps(self) -> None:
        """By the classes of their events."""
        fine = given(Fine, CREATED, SENT).aggregate
        assert fine.has(FineCreated)
        assert fine.has(FineSent)
        assert not fine.has(FineNotified)


class TestOddities:
    def test_everything_may_happen_on_one_day(self) -> None:
        """The log knows days only; and one moment has several names."""
        in_utc = day(1).astimezone(UTC)

        def all_of_it(fine: Fine) -> None:
            fine.send(Decimal("11.50"), at=day(1))
            fine.notify("P", at=in_utc)
            fine.add_penalty(Decimal("71.50"), at=day(1))
            fine.pay(Decimal("1.00"), at=in_utc)
            fine.pay(Decimal("1.00"), at=day(1))
            fine.send_to_collection(at=day(1))

        outcome = given(Fine, CREATED).when(all_of_it)
        assert outcome.error is None
        assert len(outcome.aggregate.pending) == 6

    @pytest.mark.parametrize(
        ("euros", "outstanding", "overpaid"),
        [("0", "35", "0"), ("0.01", "34.99", "0"), ("34.99", "0.01", "0"), ("35.01", "0", "0.01")],
    )
    def test_payments_may_be_of_nothing_or_too_low_or_too_high(
        self, euros: str, outstanding: str, overpaid: str
    ) -> None:
        """What was paid too much is told apart; nothing is outstanding below zero."""
        given(Fine, CREATED).when(lambda fine: fine.pay(Decimal(euros), at=day(4))).then(
            paid(euros)
        ).then_state(outstanding=Decimal(outstanding), overpaid=Decimal(overpaid))

    def test_a_fine_may_be_paid_before_it_is_sent(self) -> None:
        """To the officer, for instance; postage then remains."""
        given(Fine, CREATED, paid("35.00", 1)).when(
            lambda fine: fine.send(Decimal("11.50"), at=day(2))
        ).then(SENT).then_state(outstanding=Decimal("11.50"))

    def test_payments_may_come_after_collection(self) -> None:
        """More than one."""

        def twice(fine: Fine) -> None:
            fine.pay(Decimal("80.00"), at=day(6))
            fine.pay(Decimal("5.00"), at=day(7))

        outcome = given(Fine, CREATED, SENT, NOTIFIED, PENALTY, COLLECTED).when(twice)
        outcome.then(
            paid("80.00", 6),
            PaymentReceived(at=day(7), amount=Decimal("5.00"), total_paid=Decimal("85.00")),
        ).then_state(outstanding=0, overpaid=2)

    def test_a_penalty_may_leave_the_amount_as_it_is(self) -> None:
        """It does not lower it."""
        given(Fine, CREATED, SENT, NOTIFIED).when(
            lambda fine: fine.add_penalty(Decimal("35.00"), at=day(4))
        ).then(PenaltyAdded(at=day(4), amount=Decimal("35.00")))

    def test_appeals_may_be_entered_in_any_order(self) -> None:
        """All 120 of them, on a fine that was never sent."""
        steps: list[tuple[Command, FineEvent]] = [
            (
                lambda fine: fine.enter_prefecture_appeal(at=day(5)),
                PrefectureAppealEntered(at=day(5)),
            ),
            (lambda fine: fine.send_prefecture_appeal("#", at=day(5)), BY_PREFECTURE),
            (
                lambda fine: fine.receive_prefecture_result(at=day(5)),
                PrefectureResultReceived(at=day(5)),
            ),
            (
                lambda fine: fine.notify_prefecture_result(at=day(5)),
                PrefectureResultNotified(at=day(5)),
            ),
            (
                lambda fine: fine.appeal_to_judge(at=day(5), resource="0", dismissal="G"),
                BY_JUDGE,
            ),
        ]

        def run(order: tuple[tuple[Command, FineEvent], ...], fine: Fine) -> None:
            for command, _ in order:
                command(fine)

        for order in permutations(steps):
            outcome = given(Fine, CREATED).when(partial(run, order))
            outcome.then(*(event for _, event in order)).then_state(dismissed=True)


class TestDismissal:
    @pytest.mark.parametrize("dismissal", [BY_PREFECTURE, BY_JUDGE])
    def test_of_a_dismissed_fine_nothing_is_owed(self, dismissal: FineEvent) -> None:
        """Not even the postage; what was paid, was paid too much."""
        given(Fine, CREATED, SENT, paid("10.00"), dismissal).then_state(
            dismissed=True, owed=0, outstanding=0, overpaid=10, amount=35
        )

    @pytest.mark.parametrize(
        "appeal",
        [
            PrefectureAppealSent(at=day(5), dismissal="NIL"),
            PrefectureAppealSent(at=day(5), dismissal="G"),
            JudgeAppealed(at=day(5), resource="0", dismissal="NIL", registration=0),
            JudgeAppealed(at=day(5), resource="0", dismissal="#", registration=0),
        ],
    )
    def test_any_other_code_dismisses_nothing(self, appeal: FineEvent) -> None:
        """Each authority has a code of its own."""
        given(Fine, CREATED, appeal).then_state(dismissed=False, owed=35)

    def test_a_dismissal_stands(self) -> None:
        """Even if the judge then lets it stand."""
        upheld = JudgeAppealed(at=day(6), resource="0", dismissal="NIL", registration=0)
        given(Fine, CREATED, BY_PREFECTURE, upheld).then_state(dismissed=True)

    def test_a_fine_under_collection_may_be_dismissed(self) -> None:
        """The judge takes time."""
        collected = given(Fine, CREATED, SENT, NOTIFIED, PENALTY, COLLECTED)
        collected.when(
            lambda fine: fine.appeal_to_judge(at=day(5), resource="0", dismissal="G")
        ).then(BY_JUDGE).then_state(outstanding=0)
