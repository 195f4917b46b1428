"""A relay: what it publishes, and what it does when the broker is out or refuses."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from tests.messages import World

from hitherto import (
    Aggregate,
    Event,
    InvalidInput,
    JsonCodec,
    ProjectionWorker,
    Repository,
    Store,
    connect,
    metadata_context,
)
from hitherto.application.records import Append, NewEvent
from hitherto.application.relay import Relay


class Placed(Event):
    article: str


class Paid(Event, type="paid", schema=2):
    amount: int
    currency: str = "EUR"


class Sent(Event):
    pass


OrderEvent = Placed | Paid | Sent


class Order(Aggregate[OrderEvent]):
    def apply(self, event: OrderEvent) -> None:
        pass


class Weight:
    def __init__(self, grams: int) -> None:
        self.grams = grams

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Weight) and other.grams == self.grams

    def __hash__(self) -> int:
        return self.grams


class Weighed(Event):
    weight: Weight


class Parcel(Aggregate[Weighed]):
    def apply(self, event: Weighed) -> None:
        pass


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with connect("memory:") as store:
        yield store


async def save(store: Store, aggregate_id: str, *events: OrderEvent) -> Order:
    order = Order(aggregate_id)
    for event in events:
        order.record(event)
    await Repository(store, Order).save(order)
    return order


@asynccontextmanager
async def at_work(worker: ProjectionWorker[Any]) -> AsyncGenerator[None]:
    """The worker goes on until the block is left."""
    running = asyncio.create_task(worker.run())
    try:
        yield
        worker.stop()
        await running
    finally:
        running.cancel()


async def parked(store: Store, name: str) -> list[tuple[str, int, int]]:
    """What was set aside: aggregate, version, attempts."""
    found = await store.backend.checkpoints.parked(name)
    return [(each.aggregate_id, each.version, each.attempts) for each in found]


async def test_each_event_is_published_once_in_order_with_its_envelope(store: Store) -> None:
    """The message id is the event's, by which repeats are known."""
    world = World()
    with metadata_context(correlation_id="c-1", actor="ann"):
        await save(store, "order-1", Placed(article="pen"), Paid(amount=7))
    await ProjectionWorker(store, Relay("orders", world, source="/shop")).catch_up()
    await ProjectionWorker(store, Relay("orders", world, source="/shop")).catch_up()
    stored = [each async for each in store.read_all()]
    assert [each.id for each in world.taken] == [str(each.event_id) for each in stored]
    second = world.taken[1]
    assert (second.event_type, second.data) == ("paid", '{"amount":7,"currency":"EUR"}')
    assert (second.aggregate_type, second.aggregate_id, second.version) == ("Order", "order-1", 2)
    assert (second.source, second.position) == ("/shop", stored[1].position)
    assert (second.metadata.correlation_id, second.metadata.actor) == ("c-1", "ann")
    assert second.occurred_at == stored[1].occurred_at


async def test_only_events_of_the_types_that_it_is_for_are_published(store: Store) -> None:
    """The world is told what it is meant to know."""
    world = World()
    await save(store, "order-1", Placed(article="pen"), Paid(amount=7), Sent())
    await ProjectionWorker(store, Relay("orders", world, types=Placed | Sent)).catch_up()
    assert [each.event_type for each in world.taken] == ["Placed", "Sent"]


async def test_an_old_event_is_told_with_the_schema_version_of_the_fields_that_it_has_now(
    store: Store,
) -> None:
    """What is published was written by the class of today, whatever was stored."""
    world = World()
    old = NewEvent(
        event_id=uuid4(),
        event_type="paid",
        schema_version=1,
        data='{"amount":7}',
        metadata=None,
        occurred_at=datetime(2020, 1, 1, tzinfo=UTC),
    )
    appended = Append(
        aggregate_id="order-1", aggregate_type="Order", expected_version=0, events=(old,)
    )
    await store.backend.append([appended])
    await ProjectionWorker(store, Relay("orders", world, types=Paid)).catch_up()
    (message,) = world.taken
    assert (message.schema_version, message.data) == (2, '{"amount":7,"currency":"EUR"}')


