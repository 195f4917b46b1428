"""From an aggregate's pending events to append requests, and back when they are stored."""

from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from hitherto.application.alongside import Alongside
from hitherto.application.records import Append, NewEvent, utc
from hitherto.application.store import Store
from hitherto.domain.aggregate import Aggregate, Unsaved
from hitherto.domain.metadata import Metadata, current_metadata
from hitherto.errors import (
    AggregateVersionConflict,
    AlreadyHandled,
    EventSerializationFailed,
    InvalidAggregateState,
    InvalidEventData,
)


class saving:  # noqa: N801  # it reads like a function: `with saving(…):`
    """Hold the aggregates: two tasks that save one object at once would count its events twice."""

    __slots__ = ("_aggregates",)

    def __init__(self, aggregates: Collection[Aggregate[Any]]) -> None:
        self._aggregates = aggregates

    def __enter__(self) -> None:
        for aggregate in self._aggregates:
            if aggregate._saving:
                raise InvalidAggregateState(
                    f"{aggregate!r} is being saved by another task: give each task its own"
                )
        for aggregate in self._aggregates:
            aggregate._saving = True

    def __exit__(self, *_error: object) -> None:
        for aggregate in self._aggregates:
            aggregate._saving = False


class Mark:
    """Something to write in the transaction of the next append to a store, and of no other."""

    __slots__ = ("alongside", "store", "used")

    def __init__(self, store: Store, alongside: Alongside) -> None:
        self.store: Store | None = store
        self.alongside: Alongside = alongside
        self.used: bool = False


_mark: ContextVar[Mark | None] = ContextVar("hitherto_mark", default=None)


@contextmanager
def marking(store: Store, alongside: Alongside) -> Generator[Mark]:
    """The first append inside the block that succeeds writes `alongside` too.

    In a transaction of the caller's, which may be rolled back, so does the first one after that.
    """
    mark = Mark(store, alongside)
    token = _mark.set(mark)
    try:
        yield mark
    finally:
        _mark.reset(token)
        mark.store = None  # A task that was begun inside may go on after it.


async def append_decided(
    store: Store, appends: Sequence[Append], alongside: Alongside | None = None
) -> tuple[int, ...]:
    """`append` what aggregates have decided, so that a conflict is told as one."""
    try:
        return await append(store, appends, alongside)
    except AggregateVersionConflict as conflict:
        kinds = {each.aggregate_id: each.aggregate_type for each in appends}
        store.instrumentation.concurrency_conflict(kinds[conflict.aggregate_id])
        raise


async def append(
    store: Store, appends: Sequence[Append], alongside: Alongside | None = None
) -> tuple[int, ...]:
    """Append, together with what is given, or else marked here, and what inline projections do.

    What brings something of its own is no append of the command's: a process that runs inside one.
    """
    mark = _mark.get()
    its_own = mark is not None and mark.store is (store.outer or store)
    if mark is None or not its_own or alongside is not None or (mark.used and not store.outer):
        return await _append(store, appends, alongside)
    used, mark.used = mark.used, True
    try:
        return await _append(store, appends, mark.alongside)
    except AlreadyHandled:
        mark.used = used and not await _is_committed(store, mark.alongside)
        if not mark.used:
            raise
    except BaseException:
        mark.used = used
        raise
    return await _append(store, appends, None)  # This transaction has written the mark.


async def _is_committed(store: Store, alongside: Alongside) -> bool:
    return bool(await store.backend.handled(alongside.scope, alongside.handled))


async def _append(
    store: Store, appends: Sequence[Append], alongside: Alongside | None
) -> tuple[int, ...]:
    if store.inline and appends:
        alongside = store.inline.with_effects(alongside)
    positions = await store.backend.append(appends, alongside=alongside)
    if positions:
        store.appended(max(positions))
    return positions


async def confirm(store: Store, aggregates: Iterable[Aggregate[Any]]) -> None:
    """See that what was saved in a transaction of the caller's was not rolled back.

    A version alone does not tell: by now another writer may have written one of that number.

    Raises:
        AggregateVersionConflict: An aggregate has events that are not stored.
    """
    for aggregate in aggregates:
        if aggregate._unconfirmed is None:
            continue
        version, event_id = aggregate._unconfirmed
        found = await store.sealed.read(aggregate.id, from_version=version, to_version=version)
        if not found or found[0].event_id != event_id:
            last = await store.sealed.read(aggregate.id, limit=1, backward=True)
            actual = last[0].version if last else 0
            raise AggregateVersionConflict(aggregate.id, aggregate.version, actual)
        if store.outer is None:
            aggregate._unconfirmed = None


def prepare(
    store: Store, aggregates: Iterable[Aggregate[Any]], metadata: Metadata | None
) -> list[Append]:
    """Encode what is pending.

    An event that was sent before is sent as it was: the same id tells the store that it is no
    rival.
    """
    inherited = current_metadata()
    flat = {**inherited.flat(), **store.instrumentation.event_metadata()}
    if metadata is not None:
        flat.update(metadata.flat())
    encoded = None
    if flat:
        try:
            encoded = store.codec.encode(flat)
        except EventSerializationFailed as error:
            raise InvalidEventData(f"the metadata cannot be stored: {error}") from error
    return [_append_of(store, aggregate, encoded) for aggregate in aggregates]


def settle(store: Store, aggregate: Aggregate[Any], append: Append) -> list[Any]:
    """Count the append as saved, and tell of it; returns its events."""
    count = len(append.events)
    events = [unsaved.event for unsaved in aggregate._unsaved[:count]]
    aggregate._saved(count)
    if store.outer is not None:  # Nobody tells how the transaction ends.
        aggregate._unconfirmed = aggregate.version, append.events[-1].event_id
    store.instrumentation.events_saved(append.aggregate_type, count)
    return events


def _append_of(store: Store, aggregate: Aggregate[Any], metadata: str | None) -> Append:
    encode = store.serializer(aggregate.definition).encode

    def enveloped(unsaved: Unsaved[Any]) -> NewEvent:
        event = unsaved.event
        return NewEvent(
            event_id=store.new_id(),
            event_type=event.__event_type__,
            schema_version=event.__schema_version__,
            data=encode(event, aggregate.id),
            metadata=metadata,
            occurred_at=utc(unsaved.occurred_at or store.clock()),
        )

    envelopes = [unsaved.envelope or enveloped(unsaved) for unsaved in aggregate._unsaved]
    append = Append(
        aggregate_id=aggregate.id,
        aggregate_type=aggregate.definition.aggregate_type,
        expected_version=aggregate.version,
        events=tuple(envelopes),
    )
    for unsaved, envelope in zip(aggregate._unsaved, envelopes, strict=True):
        unsaved.envelope = envelope
    return append
