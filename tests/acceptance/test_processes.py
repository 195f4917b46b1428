"""Processes on real stores: whatever ends at whichever moment, each cause has its effects once."""

import asyncio
import contextlib
import inspect
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

pytestmark = pytest.mark.integration

LEASE = 0.15  # seconds
STEPS = {"memory": 1, "sqlite": 3, "postgres": 3}  # which calls are the last, for it takes time
MOMENTS = ("before it", "after it")
Open = Callable[..., contextlib.AbstractAsyncContextManager[Store]]


@pytest.fixture(params=STEPS)
def open_new(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens a new, empty store at each call."""
    number = itertools.count()
    if request.param == "memory":
        return lambda **settings: connect("memory:", **settings)
    if request.param == "sqlite":
        return lambda **settings: connect(f"sqlite:///{tmp_path}/{next(number)}.db", **settings)
    url = request.getfixturevalue("postgres_url")
    return lambda **settings: connect(url, schema=new_schema(), max_connections=4, **settings)


class Killed(BaseException):
    """The process has ended."""


class Fate:
    """Counts calls of the backend, and ends everything at one of them.

    Attributes:
        seen: How many calls there were.
        dead: Whether it has; from then on no call reaches the backend.
    """

    def __init__(self, number: int = 0, moment: str = "") -> None:
        self.seen = 0
        self.dead = False
        self._number = number
        self._moment = moment

    def meets(self, moment: str) -> None:
        if self.dead or (self.seen == self._number and moment == self._moment):
            self.dead = True
            raise Killed


class Mortal:
    """A backend, or its checkpoints, whose every call may be the last."""

    def __init__(self, part: Any, fate: Fate) -> None:
        self._part = part
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name == "checkpoints":
            return Mortal(found, self._fate)
        return self._guarded(found) if inspect.ismethod(found) else found

    def _guarded(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            result = method(*args, **options)
            return self._run(result) if inspect.isawaitable(result) else result

        return call

    async def _run(self, result: Any) -> Any:
        self._fate.seen += 1
        try:
            self._fate.meets("before it")
        except Killed:
            if inspect.iscoroutine(result):
                result.close()
            raise
        answer = await result
        self._fate.meets("after it")
        return answer


async def live(open_new: Open, fate: Fate) -> dict[str, Any]:
    """A process that fate may end, and its heir; what the store tells at the end."""
    clock = Clock()
    async with open_new(clock=clock) as store:
        world = World(store, clock)
        for number in range(5):
            await world.place(f"order-{number}", f"{number % 2}", pay=number < 3)
        alive, store.backend = store.backend, Mortal(store.backend, fate)
        with contextlib.suppress(Killed):
            await decide(World(store, clock))
        store.backend = alive
        await decide(World(store, clock))
        return await tale(world)


async def decide(world: World) -> None:
    """All that there is to decide, on two days."""
    await world.catch_up(batch=2, lease=LEASE)
    world.clock.now = until = NOON + PATIENCE + AGAIN
    while True:  # A worker that stands by, for a dead one's lease, leaves the timers to that one.
        await world.catch_up(batch=2, lease=LEASE)
        if not await world.store.backend.due_timers("Reminder", until=until, limit=1):
            return


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
    step = STEPS[request.node.callspec.params["open_new"]]
    undisturbed = Fate()
    expected = await live(open_new, undisturbed)
    assert sum(map(len, expected.values())) == 12 + 12 + 3  # of orders, of processes, of customers
    numbers = range(1, undisturbed.seen + 1, step)
    deaths = 0
    for number, moment in zip(numbers, itertools.cycle(MOMENTS), strict=False):
        fate = Fate(number, moment)
        assert await live(open_new, fate) == expected, f"killed {moment}, {number}"
        deaths += fate.dead
    assert deaths > len(numbers) * 0.8


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