async def test_the_fields_are_written_by_the_codec_that_it_is_given() -> None:
    """A store with types of its own has a codec for them."""
    codec = JsonCodec(
        enc_hook=lambda weight: weight.grams, dec_hook=lambda _type, grams: Weight(grams)
    )
    world = World()
    async with connect("memory:", codec=codec) as store:
        parcel = Parcel("p-1")
        parcel.record(Weighed(weight=Weight(200)))
        await Repository(store, Parcel).save(parcel)
        await ProjectionWorker(store, Relay("parcels", world, codec=codec)).catch_up()
    assert [each.data for each in world.taken] == ['{"weight":200}']


async def test_while_the_broker_is_out_it_waits_and_then_goes_on(store: Store) -> None:
    """An outage is nobody's fault: it counts no attempt, and no event is set aside."""
    world = World()
    world.out = True
    await save(store, "order-1", Placed(article="pen"), Paid(amount=7))
    async with at_work(ProjectionWorker(store, Relay("orders", world), attempts=1)):
        await world.until(asked=4)
        assert await parked(store, "orders") == []
        world.out = False
        await world.until(taken=2)
    assert [each.version for each in world.taken] == [1, 2]
    assert await parked(store, "orders") == []


async def test_a_message_that_is_refused_is_parked_with_the_later_ones_of_its_aggregate(
    store: Store,
) -> None:
    """The others go on, and once it is taken it comes before those that waited behind it."""
    world = World()
    world.refused = {"order-2"}
    for number in (1, 2, 3):
        await save(store, f"order-{number}", Placed(article="pen"), Paid(amount=number))
    await ProjectionWorker(store, Relay("orders", world), attempts=2).catch_up()
    assert {each.aggregate_id for each in world.taken} == {"order-1", "order-3"}
    assert await parked(store, "orders") == [("order-2", 1, 2), ("order-2", 2, 0)]
    world.refused = set()
    await store.backend.checkpoints.retry_parked("orders", None, skip=False)
    await save(store, "order-4", Placed(article="ink"))
    await ProjectionWorker(store, Relay("orders", world)).catch_up()
    assert [each.version for each in world.taken if each.aggregate_id == "order-2"] == [1, 2]
    assert await parked(store, "orders") == []


async def test_a_rebuild_publishes_nothing(store: Store) -> None:
    """The world was told already."""
    world = World()
    await save(store, "order-1", Placed(article="pen"), Paid(amount=7))
    await ProjectionWorker(store, Relay("orders", world)).catch_up()
    await ProjectionWorker(store, Relay("orders", world), rebuild=True).catch_up()
    await save(store, "order-2", Placed(article="ink"))
    await ProjectionWorker(store, Relay("orders", world)).catch_up()
    assert [each.aggregate_id for each in world.taken] == ["order-1", "order-1", "order-2"]


async def test_a_reset_publishes_everything_again_under_the_same_ids(store: Store) -> None:
    """For a broker that has lost what it had."""
    world = World()
    await save(store, "order-1", Placed(article="pen"), Paid(amount=7))
    await ProjectionWorker(store, Relay("orders", world)).catch_up()
    await store.backend.checkpoints.reset("orders", setup=lambda *_: None)
    await ProjectionWorker(store, Relay("orders", world)).catch_up()
    ids = [each.id for each in world.taken]
    assert ids == ids[:2] * 2


async def test_the_source_is_the_name_where_none_is_given(store: Store) -> None:
    """As a URI reference, which has no spaces."""
    world = World()
    await save(store, "order-1", Placed(article="pen"))
    await ProjectionWorker(store, Relay("Café orders", world)).catch_up()
    assert [each.source for each in world.taken] == ["Caf%C3%A9%20orders"]


@pytest.mark.parametrize("source", ["", "my shop", "café", "a\nb"])
def test_a_source_that_is_no_uri_reference_is_refused(source: str) -> None:
    """Who receives it could not read the envelope."""
    with pytest.raises(InvalidInput, match="give a URI reference"):
        Relay("orders", World(), source=source)


@pytest.mark.parametrize(("name", "types"), [("", None), ("orders", int), ("orders", ["Paid"])])
def test_a_name_or_types_that_make_no_sense_are_refused(name: str, types: Any) -> None:
    """Before anything is published."""
    with pytest.raises(InvalidInput):
        Relay(name, World(), types=types)
