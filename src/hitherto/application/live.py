"""`live`: a projection of what there is now, of which nothing is kept."""

from collections.abc import AsyncGenerator
from typing import Any, TypeVar

from hitherto.application.projection import Projection, Recorded, batch_of, stored_nowhere
from hitherto.application.selection import PAGE, Selection, walk
from hitherto.application.store import Store
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
    if projection.elsewhere or projection.gathers:
        raise InvalidInput(
            f"{projection.name!r} cannot be live: its effects are not in itself; of documents and "
            "totals, `fold` and `fold_totals` tell what they would be"
        )
    batch = batch_of(projection, stored_nowhere(projection), None, silent=True)
    async for recorded in events_now(store, projection):
        result = projection.handle([recorded], batch)
        if result is not None:
            await result
    return projection


def events_now(store: Store, projection: Projection[Any]) -> AsyncGenerator[Recorded]:
    """The events that a projection asks for, up to the watermark."""
    selection = Selection(store, projection.events)
    return walk(lambda after: selection.read(after, PAGE), 0, selection.decode)
