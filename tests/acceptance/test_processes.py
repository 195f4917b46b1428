"""Processes on real stores: whatever ends at whichever moment, each cause has its effects once."""

import asyncio
import contextlib
import itertools
import os
import random
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.servers import new_schema
from tests.unit.application.reminding import Clock, World
from tests.unit.domain.reminder import AGAIN, NOON, PATIENCE

from hitherto import ProjectionWorker, Store, connect
from hitherto.testing import check_crashes, stored

pytestmark = pytest.mark.integration

LEASE = 0.05  # seconds
EVERY = {"memory": 1, "sqlite": 7, "postgres": 7}  # which crashes there are, for it takes time
Open = Callable[..., contextlib.AbstractAsyncContextManager[Store]]


@pytest.fixture(params=EVERY)
def open_new(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens a new, empty store at each call."""
    number = itertools.count()
    if request.param == "memory":
        return lambda **settings: connect("memory:", **settings)
    if request.param == "sqlite":
        return lambda **settings: connect(f"sqlite:///{tmp_path}/{next(number)}.db", **settings)
    url = request.getfixturevalue("postgres_url")
    return lambda **settings: connect(url, schema=new_schema(), max_connections=4, **settings)


async def tale(world: World) -> dict[str, Any]:
    """The events of each aggregate."""
    found: dict[str, list[Any]] = {}
    async for recorded in world.store.read_all():
        found.setdefault(recorded.aggregate_id, []).append(recorded.event)
    for aggregate, events in found.items():
        if aggregate.startswith("customer"):
            events.sort(key=lambda event: event.total)
    return found


async def test_it_may_be_killed_at_every_step(
    open_new: Open, request: pytest.FixtureRequest
) -> None:
    """At a call of the store, before it or after it took effect; another process goes on."""
    clock = Clock()

    async def place(store: Store) -> None:
        clock.now = NOON
        world = World(store, clock)
        for number in range(5):
            await world.place(f"order-{number}", f"{number % 2}", pay=number < 3)

    async def decide(store: Store) -> None:
        """All that there is to decide, on two days."""
        world = World(store, clock)
        await world.catch_up(batch=2, lease=LEASE)
        clock.now = NOON + PATIENCE + AGAIN
        await world.catch_up(batch=2, lease=LEASE)

    async def end(store: Store) -> dict[str, Any]:
        found = await stored(store)
        sizes.append(sum(map(len, found["events"].values())))
        return found

    sizes: list[int] = []

    every = EVERY[request.node.callspec.params["open_new"]]
    deaths = await check_crashes(
        decide, prepare=place, open_store=lambda: open_new(clock=clock), end=end, every=every
    )
    assert deaths > 15
    assert set(sizes) == {12 + 12 + 3}  # of orders, of processes, of customers


async def test_workers_may_share_it(open_new: Open) -> None:
    """Spread over several workers, which command the same aggregates, it is the same."""
    clock = Clock()
    async with open_new(clock=clock) as store:
        world = World(store, clock)
        for number in range(40):
            await world.place(f"order-{number}", f"{number % 3}", pay=number % 2 == 0)
        workers = [
            ProjectionWorker(store, world.new_reactions(), spread=True, batch=5) for _ in range(3)
        ]
        running = [asyncio.create_task(worker.run()) for worker in workers]
        await reach(world, "Reminder", 40 + 20)
        clock.now = NOON + PATIENCE + AGAIN
        await reach(world, "Reminder", 40 + 20 + 40)
        for worker in workers:
            worker.stop()
        await asyncio.gather(*running)
        check(await tale(world), 40, paid=range(0, 40, 2), customers=3)


@pytest.mark.parametrize("seed", range(2))
async def test_a_process_may_be_killed_for_real(
    postgres_url: str, postgres_schema: str, seed: int
) -> None:
    """SIGKILL, at any moment, while orders come in; the next one takes over."""
    randomly = random.Random(seed)
    clock = Clock()
    async with connect(postgres_url, schema=postgres_schema, clock=clock) as store:
        world = World(store, clock)
        for some in range(5):
            placing = asyncio.create_task(place_some(world, range(40 * some, 40 * some + 40)))
            before = await count(world, "Reminder")
            worker = await started(postgres_url, postgres_schema)
            await reach(world, "Reminder", before + 1)
            await asyncio.sleep(randomly.uniform(0.0, 0.1))
            worker.send_signal(signal.SIGKILL)
            await worker.wait()
            await placing
        assert await count(world, "Reminder") < 200 + 100 + 100 * 2
        worker = await started(postgres_url, postgres_schema)
        try:
            await reach(world, "Reminder", 200 + 100 + 100 * 2)
        finally:
            worker.send_signal(signal.SIGTERM)
            await worker.wait()
        check(await tale(world), 200, paid=range(0, 200, 2), customers=3)


async def place_some(world: World, numbers: range) -> None:
    for number in numbers:
        await world.place(f"order-{number}", f"{number % 3}", pay=number % 2 == 0)


async def count(world: World, aggregate_type: str) -> int:
    """How many events of a type are stored."""
    types = [aggregate_type]
    page = await world.store.backend.read_all(aggregate_types=types, limit=10_000)
    return len(page.events)


async def reach(world: World, aggregate_type: str, events: int) -> None:
    """Wait until so many events of a type are stored."""
    async with asyncio.timeout(60):
        while await count(world, aggregate_type) < events:
            await asyncio.sleep(0.01)


def check(told: dict[str, list[Any]], orders: int, *, paid: range, customers: int) -> None:
    """Each paid order has had one bonus, each other one two reminders."""
    bonus = [event.order for number in range(customers) for event in told[f"customer-{number}"]]
    assert sorted(bonus) == sorted(f"order-{number}" for number in paid)
    for number in range(customers):
        totals = [event.total for event in told[f"customer-{number}"]]
        assert totals == list(range(1, len(totals) + 1))
    for number in range(orders):
        names = [type(event).__name__ for event in told[f"order-{number}"]]
        expected = ["Placed", "Paid"] if number in paid else ["Placed", "Reminded", "Reminded"]
        assert names == expected, number


async def started(url: str, schema: str) -> asyncio.subprocess.Process:
    """A worker in a process of its own, whose clock is 40 days ahead."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.acceptance.test_processes", url, schema, env={**os.environ}
    )


async def work(url: str, schema: str) -> None:
    clock = Clock(NOON + timedelta(days=40))
    async with connect(url, schema=schema, clock=clock, max_connections=4) as store:
        await ProjectionWorker(store, World(store, clock).reactions, batch=7, lease=1.0).run()


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
