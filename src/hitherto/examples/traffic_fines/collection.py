"""`Collection`: the process that adds the penalty, and at last hands a fine over for collection.

Its rules are read off the log. A fine that is not paid in full 60 days after its notification is
raised by a penalty. On eleven days in thirteen years the force has handed over what was notified
up to some earlier day, is still owed, and is not under appeal.

The days are those of the place, so the database of time zones is needed: where the system has
none, install the package `tzdata`.
"""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from hitherto import Event, RecordedEvent, Repository, Store
from hitherto.application.commands import CommandBus
from hitherto.domain.handlers import on
from hitherto.domain.process import Process
from hitherto.examples.traffic_fines.events import (
    FineCreated,
    FineNotified,
    FineSent,
    JudgeAppealed,
    PaymentReceived,
    PrefectureAppealEntered,
    PrefectureAppealSent,
    PrefectureResultNotified,
)
from hitherto.examples.traffic_fines.model import NOTHING, Fine

PLACE = ZoneInfo("Europe/Rome")
TIME_TO_PAY = timedelta(days=60)
ON_ITS_WAY = timedelta(days=10)
"""A payment that comes in so soon after the penalty was made before it."""

ROUNDS = (
    (date(2000, 3, 31), date(2001, 4, 10)),
    (date(2001, 3, 31), date(2002, 4, 10)),
    (date(2002, 3, 31), date(2003, 1, 10)),
    (date(2003, 3, 31), date(2004, 1, 10)),
    (date(2004, 3, 31), date(2004, 12, 25)),
    (date(2005, 3, 31), date(2006, 2, 28)),
    (date(2006, 3, 31), date(2007, 2, 28)),
    (date(2008, 5, 23), date(2009, 3, 30)),
    (date(2009, 6, 30), date(2010, 10, 15)),
    (date(2011, 3, 31), date(2012, 3, 26)),
    (date(2012, 3, 31), date(2013, 4, 24)),
)
"""The days on which fines were handed over, each after the last day of notification for it."""

_PENALTIES = """
    19 39, 19.95 40.95, 21 42.5, 24 47, 31.3 62.59, 32 65.5, 33.6 68.77, 35 71.5, 36 74,
    37.56 75.11, 38 77.5, 39 79.5, 62.59 125.19, 65 131, 68 137.5, 68.25 137.55, 70 142.5,
    71 143, 76 153, 78 155.5, 80 159, 138 275, 143 286.5, 148 297, 150 299.5, 155 312,
    159 319.5, 357 716.5, 370 742.5, 389 779.5, 398 798, 516 1032.5, 687.75 1377.07,
    716 1433.5, 742 1485, 779 1559.5, 798 1597
"""
PENALTIES = {
    Decimal(amount): Decimal(penalty)
    for amount, penalty in (pair.split() for pair in _PENALTIES.split(","))
}
"""Where the law's penalty, half of the maximum, is not twice the amount, its minimum."""


class FineFollowed(Event):
    """The process has begun.

    Attributes:
        fine: The id of the fine.
        amount: What is to be paid at first.
    """

    fine: str
    amount: Decimal


class PostageCharged(Event):
    """The postage is owed, too."""

    expense: Decimal


class DeadlineSet(Event):
    """The offender knows of the fine.

    Attributes:
        penalty_at: The day on which the penalty is added.
        round: The day on which it is handed over; None: none is known.
    """

    penalty_at: datetime
    round: datetime | None


class PaymentCounted(Event):
    """Some money came in.

    Attributes:
        amount: How much.
        in_time: Whether it was paid before the penalty.
    """

    amount: Decimal
    in_time: bool


class AppealOpened(Event):
    """Nothing is collected until the offender knows the prefecture's answer."""


class AppealAnswered(Event):
    """The offender knows the prefecture's answer."""


class DismissalSeen(Event):
    """Nothing is owed any more."""


class PenaltyDecided(Event):
    """It was not paid in time."""

    amount: Decimal


class CollectionDecided(Event):
    """It is handed over."""


CollectionEvent = (
    FineFollowed
    | PostageCharged
    | DeadlineSet
    | PaymentCounted
    | AppealOpened
    | AppealAnswered
    | DismissalSeen
    | PenaltyDecided
    | CollectionDecided
)


class AddPenalty(msgspec.Struct, frozen=True, kw_only=True):
    """Have `amount` be paid in place of the first amount."""

    fine: str
    amount: Decimal
    at: datetime


class SendToCollection(msgspec.Struct, frozen=True, kw_only=True):
    """Hand the fine over for credit collection."""

    fine: str
    at: datetime


