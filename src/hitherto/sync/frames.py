"""`hitherto.frames` without ``await``, as for notebooks."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from hitherto.application.frames import Framing, Library, Wanted, maker
from hitherto.sync.repository import Repository
from hitherto.sync.store import Store

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]
    import polars

__all__ = ["event_batches", "events_frame"]


@overload
def events_frame(
    source: Store | Repository[Any],
    types: Any = None,
    *,
    as_: Literal["pandas"] = "pandas",
    **wanted: Unpack[Wanted],
) -> "pandas.DataFrame": ...


@overload
def events_frame(
    source: Store | Repository[Any],
    types: Any = None,
    *,
    as_: Literal["polars"],
    **wanted: Unpack[Wanted],
) -> "polars.DataFrame": ...


@overload
def events_frame(
    source: Store | Repository[Any],
    types: Any = None,
    *,
    as_: Literal["arrow"],
    **wanted: Unpack[Wanted],
) -> Any: ...


def events_frame(
    source: Store | Repository[Any],
    types: Any = None,
    *,
    as_: Library = "pandas",
    **wanted: Unpack[Wanted],
) -> Any:
    """See `hitherto.frames.events_frame`."""
    make = maker(as_)
    store, framing = _framing(source, types, wanted)
    return make(framing.table(list(_batches(store, framing))))


def event_batches(
    source: Store | Repository[Any], types: Any = None, **wanted: Unpack[Wanted]
) -> Generator[Any]:
    """See `hitherto.frames.event_batches`; `where` runs in the event loop's thread."""
    return _batches(*_framing(source, types, wanted))


def _framing(source: Store | Repository[Any], types: Any, wanted: Wanted) -> tuple[Store, Framing]:
    store = source if isinstance(source, Store) else source.store
    return store, Framing(source._async, types, **wanted)


def _batches(store: Store, framing: Framing) -> Generator[Any]:
    batches = framing.batches()

    async def following() -> Any:
        return await anext(batches, None)

    try:
        while (batch := store._run(following)) is not None:
            yield batch
    finally:
        store._run(batches.aclose)
