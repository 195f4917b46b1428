"""Orders: what can happen to one, and what may be done to it.

A new kind of event is a class, a member of `OrderEvent` and a case in `apply`.
"""

from typing import Self

from hitherto import Aggregate, Event, InvalidAggregateState, InvalidInput


class OrderPlaced(Event):
    customer: str


class ItemAdded(Event):
    product: str
    quantity: int


class OrderShipped(Event):
    pass


OrderEvent = OrderPlaced | ItemAdded | OrderShipped


class Order(Aggregate[OrderEvent]):
    customer: str = ""
    items: dict[str, int] = {}  # by product how many; each order has a dict of its own
    shipped: bool = False

    @classmethod
    def place(cls, order_id: str, customer: str) -> Self:
        if not customer.strip():
            raise InvalidInput("the customer is empty: give a name")
        order = cls(order_id)
        order.record(OrderPlaced(customer=customer.strip()))
        return order

    def add_item(self, product: str, quantity: int) -> None:
        self._check_open()
        if quantity < 1:
            raise InvalidInput(f"quantity={quantity}: give at least 1")
        self.record(ItemAdded(product=product, quantity=quantity))

    def ship(self) -> None:
        self._check_open()
        if not self.items:
            raise InvalidAggregateState(f"order {self.id} has no items")
        self.record(OrderShipped())

    def apply(self, event: OrderEvent) -> None:
        match event:
            case OrderPlaced(customer=customer):
                self.customer = customer
            case ItemAdded(product=product, quantity=quantity):
                self.items[product] = self.items.get(product, 0) + quantity
            case OrderShipped():
                self.shipped = True

    def _check_open(self) -> None:
        if self.shipped:
            raise InvalidAggregateState(f"order {self.id} is shipped")
