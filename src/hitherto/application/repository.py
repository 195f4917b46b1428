"""`Repository`: loads and saves aggregates of one kind."""

import asyncio
import copy
import inspect
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, Self, TypeVar, cast

from hitherto.application.health import Health
from hitherto.application.records import MAX_VERSION, Stream
from hitherto.application.saving import append_decided, confirm, prepare, saving, settle
from hitherto.application.snapshots import SnapshotPolicy, Snapshots, every
from hitherto.application.store import Store
from hitherto.domain.aggregate import Aggregate
from hitherto.domain.decider import Decider
from hitherto.domain.definition import Definition
from hitherto.domain.identifiers import check_identifier
from hitherto.domain.metadata import Metadata
from hitherto.domain.recorded import RecordedEvent
from hitherto.errors import (
    AggregateIDMismatch,
    AggregateNotFound,
    AggregateVersionConflict,
    InvalidAggregateState,
    InvalidInput,
    SnapshotNotSupported,
)

A = TypeVar("A", bound=Aggregate[Any])
T = TypeVar("T")

_ATTEMPTS = 20
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.1  # seconds
_DEFAULT: Any = object()


class Repository(Generic[A]):
    """Loads and saves aggregates of one kind.

    Args:
        store: Where they are kept.
        aggregate: The aggregate class, or an instance of a `Decider`.
        snapshot_every: Events between automatic snapshots; None: never; left out: the store's
            threshold.
        snapshot_when: Called after each save with the aggregate and the events just saved; a
            snapshot is taken when it returns true. It takes the place of `snapshot_every`.

    Raises:
        InvalidInput: `store` is none; `snapshot_every` is below 1, or there with `snapshot_when`.
        SnapshotNotSupported: Snapshots were asked for, but the state has a field whose type
            cannot be encoded.
    """

    def __init__(
        self,
        store: Store,
        aggregate: Callable[[str], A],
        *,
        snapshot_every: int | None = _DEFAULT,
        snapshot_when: SnapshotPolicy[A] | None = None,
    ) -> None:
        if not isinstance(given := cast("object", store), Store):
            raise InvalidInput(f"store={given!r}: give what hitherto.connect makes, not sync's")
        if snapshot_when is not None and snapshot_every is not _DEFAULT:
            raise InvalidInput("give snapshot_every or snapshot_when, not both")
        asked_for = snapshot_when is not None or snapshot_every not in {_DEFAULT, None}
        if snapshot_every is _DEFAULT:
            snapshot_every = store.snapshot_threshold
        if snapshot_every is not None and snapshot_every < 1:
            raise InvalidInput(f"snapshot_every={snapshot_every}: give at least 1, or None")
        due = snapshot_when or (None if snapshot_every is None else every(snapshot_every))
        self.store = store
        self._hooks = store.instrumentation
        self._new = aggregate
        self._definition = _definition(aggregate)
        self._type = self._definition.aggregate_type
        self._serializer = store.serializer(self._definition)
        self._snapshots = Snapshots[A](store, self._definition, due)
        if asked_for and self._snapshots.unsupported is not None:
            raise SnapshotNotSupported(self._snapshots.unsupported)

    def within(self, transaction: Any) -> Self:
        """This repository, in a transaction of yours; see `Store.within`."""
        return self._on(self.store.within(transaction))

    def _on(self, store: Store) -> Self:
        other = copy.copy(self)
        other.store = store
        other._snapshots = self._snapshots.on(store)
        return other

    async def load(self, id: str, version: int | None = None) -> A:
        """The aggregate as it is now, or as it was at an older version.

        Raises:
            AggregateNotFound: It has no event, or no such version.
            AggregateIDMismatch: The id belongs to another type of aggregate.
            EventSerializationFailed: A stored event is unknown to this code.
            EventStoreUnavailable: The store cannot be reached.
        """
        check_identifier("aggregate id", id)
        if version is not None and not 1 <= version <= MAX_VERSION:
            raise InvalidInput(f"version={version}: give 1 … {MAX_VERSION}")
        with self._operation("load", id):
            stream = await self.store.backend.load(
                id, fingerprint=self._snapshots.fingerprint, to_version=version
            )
            aggregate = await self._rebuild(id, stream, version)
        if aggregate.version == 0 or version not in {None, aggregate.version}:
            raise AggregateNotFound(id, self._type, version)
        return aggregate

    async def load_many(self, ids: Iterable[str]) -> dict[str, A]:
        """Many aggregates in one round trip, by id; those without events are left out.

        Raises:
            AggregateIDMismatch: An id belongs to another type of aggregate.
            EventSerializationFailed: A stored event is unknown to this code.
            EventStoreUnavailable: The store cannot be reached.
            InvalidInput: An id cannot be one, or a single id was given.
        """
        if isinstance(ids, str):
            raise InvalidInput(f"ids={ids!r}: give a list of ids, such as [{ids!r}]")
        unique = list(dict.fromkeys(check_identifier("aggregate id", each) for each in ids))
        if not unique:
            return {}
        with self._operation("load_many"):
            streams = await self.store.backend.load_many(
                unique, fingerprint=self._snapshots.fingerprint
            )
            return {
                each: await self._rebuild(each, streams[each], None)
                for each in unique
                if each in streams
            }

    async def save(self, aggregate: A, *, metadata: Metadata | None = None) -> int | None:
        """Append the aggregate's pending events.

        A save that failed, was cancelled or whose answer was lost may be repeated: its events
        are stored once, and the repetition tells how the first one ended.

        Returns:
            The position of its last event; None if nothing was pending.

        Raises:
            AggregateVersionConflict: Another writer was first; nothing was stored.
            AggregateIDMismatch: The aggregate, or what is stored under its id, is of another type.
            InvalidEventData: A pending event, or the metadata, cannot be stored.
            EventSerializationFailed: A value is of a type that the codec does not know.
            EventStoreUnavailable: The store cannot be reached.
        """
        self._check_own(aggregate)
        (position,) = await self._save("save", (aggregate,), metadata)
        return position

    async def save_all(
        self, *aggregates: Aggregate[Any], metadata: Metadata | None = None
    ) -> tuple[int | None, ...]:
        """Append the pending events of several aggregates, of any type, in one transaction.

        Returns and raises as `save`; all or nothing is stored.
        """
        if len({aggregate.id for aggregate in aggregates}) != len(aggregates):
            raise InvalidInput("an aggregate appears twice in save_all: pass it once")
        return await self._save("save_all", aggregates, metadata)

    async def update(
        self,
        id: str,
        command: Callable[[A], T],
        *,
        metadata: Metadata | None = None,
        attempts: int = _ATTEMPTS,
    ) -> T:
        """Load the aggregate, run `command` on it, and save; again if another writer was first.

        Updates of one aggregate through one store take turns, rather than race and retry. An
        answer that is lost is settled inside, as for `save`, until the store's timeout. After an
        `EventStoreUnavailable` it is open whether the command's events are stored: calling
        `update` again decides anew, and may store its effect twice. Where that must not be,
        load, decide and `save` yourself, and repeat the `save`.

        Args:
            id: The aggregate.
            command: Decides; it may run several times, each on fresh state, so it must have no
                other effects. It is not async.
            metadata: Kept with the events.
            attempts: How often to try before the conflict is raised.

        Returns:
            What `command` returned.

        Raises:
            AggregateNotFound: It has no event.
            AggregateVersionConflict: Every attempt lost.
            TypeError: `command` returned an awaitable.
        """
        return await self._update(id, lambda: self.load(id), command, metadata, attempts)

    async def _update(
        self,
        id: str,
        load: Callable[[], Awaitable[A]],
        command: Callable[[A], T],
        metadata: Metadata | None = None,
        attempts: int = _ATTEMPTS,
    ) -> T:
        pause = _FIRST_PAUSE
        async with self.store.turn(check_identifier("aggregate id", id)):
            while True:
                aggregate = await load()
                result = command(aggregate)
                refuse_awaitable(result)
                attempts -= 1
                try:
                    await self.save(aggregate, metadata=metadata)
                except AggregateVersionConflict:
                    if attempts < 1:
                        raise
                else:
                    return result
                await asyncio.sleep(pause * random.random())  # noqa: S311  # jitter
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def exists(self, id: str) -> bool:
        """Whether there is an aggregate of this type under the id."""
        check_identifier("aggregate id", id)
        with self._operation("exists", id):
            last = await self.store.backend.read(id, limit=1, backward=True)
        return bool(last) and last[0].aggregate_type == self._type

    async def history(self, id: str) -> list[RecordedEvent[Any]]:
        """All events of the aggregate, oldest first, with their metadata.

        Raises:
            AggregateNotFound: It has no event.
            AggregateIDMismatch: The id belongs to another type of aggregate.
            EventSerializationFailed: A stored event is unknown to this code.
        """
        check_identifier("aggregate id", id)
        with self._operation("history", id):
            stored = await self.store.backend.read(id)
        if not stored:
            raise AggregateNotFound(id, self._type)
        return [each for event in stored for each in self._serializer.recorded(event)]

    async def snapshot(self, aggregate: A) -> bool:
        """Take a snapshot by hand.

        Returns:
            Whether it is kept; not if one of this version or a later one was there.

        Raises:
            SnapshotNotSupported: The state would not come back as it is.
            InvalidAggregateState: The aggregate has pending events, or none at all.
            AggregateVersionConflict: It was saved in a transaction that was rolled back.
        """
        self._check_own(aggregate)
        if aggregate.pending or not aggregate.version:
            raise InvalidAggregateState(f"{aggregate!r}: save it before taking a snapshot")
        await confirm(self.store, [aggregate])
        return await self._snapshots.take(aggregate)

    async def health_check(self) -> Health:
        """The state of the store below, and whether the snapshots that are due can be taken.

        It reports what is wrong rather than raise.
        """
        return self._snapshots.judge(await self.store.health_check())

    def _check_own(self, aggregate: Aggregate[Any]) -> None:
        if aggregate.definition is not self._definition:
            raise AggregateIDMismatch(
                f"{aggregate!r} is not a {self._definition.owner.__qualname__}: "
                "save it through a repository of its own type"
            )

    async def _rebuild(self, id: str, stream: Stream, version: int | None) -> A:
        aggregate = self._new(id)
        problem = self._snapshots.restore(aggregate, stream)
        unusable = stream.unusable
        if problem is not None and stream.snapshot is not None:
            unusable = stream.snapshot.version
            stream = await self.store.backend.load(id, fingerprint=None, to_version=version)
        rows = stream.events[1:] if aggregate.version else stream.events
        aggregate._snapshot_version = aggregate.version
        aggregate._fold(self._serializer.decode_stream(id, rows))
        self._hooks.events_loaded(self._type, len(rows))
        if problem is not None and unusable is not None:
            self._snapshots.passed_over(id, unusable, problem)
            if version is None:
                await self._snapshots.replace(aggregate, unusable)
        return aggregate

    async def _save(
        self, operation: str, aggregates: Sequence[Aggregate[Any]], metadata: Metadata | None
    ) -> tuple[int | None, ...]:
        changed = {aggregate.id: aggregate for aggregate in aggregates if aggregate._unsaved}
        positions: dict[str, int] = {}
        await confirm(self.store, aggregates)
        if changed:
            only = next(iter(changed)) if len(changed) == 1 else None
            with self._operation(operation, only), saving(changed.values()):
                positions, events = await self._append(changed, metadata)
            for each, aggregate in changed.items():
                if aggregate.definition is self._definition and not aggregate._unsaved:
                    await self._snapshots.after_save(cast("A", aggregate), events[each])
        return tuple(positions.get(aggregate.id) for aggregate in aggregates)

    async def _append(
        self, aggregates: Mapping[str, Aggregate[Any]], metadata: Metadata | None
    ) -> tuple[dict[str, int], dict[str, list[Any]]]:
        appends = prepare(self.store, aggregates.values(), metadata)
        positions = await append_decided(self.store, appends)
        events = {
            each.aggregate_id: settle(self.store, aggregates[each.aggregate_id], each)
            for each in appends
        }
        return dict(zip(aggregates, positions, strict=True)), events

    def _operation(self, name: str, id: str | None = None) -> AbstractContextManager[object]:
        return self._hooks.operation(name, self._type, id)


def _definition(aggregate: object) -> Definition:
    definition = getattr(aggregate, "definition", None)
    is_class = isinstance(aggregate, type) and issubclass(aggregate, Aggregate)
    if not isinstance(definition, Definition) or not (is_class or isinstance(aggregate, Decider)):
        raise InvalidInput(
            f"{aggregate!r} is neither an aggregate class that names its events nor a decider "
            "instance"
        )
    return definition


def refuse_awaitable(result: object) -> None:
    """Refuse what a command that is not to be async has returned."""
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        raise TypeError(
            "what was to decide returned an awaitable: make it a plain function, or load, await "
            "and save yourself"
        )
