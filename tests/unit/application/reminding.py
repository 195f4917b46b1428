"""A store with orders, customers, and the process that reminds of payment."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.unit.domain.reminder import (
    NOON,
    BonusGiven,
    Customer,
    GiveBonus,
    Order,
    Paid,
    Placed,
    Remind,
    Reminder,
)

from hitherto import ProjectionWorker, Repository, Store
from hitherto.application.commands import CommandBus
from hitherto.application.processes import Reactions


@dataclass
class Clock:
    """Tells the time to which it was turned last."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@dataclass
class World:
    """A store with orders, customers and their process."""

    store: Store
    clock: Clock
    orders: Repository[Order] = field(init=False)
    customers: Repository[Customer] = field(init=False)
    reminders: Repository[Reminder] = field(init=False)
    reactions: Reactions[Reminder] = field(init=False)

    def __post_init__(self) -> None:
        self.orders = Repository(self.store, Order)
        self.customers = Repository(self.store, Customer)
        self.reminders = Repository(self.store, Reminder)
        self.reactions = self.new_reactions()

    def new_reactions(self) -> Reactions[Reminder]:
        """As another process would have them."""
        return Reactions(self.store, Reminder, self.bus())

    def bus(self) -> CommandBus:
        bus = CommandBus(self.store)
        bus.route(Remind, self.orders, id=lambda c: c.order, run=lambda order, _: order.remind())
        bus.route(
            GiveBonus,
            self.customers,
            id=lambda command: f"customer-{command.customer}",
            run=lambda customer, command: customer.record(
                BonusGiven(order=command.order, total=customer.bonus + 1)
            ),
            create=True,
        )
        return bus

    async def place(self, order_id: str, customer: str = "Ada", *, pay: bool = False) -> None:
        order = Order(order_id)
        order.record(Placed(customer=customer), occurred_at=self.clock.now)
        if pay:
            order.record(Paid(amount=5))
        await self.orders.save(order)

    async def pay(self, order_id: str) -> None:
        await self.orders.update(order_id, lambda order: order.record(Paid(amount=5)))

    async def catch_up(self, **settings: Any) -> None:
        """React to all that is stored, and to the timers that are due."""
        await ProjectionWorker(self.store, self.reactions, **settings).catch_up()

    async def told(self, aggregate_id: str) -> list[Any]:
        return [recorded.event for recorded in await self.store.read(aggregate_id)]
