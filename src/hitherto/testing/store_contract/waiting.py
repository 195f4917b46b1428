"""`wait`: tasks that are told when the log grows."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from hitherto.application.alongside import Alongside
from hitherto.application.ports import Backend
from hitherto.errors import EventStoreUnavailable
from hitherto.testing.store_contract.making import append_to, placed

T = TypeVar("T")


class WaitContract:
    """Whoever waits for a position goes on when it is committed, and not before."""

    async def test_what_is_there_is_not_waited_for(self, backend: Backend) -> None:
        """The watermark is given at once."""
        (position,) = await backend.append([append_to("thing-1", 3)])
        for after in (0, position - 1):
            assert await _soon(backend.wait(after)) == position

    async def test_an_append_ends_the_waiting(self, backend: Backend) -> None:
        """Of one event, of a group, with something alongside, and an import as well."""
        mark = Alongside(scope="s", handled=["m"])
        writes: list[Callable[[], Awaitable[object]]] = [
            lambda: backend.append([append_to("a")]),
            lambda: backend.append([append_to("b"), append_to("c", 3)]),
            lambda: backend.append([append_to("d")], alongside=mark),
            lambda: backend.import_events([placed("e", 1), placed("e", 2)]),
        ]
        for write in writes:
            waiting = asyncio.create_task(backend.wait(await backend.watermark()))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await write()
            assert await _soon(waiting) == await backend.watermark()

    async def test_it_ends_when_the_position_is_passed(self, backend: Backend) -> None:
        """Earlier events are not enough."""
        (position,) = await backend.append([append_to("thing-1")])
        waiting = asyncio.create_task(backend.wait(position + 1))
        await asyncio.sleep(0.05)
        await backend.append([append_to("thing-1", after=1)])
        await asyncio.sleep(0.1)
        assert not waiting.done()
        (position,) = await backend.append([append_to("thing-1", after=2)])
        assert await _soon(waiting) == position

    async def test_many_may_wait_at_once(self, backend: Backend) -> None:
        """Each is told of each append, while others are appending."""
        followers = [asyncio.create_task(_followed(backend, 30)) for _ in range(10)]
        for number in range(30):
            await backend.append([append_to(f"thing-{number}")])
            await asyncio.sleep(0.001 * (number % 3))
        seen = await _soon(asyncio.gather(*followers))
        last = await backend.watermark()
        for positions in seen:
            assert positions == sorted(positions)
            assert positions[-1] == last

    async def test_who_gives_up_does_not_disturb_the_others(self, backend: Backend) -> None:
        """Those who still wait are told."""
        waiting = [asyncio.create_task(backend.wait(0)) for _ in range(4)]
        await asyncio.sleep(0.05)
        for task in waiting[:2]:
            task.cancel()
        (position,) = await backend.append([append_to("thing-1")])
        results = await asyncio.gather(*waiting[:2], return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in results)
        assert await _soon(asyncio.gather(*waiting[2:])) == [position, position]

    async def test_a_store_that_is_closed_sends_them_away(self, backend: Backend) -> None:
        """The error is not one that passes by itself."""
        waiting = [asyncio.create_task(backend.wait(0)) for _ in range(3)]
        await asyncio.sleep(0.05)
        await _soon(backend.close())
        for result in await _soon(asyncio.gather(*waiting, return_exceptions=True)):
            assert isinstance(result, EventStoreUnavailable)
            assert not result.transient

    async def test_nobody_waits_for_a_closed_store(self, backend: Backend) -> None:
        """Nor is told what was there; once it is open again, waiting goes on."""
        (position,) = await backend.append([append_to("thing-1")])
        await backend.close()
        for after in (0, position):
            with pytest.raises(EventStoreUnavailable) as caught:
                await _soon(backend.wait(after))
            assert not caught.value.transient
        await backend.open()
        waiting = asyncio.create_task(backend.wait(position))
        (position,) = await backend.append([append_to("thing-2")])
        assert await _soon(waiting) == position


async def _followed(backend: Backend, count: int) -> list[int]:
    """The watermarks that a follower is told, until there are so many events."""
    seen = [0]
    events = 0
    while events < count:
        watermark = await backend.wait(seen[-1])
        page = await backend.read_all(after=seen[-1])
        events += len(page.events)
        assert page.checkpoint >= watermark > seen[-1]
        seen.append(page.checkpoint)
    return seen[1:]


async def _soon(work: Awaitable[T]) -> T:
    async with asyncio.timeout(30):
        return await work
