"""`Fine`: what may be decided about a fine, and what it comes to."""

from datetime import datetime
from decimal import Decimal

from hitherto import Aggregate, InvalidAggregateState, InvalidInput
from hitherto.examples.traffic_fines.events import (
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

NOTHING = Decimal(0)
_CENT = Decimal("0.01")
_TOO_MUCH = Decimal(10) ** 9


class Fine(Aggregate[FineEvent]):
    """A fine, from the officer's hand to payment, dismissal or collection.

    It refuses what makes no sense: anything before its creation, any step but a payment twice,
    time that goes back, notice of what was never sent, a penalty that nobody was told of or that
    lowers the amount, collection without a penalty or after a dismissal, amounts that are
    negative or split a cent. It accepts what does happen: payments in part, too high, of nothing,
    or after collection; appeals whose steps are entered in any order.

    Attributes:
        steps: The names of the events that have happened.
        amount: What the offence costs now: the first amount, or the penalty in its place.
        expense: The postage.
        paid: The sum of the payments.
        dismissed: Whether the prefecture or a judge has dropped it.
        created_at: When it was written.
        last_at: When its latest event happened.
    """

    steps: frozenset[str] = frozenset()
    amount: Decimal = NOTHING
    expense: Decimal = NOTHING
    paid: Decimal = NOTHING
    dismissed: bool = False
    created_at: datetime | None = None
    last_at: datetime | None = None

    @property
    def owed(self) -> Decimal:
        """What there is to pay in all."""
        return NOTHING if self.dismissed else self.amount + self.expense

    @property
    def outstanding(self) -> Decimal:
        """What is still to be paid."""
        return max(self.owed - self.paid, NOTHING)

    @property
    def overpaid(self) -> Decimal:
        """What was paid too much."""
        return max(self.paid - self.owed, NOTHING)

    def has(self, step: type[FineEvent]) -> bool:
        """Whether an event of this class has happened to the fine."""
        return step.__name__ in self.steps

    def create(
        self,
        amount: Decimal,
        *,
        at: datetime,
        article: int,
        vehicle_class: str,
        resource: str,
        points: int = 0,
        dismissal: str = "NIL",
        total_paid: Decimal = NOTHING,
    ) -> None:
        """An officer writes the fine."""
        if points < 0:
            raise InvalidInput(f"{points} points: a licence cannot gain by a fine")
        self._happens(
            FineCreated(
                at=at,
                amount=_money("the amount", amount),
                resource=resource,
                dismissal=dismissal,
                vehicle_class=vehicle_class,
                total_paid=_money("the total paid", total_paid),
                article=article,
                points=points,
            )
        )

    def send(self, expense: Decimal, *, at: datetime) -> None:
        """Post it to the offender; the postage is added to what is owed."""
        self._happens(FineSent(at=at, expense=_money("the expense", expense)))

    def notify(self, notification_type: str, *, at: datetime, last_sent: str | None = None) -> None:
        """The offender has received it."""
        self._needs(FineSent, "notified")
        self._happens(FineNotified(at=at, notification_type=notification_type, last_sent=last_sent))

    def add_penalty(self, amount: Decimal, *, at: datetime) -> None:
        """It was not paid in time: from now on `amount` is to be paid in place of the first."""
        self._needs(FineNotified, "penalised")
        if _money("the penalty", amount) < self.amount:
            raise InvalidAggregateState(
                f"fine {self.id} is over {self.amount} euros: a penalty cannot lower it to {amount}"
            )
        self._happens(PenaltyAdded(at=at, amount=amount))

    def pay(self, amount: Decimal, *, at: datetime, total_paid: Decimal | None = None) -> None:
        """Some money came in: too little, too much or late, it is recorded.

        Args:
            amount: How much.
            at: When.
            total_paid: The sum so far in the force's books; the sum of the payments if left out.
        """
        paid = self.paid + _money("the payment", amount)
        total = paid if total_paid is None else _money("the total paid", total_paid)
        self._happens(PaymentReceived(at=at, amount=amount, total_paid=total))

    def enter_prefecture_appeal(self, *, at: datetime) -> None:
        """Enter the date of the offender's appeal to the prefecture."""
        self._happens(PrefectureAppealEntered(at=at))

    def send_prefecture_appeal(self, dismissal: str = "NIL", *, at: datetime) -> None:
        """Pass the appeal to the prefecture; "#" if that has dismissed the fine."""
        self._happens(PrefectureAppealSent(at=at, dismissal=dismissal))

    def receive_prefecture_result(self, *, at: datetime) -> None:
        """The prefecture's answer has arrived."""
        self._happens(PrefectureResultReceived(at=at))

    def notify_prefecture_result(self, *, at: datetime) -> None:
        """Tell the offender the prefecture's answer."""
        self._happens(PrefectureResultNotified(at=at))

    def appeal_to_judge(
        self, *, at: datetime, resource: str, dismissal: str = "NIL", registration: int = 0
    ) -> None:
        """The offender appeals to a judge; "G" if that has dismissed the fine."""
        self._happens(
            JudgeAppealed(at=at, resource=resource, dismissal=dismissal, registration=registration)
        )

    def send_to_collection(self, *, at: datetime) -> None:
        """Hand it over for credit collection."""
        self._needs(PenaltyAdded, "sent to collection")
        if self.dismissed:
            raise InvalidAggregateState(f"fine {self.id} was dismissed: nothing is to be collected")
        self._happens(SentToCollection(at=at))

    def apply(self, event: FineEvent) -> None:
        """Fold one event into the state."""
        self.steps |= {type(event).__name__}
        self.last_at = event.at
        match event:
            case FineCreated(amount=amount, at=at):
                self.amount, self.created_at = amount, at
            case FineSent(expense=expense):
                self.expense = expense
            case PenaltyAdded(amount=amount):
                self.amount = amount
            case PaymentReceived(amount=amount):
                self.paid += amount
            case PrefectureAppealSent(dismissal="#") | JudgeAppealed(dismissal="G"):
                self.dismissed = True
            case _:
                pass

    def _happens(self, event: FineEvent) -> None:
        """Record `event` if it may happen at all now."""
        if event.at.utcoffset() is None:
            raise InvalidInput(f"{event.at} has no time zone: give one")
        if self.last_at is None and not isinstance(event, FineCreated):
            raise InvalidAggregateState(f"fine {self.id} was not created")
        if self.has(type(event)) and not isinstance(event, PaymentReceived):
            raise InvalidAggregateState(f"fine {self.id} has its {type(event).__name__} already")
        if self.last_at is not None and event.at < self.last_at:
            raise InvalidAggregateState(
                f"fine {self.id} has an event of {self.last_at}: {event.at} is before it"
            )
        self.record(event, occurred_at=event.at)

    def _needs(self, step: type[FineEvent], to_be: str) -> None:
        if not self.has(step):
            raise InvalidAggregateState(
                f"fine {self.id} cannot be {to_be}: it has no {step.__name__}"
            )


def _money(what: str, euros: Decimal) -> Decimal:
    if not euros.is_finite() or not 0 <= euros < _TOO_MUCH or euros % _CENT:
        raise InvalidInput(f"{what} is {euros} euros: give whole cents, not below 0 nor a billion")
    return euros
