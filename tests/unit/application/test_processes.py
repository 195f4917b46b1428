"""`Reactions`: each cause leads to its commands, own events and timers once, whatever happens."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.unit.application.reminding import Clock, World
from tests.unit.domain.reminder import (
    AGAIN,
    NOON,
    PATIENCE,
    Awaited,
    BonusGiven,
    Customer,
    GiveBonus,
    Order,
    Placed,
    Reminded,
    Reminder,
    Settled,
    Warned,
)

from hitherto import (
    AggregateNotFound,
    AggregateVersionConflict,
    EventStoreUnavailable,
    Metadata,
    ProjectionWorker,
    Repository,
    Store,
    connect,
)
from hitherto.application.alongside import Alongside, Timer
from hitherto.application.checkpoints import Generation
from hitherto.application.commands import CommandBus
from hitherto.application.processes import Reactions
from hitherto.application.projection import Batch
from hitherto.application.records import Append
from hitherto.testing.probe import Probe

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Night:
    """A command: do what is to be done each night."""


@asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[World]:
    clock = Clock()
    async with connect("memory:", clock=clock, **settings) as store:
        store.backend = Probe(store.backend)
        yield World(store, clock)


def probe_of(world: World) -> Probe:
    assert isinstance(world.store.backend, Probe)
    return world.store.backend


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with opened() as made:
        yield made


async def test_an_event_leads_to_own_events_and_commands(world: World) -> None:
    """What the process records is stored, and what it sends is carried out."""
    await world.place("order-1", pay=True)
    await world.catch_up()
    assert await world.told("Reminder-order-1") == [
        Awaited(order="order-1", customer="Ada"),
        Settled(amount=5),
    ]
    assert await world.told("customer-Ada") == [BonusGiven(order="order-1", total=1)]


async def test_everything_of_a_batch_is_one_transaction(world: World) -> None:
    """Own events, those of the commanded, timers and marks are appended together."""
    await world.place("order-1", pay=True)
    await world.place("order-2")
    probe_of(world).reset()
    await world.catch_up()
    assert probe_of(world).calls.count("append") == 1


async def test_an_event_is_not_given_twice(world: World) -> None:
    """Who handles it again, after a crash or as a frozen worker, finds its mark."""
    await world.place("order-1", pay=True)
    await world.catch_up()
    generation = Generation(name="Reminder", number=1, version=1, state="active", partitions=1)
    again = [recorded async for recorded in world.store.read_all(aggregate_types=["Order"])]
    again = [each for each in again if type(each.event) in Reminder.reacts_to]
    await world.new_reactions().handle(again, Batch(None, generation, False, [], ()))
    assert len(await world.told("Reminder-order-1")) == 2
    assert len(await world.told("customer-Ada")) == 1


async def test_several_commands_for_one_aggregate_are_carried_out_in_order(world: World) -> None:
    """Within a batch each finds what the one before it has decided."""
    for number in range(4):
        await world.place(f"order-{number}", pay=True)
    await world.catch_up()
    assert [each.total for each in await world.told("customer-Ada")] == [1, 2, 3, 4]


async def test_what_one_event_has_sent_is_not_sent_again_by_the_next(world: World) -> None:
    """Two payments are two bonuses, in one batch as well."""
    await world.place("order-1", pay=True)
    await world.pay("order-1")
    await world.catch_up()
    assert [each.total for each in await world.told("customer-Ada")] == [1, 2]


async def test_metadata_tell_the_cause(world: World) -> None:
    """Each event has the id of its own cause, the conversation's id, and the process's name."""
    order = Order("order-1")
    order.record(Placed(customer="Ada"))
    await world.orders.save(order, metadata=Metadata(correlation_id="request-7"))
    await world.pay("order-1")
    await world.catch_up()
    placed, paid = await world.store.read("order-1")
    awaited, settled = await world.store.read("Reminder-order-1")
    (bonus,) = await world.store.read("customer-Ada")
    assert awaited.metadata == Metadata(
        causation_id=str(placed.event_id), correlation_id="request-7", actor="Reminder"
    )
    own = Metadata(
        causation_id=str(paid.event_id), correlation_id=str(paid.event_id), actor="Reminder"
    )
    assert (settled.metadata, bonus.metadata) == (own, own)


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 500])
async def test_batches_do_not_matter(batch: int) -> None:
    """Wherever they end, what it leads to is the same."""
    async with opened() as world:
        for number in range(10):
            await world.place(f"order-{number}", f"{number % 3}", pay=number % 2 == 0)
        await world.pay("order-3")
        await world.catch_up(batch=batch)
        world.clock.now += 40 * DAY
        await world.catch_up(batch=batch)
        bonus = {f"{each}": len(await world.told(f"customer-{each}")) for each in range(3)}
        assert bonus == {"0": 3, "1": 1, "2": 2}
        for number in range(10):
            paid = number % 2 == 0 or number == 3
            order = await world.orders.load(f"order-{number}")
            assert order.reminders == (0 if paid else 2)
            process = await world.reminders.load(f"Reminder-order-{number}")
            assert process.version == (2 if paid else 3)


async def test_a_conflict_has_it_react_anew(world: World) -> None:
    """Where somebody else changes a commanded aggregate meanwhile, the command runs again."""
    await world.place("order-1", pay=True)
    customer = Customer("customer-Ada")
    customer.record(BonusGiven(order="gift", total=10))
    other = connect("memory:")
    async with other:
        rival = await _as_append(other, customer)
    probe_of(world).rivals.append(rival)
    await world.catch_up()
    assert [each.total for each in await world.told("customer-Ada")] == [10, 11]
    assert len(await world.told("Reminder-order-1")) == 2


async def test_a_conflict_that_does_not_end_is_told_of(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tries a bounded number of times; then the worker sees the failure."""
    monkeypatch.setattr("hitherto.application.processes._LONGEST_PAUSE", 0.001)
    await world.place("order-1", pay=True)
    tried = 0

    async def lost(appends: Sequence[Append], *, alongside: Alongside | None = None) -> Any:
        nonlocal tried
        tried += 1
        raise AggregateVersionConflict(appends[0].aggregate_id, 0, 1)

    monkeypatch.setattr(world.store.backend, "append", lost)
    events = [recorded async for recorded in world.store.read_all()]
    generation = Generation(name="Reminder", number=1, version=1, state="active", partitions=1)
    with pytest.raises(AggregateVersionConflict):
        await world.reactions.handle(events, Batch(None, generation, False, [], ()))
    assert tried == 10


