"""In memory, handlers may be awaited in the midst of a step; the rest is in the contract."""

import asyncio
from typing import Any

import pytest

from hitherto.application.alongside import Alongside
from hitherto.errors import AggregateLocked, HandlerFailed, LeaseLost, PublisherUnavailable
from hitherto.infrastructure.memory import MemoryStore
from hitherto.testing.checkpoint_contract.making import (
    NAME,
    advance,
    attend,
    document,
    hold,
    prepare,
    rebuilt,
    some_events,
    step,
    stored,
)
from hitherto.testing.store_contract.making import append_to, whole_log


class Paused:
    """Async code that goes on when it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.calls: list[Any] = []
        self.error = error

    async def __call__(self, *arguments: Any) -> None:
        self.calls.append(arguments)
        self.begun.set()
        await self.go_on.wait()
        if self.error is not None:
            raise self.error


async def test_of_many_that_prepare_with_an_async_setup_one_does() -> None:
    """The others wait for it."""
    store, setup = MemoryStore(), Paused()
    tasks = [asyncio.create_task(prepare(store, setup=setup)) for _ in range(5)]
    await setup.begun.wait()
    setup.go_on.set()
    made = await asyncio.gather(*tasks)
    assert len(set(map(repr, made))) == len(setup.calls) == 1


async def test_a_lease_that_is_lost_while_work_is_awaited_writes_nothing() -> None:
    """It is looked at last."""
    store, work = MemoryStore(), Paused()
    positions = await some_events(store)
    made = await prepare(store)
    held = await hold(store, made)
    progress = step(made, held, positions[0], documents=[document("a", "{}")])
    advancing = asyncio.create_task(store.checkpoints.advance(progress, work))
    await work.begun.wait()
    await store.checkpoints.release(made, "one", held, leave=True)
    await hold(store, made, "two")
    work.go_on.set()
    with pytest.raises(LeaseLost):
        await advancing
    assert (await store.checkpoints.position(NAME), await stored(store)) == (0, {})


async def test_async_work_that_fails_writes_nothing() -> None:
    """As any other."""
    store, work = MemoryStore(), Paused(ZeroDivisionError())
    positions = await some_events(store)
    made = await prepare(store)
    work.go_on.set()
    with pytest.raises(HandlerFailed, match="ZeroDivisionError"):
        await store.checkpoints.advance(step(made, await hold(store, made), positions[0]), work)
    assert await store.checkpoints.position(NAME) == 0


@pytest.mark.parametrize("error", [AggregateLocked("held"), PublisherUnavailable("away")])
async def test_what_is_locked_or_out_is_not_the_works_fault(error: Exception) -> None:
    """A worker waits for it."""
    store, work = MemoryStore(), Paused(error)
    positions = await some_events(store)
    made = await prepare(store)
    work.go_on.set()
    with pytest.raises(type(error)):
        await store.checkpoints.advance(step(made, await hold(store, made), positions[0]), work)


async def test_a_switch_whose_finish_is_awaited_looks_again() -> None:
    """The old one went on meanwhile, so the new one is behind."""
    store, finish = MemoryStore(), Paused()
    positions = await some_events(store)
    old, new = await rebuilt(store)
    held = await hold(store, old)
    switching = asyncio.create_task(
        store.checkpoints.switch(new, side_effects=False, finish=finish)
    )
    await finish.begun.wait()
    await advance(store, old, held, positions[0])
    finish.go_on.set()
    assert await switching is False
    assert (await attend(store, old, held=held)).state == "active"


async def test_others_append_after_effects_that_are_awaited() -> None:
    """Nobody sees the events before, and no position is given out twice."""
    store, effects = MemoryStore(), Paused()
    first = asyncio.create_task(
        store.append([append_to("a")], alongside=Alongside(effects=effects))
    )
    await effects.begun.wait()
    others = [asyncio.create_task(store.append([append_to(f"b{n}")])) for n in range(3)]
    waiting = asyncio.create_task(store.wait(0))
    await asyncio.sleep(0.01)
    assert (await whole_log(store), waiting.done()) == ([], False)
    effects.go_on.set()
    assert [position for (position,) in await asyncio.gather(first, *others)] == [1, 2, 3, 4]
    assert [each.aggregate_id for each in await whole_log(store)] == ["a", "b0", "b1", "b2"]
    assert await waiting >= 1


async def test_of_async_effects_that_fail_nothing_is_written() -> None:
    """The next append goes on."""
    store, effects = MemoryStore(), Paused(ZeroDivisionError())
    effects.go_on.set()
    with pytest.raises(HandlerFailed):
        await store.append([append_to("a")], alongside=Alongside(effects=effects))
    assert await store.append([append_to("a")]) == (1,)
