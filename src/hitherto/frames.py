"""Events as tables, for analyses: in pandas, polars or Arrow. It needs the extra ``frames``.

::

    from hitherto.frames import events_frame

    fines = Repository(store, Fine)
    frame = await events_frame(fines, PaymentReceived | PenaltyAdded)
    frame.groupby("event_type")["amount"].sum()

There is a row for each event. Its own fields are columns beside what is known about it: `position`,
`event_id`, `event_type`, `schema_version`, `aggregate_id`, `aggregate_type`, `version`,
`occurred_at`, `stored_at`, and of the metadata `correlation_id`, `causation_id`, `actor`, and
`metadata`, which holds further keys as JSON. `hitherto.sync.frames` is the same without ``await``.
"""

from collections.abc import AsyncGenerator, Callable, Collection
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from hitherto.application.frames import Framing, Library, Wanted, maker
from hitherto.application.repository import Repository
from hitherto.application.store import Store
from hitherto.domain.recorded import RecordedEvent

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]
    import polars

__all__ = ["event_batches", "events_frame"]


@overload
async def events_frame(
    source: Store | Repository[Any],
    types: Any = None,
    *,
    as_: Literal["pandas"] = "pandas",
    **wanted: Unpack[Wanted],
) -> "pandas.DataFrame": ...


@overload
async def events_frame(
    source: Store | Repository[Any],
    types: Any = None,
    *,
    as_: Literal["polars"],
    **wanted: Unpack[Wanted],
) -> "polars.DataFrame": ...


@overload
async def events_frame(
    source: Store | Repository[Any],
    types: Any = None,
    *,
    as_: Literal["arrow"],
    **wanted: Unpack[Wanted],
) -> Any: ...


async def events_frame(
    source: Store | Repository[Any],
    types: Any = None,
    *,
    as_: Library = "pandas",
    **wanted: Unpack[Wanted],
) -> Any:
    """All events that are wanted, as one table, which is to fit into memory.

    pandas' columns have Arrow's types (`pandas.ArrowDtype`), so that a whole number stays one
    though other rows have none.

    Args:
        source: As for `event_batches`.
        types: As for `event_batches`.
        as_: "pandas", "polars", or "arrow" for a `pyarrow.Table`.
        wanted: The further arguments of `event_batches`.

    Raises:
        ConfigurationError: What it needs is not installed.
        InvalidInput: As `event_batches`.
        EventSerializationFailed: As `event_batches`.
        EventStoreUnavailable: The store cannot be reached.
    """
    make = maker(as_)
    framing = Framing(source, types, **wanted)
    return make(framing.table([batch async for batch in framing.batches()]))


def event_batches(
    source: Store | Repository[Any],
    types: Any = None,
    *,
    aggregates: Collection[str] = (),
    after: int = 0,
    until: int | None = None,
    occurred_from: datetime | None = None,
    occurred_before: datetime | None = None,
    where: Callable[[RecordedEvent[Any]], bool] | None = None,
    columns: Collection[str] | None = None,
    texts: Collection[str] = (),
    rows: int = 10_000,
) -> AsyncGenerator[Any]:
    """The events that are wanted, in their order, as record batches of Arrow.

    It ends at the watermark of its start. Memory is bounded: by a batch and the next page of the
    log, or by the histories of the aggregates that are named.

    Args:
        source: A store, or a repository for events of its aggregates alone.
        types: Only events of these classes: one, several, or a union; it also gives the columns.
            Left out: of all classes that the source knows.
        aggregates: Only events of aggregates with these ids.
        after: Only events above this position.
        until: Only events up to this position.
        occurred_from: Only what happened at this time or later.
        occurred_before: Only what happened before this time.
        where: Only events for which it returns true.
        columns: Only these columns.
        texts: Columns whose values are wanted as JSON, as for a number above 64 bits.
        rows: The most rows of a batch.

    Raises:
        ConfigurationError: At once: the extra is not installed.
        InvalidInput: At once: an argument makes no sense, the message says which and why.
        EventSerializationFailed: An event cannot be decoded, or a value does not fit its column.
        EventStoreUnavailable: The store cannot be reached.
    """
    return Framing(
        source,
        types,
        aggregates=aggregates,
        after=after,
        until=until,
        occurred_from=occurred_from,
        occurred_before=occurred_before,
        where=where,
        columns=columns,
        texts=texts,
        rows=rows,
    ).batches()
