"""Walks along the log: every event once, however the stretches fall, and through outages."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
import pytest_asyncio

from hitherto.application.looking import searching
from hitherto.application.looking.searching import following, matching
from hitherto.application.looking.values import Wanted
from hitherto.application.records import LogPage, StoredEvent
from hitherto.errors import EventStoreUnavailable
from hitherto.infrastructure.memory import MemoryStore
from hitherto.testing.store_contract.making import append_to, new_event


@pytest_asyncio.fixture
async def store() -> AsyncGenerator[MemoryStore]:
    backend = MemoryStore()
    await backend.open()
    for n in range(10):
        events = [new_event(type="Odd" if number % 2 else "Even") for number in range(3)]
        await backend.append([append_to(f"thing-{n}", events)])
    yield backend
    await backend.close()


async def found(pages: AsyncGenerator[LogPage]) -> list[int]:
    async with aclosing(pages):
        return [each.position async for page in pages for each in page.events]


@pytest.mark.parametrize("stretch", [1, 2, 7, 30, 1000])
@pytest.mark.parametrize("page", [1, 4, 500])
async def test_each_event_comes_once(
    store: MemoryStore, stretch: int, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In both directions, of any part, with any limit."""
    monkeypatch.setattr(searching, "_STRETCH", stretch)
    monkeypatch.setattr(searching, "_PAGE", page)
    odd = Wanted(event_types=["Odd"])
    all_odd = [n for n in range(1, 31) if n % 3 == 2]
    for low, high, limit in ((0, None, None), (4, 20, None), (4, 20, 3), (0, 99, 100), (30, 5, 1)):
        part = [n for n in all_odd if low < n <= (30 if high is None else high)]
        bounds: dict[str, Any] = {"after": low, "until": high, "limit": limit}
        assert await found(matching(store, odd, **bounds)) == part[:limit]
        assert await found(matching(store, odd, backward=True, **bounds)) == part[::-1][:limit]


async def test_no_more_is_asked_for_than_is_wanted(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store need not load what is not shown."""
    limits: list[int] = []
    search = store.looking.search

    async def counted(wanted: Wanted, **options: Any) -> LogPage:
        limits.append(options["limit"])
        return await search(wanted, **options)

    monkeypatch.setattr(store.looking, "search", counted)
    assert await found(matching(store, Wanted(), limit=7, backward=True)) == list(range(30, 23, -1))
    assert limits == [7]


async def test_stretches_grow_while_they_are_quick(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that an index is made good use of, and gaps in positions cost little."""
    monkeypatch.setattr(searching, "_STRETCH", 1)
    count = 0
    async for _ in matching(store, Wanted(correlation_id="nobody's")):
        count += 1
    assert count == 5, "1, 2, 4, 8 and the rest"


async def test_who_follows_is_given_what_comes(store: MemoryStore) -> None:
    """Only what matches, each once."""
    seen: list[StoredEvent] = []
    task = asyncio.create_task(_follow(store, Wanted(event_types=["Odd"]), 20, seen))
    await _until(lambda: [each.position for each in seen] == [23, 26, 29])
    await store.append([append_to("new", [new_event(type="Odd"), new_event(type="Even")])])
    await _until(lambda: [each.position for each in seen] == [23, 26, 29, 31])
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_who_follows_waits_for_a_store_that_is_out(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on where it was."""
    monkeypatch.setattr(searching, "_PAGE", 4)
    calls = 0
    search = store.looking.search

    async def flaky(wanted: Wanted, **options: Any) -> LogPage:
        nonlocal calls
        calls += 1
        if calls % 2:
            raise EventStoreUnavailable("out")
        return await search(wanted, **options)

    monkeypatch.setattr(store.looking, "search", flaky)
    monkeypatch.setattr(searching, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(searching, "_LONGEST_PAUSE", 0.001)
    seen: list[StoredEvent] = []
    task = asyncio.create_task(_follow(store, Wanted(), 0, seen))
    await _until(lambda: [each.position for each in seen] == list(range(1, 31)))
    task.cancel()
    await asyncio.wait([task])


async def test_who_follows_a_store_that_was_closed_is_told(store: MemoryStore) -> None:
    """It would wait for ever."""
    task = asyncio.create_task(_follow(store, Wanted(), 30, []))
    await asyncio.sleep(0)
    await store.close()
    with pytest.raises(EventStoreUnavailable, match="closed"):
        await task


async def _follow(store: MemoryStore, wanted: Wanted, after: int, seen: list[StoredEvent]) -> None:
    async with aclosing(following(store, wanted, after)) as pages:
        async for page in pages:
            seen.extend(page.events)


async def _until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)
