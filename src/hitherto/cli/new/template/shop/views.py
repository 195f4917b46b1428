"""The orders that are still to be shipped: a view, which a worker keeps up to date.

After a change to it raise `version` in the class statement: it is then filled anew, from the first
event on, beside the one that is read.
"""

from dataclasses import dataclass, replace

from hitherto import Documents, RecordedEvent

from .orders import ItemAdded, OrderEvent, OrderPlaced, OrderShipped


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """What is kept of an order, by its id."""

    customer: str
    pieces: int = 0


class OpenOrders(Documents[OpenOrder, OrderEvent], version=1):
    def evolve(
        self, document: OpenOrder | None, recorded: RecordedEvent[OrderEvent]
    ) -> OpenOrder | None:
        before = document or OpenOrder(customer="")
        match recorded.event:
            case OrderPlaced(customer=customer):
                return OpenOrder(customer)
            case ItemAdded(quantity=quantity):
                return replace(before, pieces=before.pieces + quantity)
            case OrderShipped():
                return None