async def test_an_outage_is_the_workers_to_wait_for(world: World) -> None:
    """It passes as it is, so that no event is set aside because of it."""
    await world.place("order-1", pay=True)
    events = [recorded async for recorded in world.store.read_all()]
    generation = Generation(name="Reminder", number=1, version=1, state="active", partitions=1)
    probe_of(world).broken.add("append")
    with pytest.raises(EventStoreUnavailable):
        await world.reactions.handle(events, Batch(None, generation, False, [], ()))


async def test_a_lost_answer_leads_to_nothing_twice(world: World) -> None:
    """The transaction took effect, but nobody heard: its marks tell."""
    await world.place("order-1", pay=True)
    probe_of(world).answers_to_lose = 1
    await world.catch_up()
    assert len(await world.told("customer-Ada")) == 1
    assert len(await world.told("Reminder-order-1")) == 2


async def test_a_command_for_nobody_parks_its_event(world: World) -> None:
    """Where no aggregate is there and none is to be begun, others go on."""
    bus = CommandBus(world.store)
    bus.route(GiveBonus, world.orders, id=lambda c: f"no-{c.order}", run=lambda *_: None)
    world.reactions = Reactions(world.store, Reminder, bus)
    await world.place("order-1", pay=True)
    await world.place("order-2")
    await world.catch_up(attempts=1)
    (parked,) = await world.store.backend.checkpoints.parked("Reminder")
    assert parked.error is not None
    assert parked.error.startswith(AggregateNotFound.__name__)
    assert await world.told("Reminder-order-1") == [Awaited(order="order-1", customer="Ada")]
    assert await world.told("Reminder-order-2") == [Awaited(order="order-2", customer="Ada")]


async def test_snapshots_are_taken(world: World) -> None:
    """Of the process's instances and of the commanded, as their repositories say."""
    world.customers = Repository(world.store, Customer, snapshot_every=1)
    world.reactions = world.new_reactions()
    await world.place("order-1", pay=True)
    await world.catch_up()
    snapshot = await world.store.backend.read_snapshot("customer-Ada")
    assert snapshot is not None
    assert snapshot.version == 1


async def test_a_timer_fires_when_it_is_due_and_not_before(world: World) -> None:
    """The clock is the store's; what it leads to is carried out."""
    await world.place("order-1")
    await world.catch_up()
    world.clock.now = NOON + PATIENCE - timedelta(microseconds=1)
    await world.catch_up()
    assert await world.told("order-1") == [Placed(customer="Ada")]
    world.clock.now = NOON + PATIENCE
    await world.catch_up()
    assert (await world.told("order-1"))[1:] == [Reminded(number=1)]
    assert (await world.told("Reminder-order-1"))[1:] == [Warned(due=NOON + PATIENCE)]


