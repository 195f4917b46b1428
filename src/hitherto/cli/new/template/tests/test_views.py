"""What the views show, given events of one order or of several."""

from hitherto.testing import given

from shop.orders import ItemAdded, OrderPlaced, OrderShipped
from shop.views import OpenOrder, OpenOrders

PLACED = OrderPlaced(customer="Ann")
TEA = ItemAdded(product="tea", quantity=2)


def test_pieces_are_counted() -> None:
    given(OpenOrders(), PLACED, id="order-1").when(TEA, TEA).then_documents(
        {"order-1": OpenOrder("Ann", pieces=4)}
    )


def test_what_is_shipped_is_open_no_more() -> None:
    given(OpenOrders(), PLACED, TEA, ("order-2", PLACED), id="order-1").when(
        OrderShipped()
    ).then_documents({"order-2": OpenOrder("Ann")})
