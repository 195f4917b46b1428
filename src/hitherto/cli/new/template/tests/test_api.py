"""What clients are told, through the application and its store."""

from hitherto import Store
from httpx2 import AsyncClient

from shop.views import OpenOrders

ANN = {"id": "order-1", "customer": "Ann"}
TEA = {"product": "tea", "quantity": 2}


async def test_an_order_is_placed_filled_and_shipped(client: AsyncClient) -> None:
    placed = await client.post("/orders", json=ANN)
    assert (placed.status_code, placed.headers["Location"]) == (201, "/orders/order-1")
    filled = await client.post("/orders/order-1/items", json=TEA)
    assert filled.json()["items"] == {"tea": 2}
    await client.post("/orders/order-1/shipment")
    shown = await client.get("/orders/order-1")
    assert shown.json() == {**ANN, "items": {"tea": 2}, "shipped": True}


async def test_open_orders_are_listed(client: AsyncClient, hitherto_store: Store) -> None:
    await client.post("/orders", json=ANN)
    await hitherto_store.wait_for(OpenOrders)  # until it shows what this test has saved
    assert (await client.get("/orders")).json() == {"order-1": {"customer": "Ann", "pieces": 0}}


async def test_what_cannot_be_done_is_told(client: AsyncClient) -> None:
    assert (await client.get("/orders/order-1")).status_code == 404
    await client.post("/orders", json=ANN)
    again = await client.post("/orders", json=ANN)
    assert (again.status_code, again.json()["error"]) == (409, "AggregateVersionConflict")
    empty = await client.post("/orders/order-1/shipment")
    assert (empty.status_code, empty.json()["detail"]) == (422, "order order-1 has no items")


async def test_what_was_decided_on_an_old_version_is_refused(client: AsyncClient) -> None:
    seen = {"If-Match": (await client.post("/orders", json=ANN)).headers["ETag"]}
    first = await client.post("/orders/order-1/items", json=TEA, headers=seen)
    second = await client.post("/orders/order-1/items", json=TEA, headers=seen)
    assert (first.status_code, second.status_code) == (200, 412)