async def test_a_timer_is_set_again_by_its_own_firing(world: World) -> None:
    """A late clock has both fire, one after the other."""
    await world.place("order-1")
    await world.catch_up()
    world.clock.now = NOON + 100 * DAY
    await world.catch_up()
    assert (await world.told("Reminder-order-1"))[1:] == [
        Warned(due=NOON + PATIENCE),
        Warned(due=NOON + PATIENCE + AGAIN),
    ]
    assert await world.store.backend.due_timers("Reminder", until=world.clock.now, limit=9) == []


async def test_a_cancelled_timer_does_not_fire(world: World) -> None:
    """Payment in time takes it away."""
    await world.place("order-1")
    await world.catch_up()
    await world.pay("order-1")
    world.clock.now = NOON + 100 * DAY
    await world.catch_up()
    assert await world.told("Reminder-order-1") == [
        Awaited(order="order-1", customer="Ada"),
        Settled(amount=5),
    ]


async def test_what_is_stored_before_is_seen_before(world: World) -> None:
    """No timer fires while an event is stored that nobody has handled."""
    await world.place("order-1")
    await world.catch_up()
    await world.pay("order-1")
    world.clock.now = NOON + 100 * DAY
    assert 0 < await world.reactions.caught_up() < 1
    assert (await world.told("Reminder-order-1")) == [Awaited(order="order-1", customer="Ada")]


async def test_metadata_of_a_timer_go_on_with_the_conversation(world: World) -> None:
    """The timer is the cause; the correlation id is that of the instance's latest event."""
    order = Order("order-1")
    order.record(Placed(customer="Ada"))
    await world.orders.save(order, metadata=Metadata(correlation_id="request-7"))
    await world.catch_up()
    world.clock.now = NOON + PATIENCE
    await world.catch_up()
    reminded = (await world.store.read("order-1"))[-1]
    assert reminded.metadata == Metadata(
        causation_id="timer:Reminder-order-1:unpaid", correlation_id="request-7", actor="Reminder"
    )


async def test_a_timer_fires_once_though_two_workers_see_it(world: World) -> None:
    """One of them finds the other's mark."""
    for number in range(20):
        await world.place(f"order-{number}")
    await world.catch_up()
    world.clock.now = NOON + PATIENCE
    both = [world.reactions, world.new_reactions()]
    await asyncio.gather(*(each.caught_up() for each in both))
    for number in range(20):
        assert (await world.told(f"order-{number}"))[1:] == [Reminded(number=1)]


async def test_a_lost_answer_fires_no_timer_twice(world: World) -> None:
    """Its mark was written together with what it led to."""
    await world.place("order-1")
    await world.catch_up()
    world.clock.now = NOON + PATIENCE
    probe_of(world).answers_to_lose = 1
    with pytest.raises(EventStoreUnavailable):
        await world.reactions.caught_up()
    await world.catch_up()
    assert (await world.told("order-1"))[1:] == [Reminded(number=1)]


