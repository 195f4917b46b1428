"""`Fine`, as other versions of the code have it."""

import json
from datetime import datetime
from decimal import Decimal

from hitherto import Aggregate
from hitherto.examples.traffic_fines import Fine, FineEvent, PaymentReceived, sample_lines
from hitherto.examples.traffic_fines import events as happened

MUCH = 100


class OffByACent(Fine, type="Fine"):
    """Payments above some amount are counted with a cent too much."""

    def apply(self, event: FineEvent) -> None:
        super().apply(event)
        if isinstance(event, PaymentReceived) and event.amount > MUCH:
            self.paid += Decimal("0.01")


class Rewritten(Aggregate[FineEvent], type="Fine"):
    """The same states, come to in another way, of other types and in another order."""

    last_at: datetime | None = None
    created_at: datetime | None = None
    dismissed: bool = False
    paid: Decimal = Decimal(0)
    expense: Decimal = Decimal(0)
    amount: Decimal = Decimal(0)
    steps: tuple[str, ...] = ()

    def apply(self, event: FineEvent) -> None:
        self.steps = tuple(sorted({*self.steps, event.__event_type__}))
        self.last_at = event.at
        if isinstance(event, happened.FineCreated | happened.PenaltyAdded):
            self.amount = event.amount
        if isinstance(event, happened.FineCreated):
            self.created_at = event.at
        elif isinstance(event, happened.FineSent):
            self.expense = event.expense
        elif isinstance(event, happened.PaymentReceived):
            self.paid = self.paid + event.amount
        elif isinstance(event, happened.PrefectureAppealSent):
            self.dismissed = self.dismissed or event.dismissal == "#"
        elif isinstance(event, happened.JudgeAppealed):
            self.dismissed = self.dismissed or event.dismissal == "G"


class Failing(Fine, type="Fine"):
    """It cannot take a payment above some amount."""

    def apply(self, event: FineEvent) -> None:
        if isinstance(event, PaymentReceived) and event.amount > MUCH:
            raise ZeroDivisionError("too much")
        super().apply(event)


class FailingToo(Fine, type="Fine"):
    """It cannot either, and says so otherwise."""

    def apply(self, event: FineEvent) -> None:
        if isinstance(event, PaymentReceived) and event.amount > MUCH:
            raise KeyError("much")
        super().apply(event)


class Annotated(Fine, type="Fine"):
    """It has one field more."""

    payments: int = 0

    def apply(self, event: FineEvent) -> None:
        super().apply(event)
        self.payments += isinstance(event, PaymentReceived)


def touched() -> dict[str, int]:
    """The fines with a payment above the amount, and which event it is; from the file alone."""
    found: dict[str, int] = {}
    for line in sample_lines():
        told = json.loads(line, parse_float=Decimal)
        for version, event in enumerate(told["events"], 1):
            if event.get("paymentAmount", 0) > MUCH:
                found.setdefault(told["fine"], version)
    return found
