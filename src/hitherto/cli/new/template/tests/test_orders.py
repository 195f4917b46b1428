"""What may be done to an order: given what has happened, when something is asked for, then …"""

import pytest
from hitherto import InvalidAggregateState, InvalidInput
from hitherto.testing import given

from shop.orders import ItemAdded, Order, OrderPlaced, OrderShipped

PLACED = OrderPlaced(customer="Ann")
TEA = ItemAdded(product="tea", quantity=2)


def test_an_order_is_placed() -> None:
    order = Order.place("order-1", " Ann ")
    assert order.pending == (PLACED,)


def test_an_order_needs_a_customer() -> None:
    with pytest.raises(InvalidInput, match="customer is empty"):
        Order.place("order-1", " ")


def test_items_add_up() -> None:
    given(Order, PLACED, TEA).when(lambda order: order.add_item("tea", 2)).then(TEA).then_state(
        items={"tea": 4}
    )


def test_a_quantity_is_at_least_one() -> None:
    given(Order, PLACED).when(lambda order: order.add_item("tea", 0)).then_raises(InvalidInput)


def test_an_order_is_shipped() -> None:
    given(Order, PLACED, TEA).when(Order.ship).then(OrderShipped())


def test_an_empty_order_is_not_shipped() -> None:
    given(Order, PLACED).when(Order.ship).then_raises(InvalidAggregateState, match="no items")


def test_what_is_shipped_stays_as_it_is() -> None:
    shipped = given(Order, PLACED, TEA, OrderShipped())
    shipped.when(lambda order: order.add_item("tea", 1)).then_raises(InvalidAggregateState)
    shipped.when(Order.ship).then_raises(InvalidAggregateState, match="is shipped")
