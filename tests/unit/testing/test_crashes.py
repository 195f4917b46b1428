"""`check_crashes`: work that survives a crash anywhere passes, and other work is told apart."""

import asyncio
import itertools
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from tests.unit.application.reminding import Clock, World
from tests.unit.domain.reminder import NOON, PATIENCE, Order, Paid, Placed

from hitherto import InvalidInput, Repository, Store, connect
from hitherto.testing import check_crashes, stored

PLACED = Placed(customer="Ada")


async def place_once(store: Store) -> None:
    """Harmless when it is done again."""
    orders = Repository(store, Order)
    if not await orders.exists("o"):
        order = Order("o")
        order.record(PLACED)
        await orders.save(order)


async def pay(store: Store) -> None:
    """Not harmless: it pays each time."""
    await Repository(store, Order).update("o", lambda order: order.record(Paid(amount=5)))


async def test_what_may_be_done_again_survives() -> None:
    """It is broken off before and after each of its calls."""
    assert await check_crashes(place_once) == 4


async def test_what_is_done_twice_is_told() -> None:
    """With the call at which it was broken off, and the event that is there twice."""
    with pytest.raises(AssertionError) as caught:
        await check_crashes(pay, prepare=place_once)
    told = str(caught.value)
    assert told.startswith("a crash after call 2 of the store, append: it ends otherwise")
    assert "['events']['o'][2]: not expected, is ('Paid', {'amount': 5})" in told


async def test_what_is_lost_is_told() -> None:
    """Where the first half makes the second half be skipped."""

    async def halves(store: Store) -> None:
        if not await Repository(store, Order).exists("o"):
            await place_once(store)
            await pay(store)

    with pytest.raises(AssertionError, match=r"crash after call \d of the store, append") as caught:
        await check_crashes(halves)
    assert "['events']['o'][1]: expected ('Paid', {'amount': 5}), is not there" in str(caught.value)


async def test_what_cannot_be_done_again_is_told() -> None:
    """By the error."""

    async def place(store: Store) -> None:
        order = Order("o")
        order.record(PLACED)
        await Repository(store, Order).save(order)

    with pytest.raises(AssertionError, match="what was done again raised AggregateVersionConflict"):
        await check_crashes(place)


async def test_a_crash_is_caught_by_no_except_exception() -> None:
    """Nor do tasks go on that work has begun."""
    reached: list[str] = []

    async def careless(store: Store) -> None:
        await asyncio.gather(place_once(store))
        with suppress(Exception):
            await store.watermark()
        reached.append("the end")

    assert await check_crashes(careless) == 6
    assert reached == ["the end"] * (1 + 6)  # undisturbed, and what was done again


async def test_what_has_crashed_reaches_the_store_no_more() -> None:
    """Though it swallows the crash."""
    found: list[bool] = []

    async def stubborn(store: Store) -> None:
        orders = Repository(store, Order)
        found.append(await orders.exists("o"))
        with suppress(BaseException):
            await store.watermark()
        if not found[-1]:
            order = Order("o")
            order.record(PLACED)
            await orders.save(order)

    assert await check_crashes(stubborn) == 6
    assert found.count(True) == 1  # only where it crashed when the order was placed


async def test_the_ends_of_views_and_processes_are_compared() -> None:
    """Events, timers and documents; other things, too, if `end` tells them."""
    clock = Clock()

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Store]:
        clock.now = NOON
        async with connect("memory:", clock=clock) as store:
            yield store

    async def prepare(store: Store) -> None:
        await World(store, clock).place("o-1")

    async def work(store: Store) -> None:
        await World(store, clock).catch_up(lease=0.05)

    ends: list[object] = []

    async def end(store: Store) -> object:
        ends.append(await stored(store))
        return ends[-1]

    assert await check_crashes(work, prepare=prepare, open_store=opened, end=end, every=5) > 1
    timers = {("Reminder-o-1", "unpaid"): NOON + PATIENCE}
    for told in ends:
        assert isinstance(told, dict)
        assert told["Reminder"]["timers"] == timers
        assert [name for name, _ in told["events"]["Reminder-o-1"]] == ["Awaited"]


async def test_a_handler_that_is_not_in_the_transaction_is_told() -> None:
    """What it has sent is sent again: so it should hand on an idempotency key."""
    sent: list[str] = []

    async def begin(store: Store) -> None:
        sent.clear()
        await place_once(store)

    async def send(store: Store) -> None:
        page = await store.backend.read_all()
        sent.extend(each.event_type for each in page.events)
        await store.backend.watermark()

    async def end(store: Store) -> object:
        return list(sent)

    with pytest.raises(AssertionError, match=re.escape("[1]: not expected, is 'Placed'")):
        await check_crashes(send, prepare=begin, end=end)


async def test_work_without_a_call_or_a_crash_is_refused() -> None:
    """It would prove nothing."""

    async def nothing(store: Store) -> None:
        Repository(store, Order)

    with pytest.raises(InvalidInput, match="makes no call of the store"):
        await check_crashes(nothing)
    with pytest.raises(InvalidInput, match="every=0: give 1"):
        await check_crashes(nothing, every=0)


@pytest.mark.parametrize("grouped", [False, True])
async def test_tasks_that_work_side_by_side_are_broken_off_together(
    tmp_path: Path, grouped: bool
) -> None:
    """What the others have under way has ended when the work is done again."""
    files = (f"sqlite:///{tmp_path / str(number)}.db" for number in itertools.count())

    async def place(repository: Repository[Order], name: str) -> None:
        if not await repository.exists(name):
            order = Order(name)
            order.record(PLACED)
            await repository.save(order)

    async def work(store: Store) -> None:
        orders = Repository(store, Order)
        if grouped:
            async with asyncio.TaskGroup() as group:
                for name in "abcd":
                    group.create_task(place(orders, name))
        else:
            await asyncio.gather(*(place(orders, name) for name in "abcd"))

    assert await check_crashes(work, open_store=lambda: connect(next(files))) == 16
