"""Aggregates that are closed for good in memory, while effects of an append are awaited."""

import asyncio
from contextlib import suppress

from hitherto.application.alongside import Alongside
from hitherto.application.ports.archive import Tombstone
from hitherto.errors import AggregateTombstoned
from hitherto.infrastructure.memory import MemoryStore
from hitherto.testing.store_contract.making import append_to, versions


async def test_an_append_under_way_is_counted_or_refused() -> None:
    """The version that is told is the last one."""
    store, begun = MemoryStore(), asyncio.Event()

    async def effects(*_: object) -> None:
        begun.set()
        await asyncio.sleep(0.02)

    await store.append([append_to("a", 3)])
    appending = asyncio.create_task(
        store.append([append_to("a", after=3)], alongside=Alongside(effects=effects))
    )
    await asyncio.wait_for(begun.wait(), 5)
    version = await store.archive.tombstone(Tombstone("a", "sold twice", "a clerk"))
    with suppress(AggregateTombstoned):
        await appending
    assert await versions(store, "a") == [*range(1, version + 1)]
