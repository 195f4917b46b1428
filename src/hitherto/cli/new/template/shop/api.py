"""Orders over HTTP. What `Order` refuses is told as a problem with a status: see `install`."""

from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Depends, Response
from hitherto import Repository
from hitherto.fastapi import CurrentStore, IfMatch, etag, repository
from pydantic import BaseModel, Field

from .orders import Order
from .views import OpenOrder, OpenOrders

router = APIRouter()
Orders = Annotated[Repository[Order], Depends(repository(Order))]


class NewOrder(BaseModel):
    """A client that gives an id may send the order again: it is placed once, and then a 409."""

    id: str = Field(default_factory=lambda: f"order-{uuid4()}")
    customer: str


class Item(BaseModel):
    product: str
    quantity: int = 1


class OrderState(BaseModel):
    id: str
    customer: str
    items: dict[str, int]
    shipped: bool


@router.post("/orders", status_code=201)
async def place_order(new: NewOrder, orders: Orders, response: Response) -> OrderState:
    order = Order.place(new.id, new.customer)
    await orders.save(order)
    response.headers["Location"] = f"/orders/{order.id}"
    return state_of(order, response)


@router.post("/orders/{order_id}/items")
async def add_item(
    order_id: str, item: Item, orders: Orders, if_match: IfMatch, response: Response
) -> OrderState:
    # `update` loads, decides and saves; where somebody else was faster, it does so again. With
    # If-Match the client says what it has seen: if that has changed, or is sent twice, it is a 412.
    def decide(order: Order) -> Order:
        if_match.check(order)
        order.add_item(item.product, item.quantity)
        return order

    return state_of(await orders.update(order_id, decide), response)


@router.post("/orders/{order_id}/shipment")
async def ship_order(
    order_id: str, orders: Orders, if_match: IfMatch, response: Response
) -> OrderState:
    def decide(order: Order) -> Order:
        if_match.check(order)
        order.ship()
        return order

    return state_of(await orders.update(order_id, decide), response)


@router.get("/orders/{order_id}")
async def show_order(order_id: str, orders: Orders, response: Response) -> OrderState:
    return state_of(await orders.load(order_id), response)


@router.get("/orders")
async def list_open_orders(store: CurrentStore) -> dict[str, OpenOrder]:
    """A view is a moment behind what was saved."""
    return await store.documents(OpenOrders).find(order_by="customer", limit=100)


def state_of(order: Order, response: Response) -> OrderState:
    response.headers["ETag"] = etag(order)
    return OrderState(
        id=order.id, customer=order.customer, items=order.items, shipped=order.shipped
    )