async def test_a_timer_that_fails_rests_while_others_fire(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays set, and is tried again later."""
    await world.place("order-1", "stubborn")
    await world.place("order-2")
    await world.catch_up()
    world.clock.now = NOON + PATIENCE
    await world.catch_up()
    assert (await world.told("order-2"))[1:] == [Reminded(number=1)]
    assert len(await world.told("Reminder-order-1")) == 1
    monkeypatch.setattr(Order, "remind", lambda order: order.record(Reminded(number=7)))
    await world.catch_up()
    assert len(await world.told("Reminder-order-1")) == 1
    world.clock.now += timedelta(seconds=5)
    await world.catch_up()
    assert (await world.told("order-1"))[1:] == [Reminded(number=7)]


async def test_a_timer_waits_for_what_was_set_aside(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been cancelled there; the timers of other instances fire."""

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(CommandBus, "target", broken)
    await world.place("order-1", pay=True)
    await world.catch_up(attempts=1)
    await world.place("order-2")
    await world.catch_up()
    monkeypatch.undo()
    world.clock.now = NOON + PATIENCE
    await world.catch_up()
    assert [type(each) for each in await world.told("Reminder-order-1")] == [Awaited]
    assert (await world.told("order-2"))[1:] == [Reminded(number=1)]
    await world.store.backend.checkpoints.retry_parked("Reminder", None, skip=False)
    world.clock.now += timedelta(seconds=5)
    await world.catch_up()
    assert [type(each) for each in await world.told("Reminder-order-1")] == [Awaited, Settled]


async def test_what_failed_and_is_no_longer_set_is_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else each look would be for more and more timers."""
    looks: list[int] = []
    due_timers = world.store.backend.due_timers

    async def looked(process: str, *, until: datetime, limit: int) -> Sequence[Timer]:
        looks.append(limit)
        return await due_timers(process, until=until, limit=limit)

    monkeypatch.setattr(world.store.backend, "due_timers", looked)
    await world.place("order-1", "stubborn")
    await world.catch_up()
    world.clock.now = NOON + PATIENCE
    await world.catch_up()
    assert looks[-1] > looks[0]
    await world.pay("order-1")
    await world.catch_up()
    await world.catch_up()
    assert looks[-1] == looks[0]


async def test_of_two_timers_that_are_due_the_first_may_cancel_the_second(world: World) -> None:
    """They fire one after the other, the earliest first."""
    timers = [
        Timer(process="Reminder", aggregate_id="Reminder-order-1", name=name, due=NOON + delay)
        for name, delay in (("later", DAY), ("first", timedelta()))
    ]
    await world.store.backend.append((), alongside=Alongside(timers=timers))
    fired: list[str] = []

    def on_timer(self: Reminder, name: str, due: datetime) -> None:
        fired.append(name)
        self.cancel("later")

    patch = pytest.MonkeyPatch()
    with patch.context() as patched:
        patched.setattr(Reminder, "on_timer", on_timer)
        world.clock.now = NOON + 2 * DAY
        await world.catch_up()
    assert fired == ["first"]


async def test_a_timer_that_is_set_anew_fires_anew(world: World) -> None:
    """Whatever the moment is that it is set to."""
    await world.place("order-1")
    await world.catch_up()
    world.clock.now = NOON + PATIENCE
    await world.catch_up()
    again = Timer(
        process="Reminder", aggregate_id="Reminder-order-1", name="unpaid", due=NOON + PATIENCE
    )
    await world.store.backend.append((), alongside=Alongside(timers=[again]))
    await world.catch_up()
    assert (await world.told("order-1"))[1:] == [Reminded(number=1), Reminded(number=2)]
    assert await world.store.backend.due_timers("Reminder", until=world.clock.now, limit=9) == []


async def test_a_process_that_runs_inside_a_command_keeps_its_own_marks(world: World) -> None:
    """And its timers; the command's id goes with the command."""
    await world.place("order-1")
    bus = CommandBus(world.store)

    async def nightly(_: Night) -> None:
        await world.catch_up()

    bus.register(Night, nightly)
    await bus.send(Night(), id="night-1")
    due = await world.store.backend.due_timers("Reminder", until=NOON + PATIENCE, limit=9)
    assert [each.name for each in due] == ["unpaid"]
    (placed,) = await world.store.read("order-1")
    mark = [str(placed.event_id)]
    assert list(await world.store.backend.handled("process:Reminder", mark)) == mark
    assert list(await world.store.backend.handled("commands", ["night-1"])) == ["night-1"]


async def test_many_timers_are_few_transactions(world: World) -> None:
    """Timers of several instances share one."""
    for number in range(50):
        await world.place(f"order-{number}")
    await world.catch_up()
    for due in (NOON + PATIENCE, NOON + PATIENCE + AGAIN):
        world.clock.now = due
        probe_of(world).reset()
        await world.catch_up()
        assert probe_of(world).calls.count("append") == 1


async def test_long_ids_make_short_marks(world: World) -> None:
    """A key has 255 characters at most, whatever ids and names are."""
    name = "order-" + "x" * 240
    await world.place(name)
    await world.catch_up()
    world.clock.now = NOON + PATIENCE
    await world.catch_up()
    assert (await world.told(name))[1:] == [Reminded(number=1)]


async def test_old_marks_are_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a day, for no worker is frozen for so long and goes on."""
    await world.place("order-1")
    await world.catch_up()
    (recorded,) = await world.store.read("order-1")
    key = str(recorded.event_id)
    assert await world.store.backend.handled("process:Reminder", [key]) == {key}
    monkeypatch.setattr(
        "hitherto.application.processes.utc_now", lambda: datetime.now(NOON.tzinfo) + 2 * DAY
    )
    await world.catch_up()
    assert not await world.store.backend.handled("process:Reminder", [key])


async def test_a_worker_runs_it(world: World) -> None:
    """Live: events and timers, until it is stopped."""
    worker = ProjectionWorker(world.store, world.reactions)
    running = asyncio.create_task(worker.run())
    await world.place("order-1")
    await _until(world, "Reminder-order-1", 1)
    world.clock.now = NOON + PATIENCE
    await _until(world, "order-1", 2)
    worker.stop()
    await running


async def _until(world: World, aggregate_id: str, events: int) -> None:
    async with asyncio.timeout(20):
        while len(await world.told(aggregate_id)) < events:
            await asyncio.sleep(0.01)


async def _as_append(store: Store, customer: Customer) -> Append:
    """What saving the aggregate sends."""
    Repository(store, Customer)
    from hitherto.application.saving import prepare

    (append,) = prepare(store, [customer], None)
    return append
