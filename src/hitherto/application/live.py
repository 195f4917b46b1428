"""`live`: a projection of what there is now, of which nothing is kept."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, TypeVar

from hitherto.application.checkpoints import Generation
from hitherto.application.projection import Batch, Projection, Recorded
from hitherto.application.selection import Selection
from hitherto.application.store import PAGE, Store
from hitherto.errors import InvalidInput

P = TypeVar("P", bound=Projection[Any])


async def live(store: Store, projection: P) -> P:
    """Give a projection every event that it asks for, up to now, and keep nothing in the store.

    Its handlers keep what they like in the object itself. They are given no connection, and those
    with side effects are left out.

    Returns:
        The same projection.

    Raises:
        InvalidInput: Its effects are elsewhere, or it keeps documents, which `fold` gives.
        EventSerializationFailed: An event is of a type that the code does not know.
        EventStoreUnavailable: The store cannot be reached.
    """
    projection.check()
    cls: Any = type(projection)
    if projection.elsewhere or cls.gather is not Projection[Any].gather:
        raise InvalidInput(
            f"{projection.name!r} cannot be live: its effects are not in itself; of documents and "
            "totals, `fold` and `fold_totals` tell what they would be"
        )
    generation = Generation(
        name=projection.name, number=1, version=projection.version, state="active", partitions=1
    )
    async for recorded in events_now(store, projection):
        result = projection.handle(
            [recorded], Batch[Any](None, generation, True, [], projection.tables)
        )
        if result is not None:
            await result
    return projection


async def events_now(store: Store, projection: Projection[Any]) -> AsyncGenerator[Recorded]:
    """The events that a projection asks for, up to the watermark."""
    selection = Selection(store, projection.events)
    page = await selection.read(0, PAGE)
    while True:
        ahead = asyncio.ensure_future(selection.read(page.checkpoint, PAGE)) if page.full else None
        try:
            for stored in page.events:
                yield selection.decode(stored)
            if ahead is None:
                return
            page = await ahead
        finally:
            if ahead is not None:
                ahead.cancel()
