"""`ManualClock`: a clock that a test turns, and what goes by it."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.domain.reminder import PATIENCE, Order, Placed, Remind, Reminded, Reminder

from hitherto import (
    CommandBus,
    InvalidInput,
    ProjectionWorker,
    Reactions,
    Repository,
    connect,
    sync,
)
from hitherto.testing import ManualClock

MOON = datetime(1969, 7, 20, tzinfo=UTC)


def placed_order() -> Order:
    order = Order("o")
    order.record(Placed(customer="Ada"))
    return order


def test_it_stands_still_until_it_is_turned() -> None:
    """By some time, or to a moment, which may be earlier."""
    clock = ManualClock()
    assert clock() == clock() == clock.now == datetime(2024, 1, 1, tzinfo=UTC)
    assert clock.advance(timedelta(hours=1)) == clock() == datetime(2024, 1, 1, 1, tzinfo=UTC)
    assert clock.travel(MOON) == clock() == MOON
    assert ManualClock(MOON)() == MOON


def test_what_is_no_time_is_refused() -> None:
    """A moment has a zone, and time does not go back by itself."""
    clock = ManualClock(MOON)
    with pytest.raises(InvalidInput, match="has no time zone"):
        clock.travel(datetime(2024, 1, 1))
    with pytest.raises(InvalidInput, match="has no time zone"):
        ManualClock(datetime(2024, 1, 1))
    with pytest.raises(InvalidInput, match="use travel"):
        clock.advance(timedelta(seconds=-1))
    assert clock.now == MOON


async def test_events_and_timers_go_by_it() -> None:
    """A test waits for no timer."""
    clock = ManualClock()
    async with connect("memory:", clock=clock) as store:
        orders, bus = Repository(store, Order), CommandBus(store)
        bus.route(Remind, orders, id=lambda each: each.order, run=lambda order, _: order.remind())
        worker = ProjectionWorker(store, Reactions(store, Reminder, bus))
        await orders.save(placed_order())
        for days, reminders in ((13, 0), (1, 1)):
            clock.advance(timedelta(days=days))
            await worker.catch_up()
            assert (await orders.load("o")).reminders == reminders
        placed, reminded = await orders.history("o")
        assert reminded.event == Reminded(number=1)
        assert reminded.occurred_at == placed.occurred_at + PATIENCE == clock.now


def test_the_sync_face_takes_it_too() -> None:
    """As the async one does."""
    with sync.connect("memory:", clock=ManualClock(MOON)) as store:
        orders = sync.Repository(store, Order)
        orders.save(placed_order())
        assert orders.history("o")[0].occurred_at == MOON