class Collection(Process[CollectionEvent]):
    """Follows one fine from its creation to payment, dismissal or collection."""

    fine: str = ""
    amount: Decimal = NOTHING
    expense: Decimal = NOTHING
    penalty: Decimal | None = None
    paid: Decimal = NOTHING
    paid_in_time: Decimal = NOTHING
    penalty_at: datetime | None = None
    round: datetime | None = None
    appealed: bool = False
    dismissed: bool = False

    @on
    def created(self, event: FineCreated, recorded: RecordedEvent[Any]) -> None:
        """Begin."""
        self.record(FineFollowed(fine=recorded.aggregate_id, amount=event.amount))

    @on
    def sent(self, event: FineSent, _: RecordedEvent[Any]) -> None:
        """Count the postage."""
        self.record(PostageCharged(expense=event.expense))

    @on
    def notified(self, event: FineNotified, _: RecordedEvent[Any]) -> None:
        """From now on the time to pay runs."""
        day = event.at.astimezone(PLACE)
        rounds = (_start(handed_over) for last, handed_over in ROUNDS if day.date() <= last)
        penalty_at = day + TIME_TO_PAY
        self.record(DeadlineSet(penalty_at=penalty_at, round=next(rounds, None)))
        if not self.dismissed and self.owed_in_time > NOTHING:
            self.wake("penalty", at=penalty_at)

    @on
    def payment(self, event: PaymentReceived, _: RecordedEvent[Any]) -> None:
        """Count it; what is paid in full is left in peace."""
        until = self.penalty_at and self.penalty_at.astimezone(PLACE) + ON_ITS_WAY
        in_time = until is None or event.at < until
        self.record(PaymentCounted(amount=event.amount, in_time=in_time))
        if not self.outstanding:
            self._rest()

    @on
    def appeal(
        self, event: PrefectureAppealEntered | PrefectureAppealSent, _: RecordedEvent[Any]
    ) -> None:
        """The prefecture is asked, or has dismissed the fine."""
        if isinstance(event, PrefectureAppealSent) and event.dismissal == "#":
            self.record(DismissalSeen())
            self._rest()
        elif not self.appealed:
            self.record(AppealOpened())

    @on
    def answer(self, _event: PrefectureResultNotified, _: RecordedEvent[Any]) -> None:
        """The offender knows how the appeal has ended."""
        self.record(AppealAnswered())

    @on
    def judge(self, event: JudgeAppealed, _: RecordedEvent[Any]) -> None:
        """A judge does not hold it up, but may dismiss it."""
        if event.dismissal == "G":
            self.record(DismissalSeen())
            self._rest()

    def on_timer(self, name: str, due: datetime) -> None:
        """Decide on the penalty, or on the collection."""
        at = due.astimezone(PLACE)
        if name == "penalty":
            self._penalise(at)
        elif self.appealed:
            self._wait_for_round(_round_after(at))
        elif self.outstanding:
            self.record(CollectionDecided())
            self.send(SendToCollection(fine=self.fine, at=at))

    @property
    def owed_in_time(self) -> Decimal:
        """What was to be paid without a penalty, and is not."""
        return self.amount + self.expense - self.paid

    @property
    def outstanding(self) -> bool:
        """Whether anything is still to be paid.

        Who has paid the first amount in time owes the postage, but no penalty.
        """
        if self.dismissed or self.penalty is None or self.paid_in_time >= self.amount:
            return not self.dismissed and self.owed_in_time > NOTHING
        return self.penalty + self.expense > self.paid

    def apply(self, event: CollectionEvent) -> None:
        """Fold one event into the state."""
        match event:
            case FineFollowed(fine=fine, amount=amount):
                self.fine, self.amount = fine, amount
            case PostageCharged(expense=expense):
                self.expense = expense
            case DeadlineSet(penalty_at=penalty_at, round=handed_over):
                self.penalty_at, self.round = penalty_at, handed_over
            case PaymentCounted(amount=amount, in_time=in_time):
                self.paid += amount
                self.paid_in_time += amount if in_time else NOTHING
            case AppealOpened() | AppealAnswered():
                self.appealed = isinstance(event, AppealOpened)
            case DismissalSeen():
                self.dismissed = True
            case PenaltyDecided(amount=amount):
                self.penalty = amount
            case CollectionDecided():
                pass

    def _penalise(self, at: datetime) -> None:
        if self.owed_in_time <= NOTHING:
            return
        amount = PENALTIES.get(self.amount, 2 * self.amount)
        self.record(PenaltyDecided(amount=amount))
        self.send(AddPenalty(fine=self.fine, amount=amount, at=at))
        self._wait_for_round(self.round)

    def _wait_for_round(self, day: datetime | None) -> None:
        if day is not None:
            self.wake("collection", at=day)

    def _rest(self) -> None:
        self.cancel("penalty")
        self.cancel("collection")


def commands(store: Store) -> CommandBus:
    """What carries out the commands of the process, on the fines of a store."""
    bus, fines = CommandBus(store), Repository(store, Fine)
    bus.route(
        AddPenalty,
        fines,
        id=lambda command: command.fine,
        run=lambda fine, command: fine.add_penalty(command.amount, at=_not_before(fine, command)),
    )
    bus.route(
        SendToCollection,
        fines,
        id=lambda command: command.fine,
        run=lambda fine, command: fine.send_to_collection(at=_not_before(fine, command)),
    )
    return bus


def _not_before(fine: Fine, command: AddPenalty | SendToCollection) -> datetime:
    """A timer that fires late finds what has happened meanwhile."""
    return max(command.at, fine.last_at or command.at)


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=PLACE)


def _round_after(moment: datetime) -> datetime | None:
    days = (day for _, day in ROUNDS if day > moment.date())
    return next(map(_start, days), None)
