"""What the tests of processes share: orders, customers, and a process that reminds of payment."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec

from hitherto import Aggregate, Event, InvalidAggregateState, Metadata, RecordedEvent
from hitherto.domain.handlers import on
from hitherto.domain.process import Process

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
PATIENCE, AGAIN = timedelta(days=14), timedelta(days=7)


class Placed(Event):
    customer: str


class Paid(Event):
    amount: int


class Reminded(Event):
    number: int


class Order(Aggregate[Placed | Paid | Reminded]):
    customer: str = ""
    reminders: int = 0

    def remind(self) -> None:
        if self.customer == "stubborn":
            raise InvalidAggregateState(f"order {self.id} takes no reminder")
        self.record(Reminded(number=self.reminders + 1))

    def apply(self, event: Placed | Paid | Reminded) -> None:
        match event:
            case Placed(customer=customer):
                self.customer = customer
            case Reminded(number=number):
                self.reminders = number
            case Paid():
                pass


class BonusGiven(Event):
    order: str
    total: int


class Customer(Aggregate[BonusGiven]):
    bonus: int = 0

    def apply(self, event: BonusGiven) -> None:
        self.bonus = event.total


class Remind(msgspec.Struct, frozen=True):
    order: str


class GiveBonus(msgspec.Struct, frozen=True):
    customer: str
    order: str


class Awaited(Event):
    order: str
    customer: str


class Settled(Event):
    amount: int


class Warned(Event):
    due: datetime


class Reminder(Process[Awaited | Settled | Warned]):
    """Reminds of an order that is not paid, twice; gives a bonus for one that is."""

    order: str = ""
    customer: str = ""
    warnings: int = 0

    @on
    def placed(self, event: Placed, recorded: RecordedEvent[Any]) -> None:
        self.record(Awaited(order=recorded.aggregate_id, customer=event.customer))
        self.wake("unpaid", at=recorded.occurred_at + PATIENCE)

    @on
    def paid(self, event: Paid, _: RecordedEvent[Any]) -> None:
        self.record(Settled(amount=event.amount))
        self.cancel("unpaid")
        self.send(GiveBonus(customer=self.customer, order=self.order))

    def on_timer(self, name: str, due: datetime) -> None:
        assert name == "unpaid"
        self.record(Warned(due=due))
        self.send(Remind(order=self.order))
        if self.warnings < 2:
            self.wake("unpaid", at=due + AGAIN)

    def apply(self, event: Awaited | Settled | Warned) -> None:
        match event:
            case Awaited(order=order, customer=customer):
                self.order, self.customer = order, customer
            case Warned():
                self.warnings += 1
            case Settled():
                pass


def recorded(
    event: Event, aggregate_id: str = "order-1", *, at: datetime = NOON
) -> RecordedEvent[Any]:
    """The event as a process is given it."""
    return RecordedEvent(
        event=event,
        event_id=uuid4(),
        event_type=event.__event_type__,
        schema_version=1,
        aggregate_id=aggregate_id,
        aggregate_type="Order",
        version=1,
        position=1,
        occurred_at=at,
        stored_at=at,
        metadata=Metadata(),
    )
