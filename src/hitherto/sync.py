"""The same names without ``await``: for Django, Flask, notebooks and scripts.

::

    from hitherto.sync import Repository, connect

    with connect("sqlite:///users.db") as store:
        users = Repository(store, User)
        users.update("user-1", lambda user: user.deactivate("left"))

The work is done by one event loop a process, in a daemon thread that the first operation starts.
So it also runs where the caller has a loop of its own, as in a notebook, which it then blocks.

Calls may come from any thread, many at once. They inherit the caller's context variables, such as
`metadata_context`, and may be interrupted (Ctrl-C): the operation is cancelled, and a save may be
repeated. Commands given to `Repository.update` run in the caller's thread; `apply`, snapshot
policies, hooks, the codec and the clock run in the loop's, where a call to this module raises
`WouldDeadlock`.

``os.fork()`` waits (some seconds at most) for the operations under way and closes the connections
of open stores, since SQLite loses commits where a process opens a file that it has inherited
open. Parent and child then open their own when they next need them: a store opened before
gunicorn or multiprocessing fork works in both. In the child a store in memory is empty.

Stores left open are closed when the interpreter exits, if that takes no more than seconds.
"""

import functools
import itertools
import random
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar

import msgspec

import hitherto
from hitherto import (
    Aggregate,
    AggregateError,
    AggregateIDMismatch,
    AggregateLocked,
    AggregateNotFound,
    AggregateVersionConflict,
    ConfigurationError,
    Decided,
    Decider,
    Event,
    EventSerializationFailed,
    EventStoreError,
    EventStoreUnavailable,
    Health,
    HithertoError,
    Imported,
    Instrumentation,
    InvalidAggregateState,
    InvalidInput,
    JsonCodec,
    Metadata,
    PastEvent,
    RecordedEvent,
    SchemaMismatch,
    Settings,
    SnapshotNotSupported,
    current_metadata,
    metadata_context,
)
from hitherto.application import repository as _asynchronous
from hitherto.application.importing import CHUNK, Past, Progress, in_silence
from hitherto.application.records import LogPage
from hitherto.application.snapshots import SnapshotPolicy
from hitherto.application.store import PAGE
from hitherto.infrastructure.background import WouldDeadlock, background

__all__ = [
    "Aggregate",
    "AggregateError",
    "AggregateIDMismatch",
    "AggregateLocked",
    "AggregateNotFound",
    "AggregateVersionConflict",
    "ConfigurationError",
    "Decided",
    "Decider",
    "Event",
    "EventSerializationFailed",
    "EventStoreError",
    "EventStoreUnavailable",
    "Health",
    "HithertoError",
    "Imported",
    "Instrumentation",
    "InvalidAggregateState",
    "InvalidInput",
    "JsonCodec",
    "Metadata",
    "PastEvent",
    "RecordedEvent",
    "Repository",
    "SchemaMismatch",
    "Settings",
    "SnapshotNotSupported",
    "Store",
    "WouldDeadlock",
    "connect",
    "current_metadata",
    "metadata_context",
]

A = TypeVar("A", bound=Aggregate[Any])
T = TypeVar("T")
P = ParamSpec("P")


class Store:
    """An event store, opened by ``with``; hand it to repositories. See `hitherto.Store`.

    It may be used from any thread, and on both sides of a fork.

    Args:
        make: Makes the async store; called now, and again in each forked child that uses this.
    """

    def __init__(self, make: Callable[[], hitherto.Store]) -> None:
        self._make = make
        self._async = make()
        self._background = background()
        self._opened = False

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """See `hitherto.Store.open`."""
        self._run(self._open)

    def close(self) -> None:
        """See `hitherto.Store.close`."""
        self._opened = False
        self._run(self._close)

    def read(
        self,
        aggregate_id: str,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        limit: int | None = None,
        backward: bool = False,
    ) -> list[RecordedEvent[Event]]:
        """See `hitherto.Store.read`."""
        return self._run(
            self._async.read,
            aggregate_id,
            from_version=from_version,
            to_version=to_version,
            limit=limit,
            backward=backward,
        )

    def read_all(
        self,
        *,
        after: int = 0,
        event_types: Sequence[str] | None = None,
        aggregate_types: Sequence[str] | None = None,
    ) -> Iterator[RecordedEvent[Event]]:
        """See `hitherto.Store.read_all`; between pages it holds nothing open."""

        async def next_page() -> LogPage:
            return await self._async.backend.read_all(
                after=after, limit=PAGE, event_types=event_types, aggregate_types=aggregate_types
            )

        while True:
            page = self._run(next_page)
            yield from map(self._async._recorded, page.events)
            if len(page.events) < PAGE:
                return
            after = page.checkpoint

    def import_events(
        self,
        events: Iterable[Past],
        *,
        progress: Progress = in_silence,
    ) -> Imported:
        """See `hitherto.Store.import_events`; all that is given runs in the caller's thread."""
        done, rest = Imported(), iter(events)
        while chunk := list(itertools.islice(rest, CHUNK)):
            more = self._run(self._async.import_events, chunk)
            done = Imported(
                written=done.written + more.written, skipped=done.skipped + more.skipped
            )
            progress(done)
        return done

    def watermark(self) -> int:
        """See `hitherto.Store.watermark`."""
        return self._run(self._async.watermark)

    def health_check(self) -> Health:
        """See `hitherto.Store.health_check`."""
        return background().run(self, self._health)

    def _run(
        self, method: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        async def operation() -> T:
            await self._wake()
            return await method(*args, **kwargs)

        return background().run(self, operation)

    async def _wake(self) -> None:
        """After a fork: take a backend of this process's own, and open what was open."""
        here = background()
        if self in here.opened:
            return
        async with here.opening:
            if self._background is not here:
                self._async.backend = self._make().backend
                self._background = here
            if self._opened and self not in here.opened:
                await self._open()

    async def _open(self) -> None:
        await self._async.open()
        background().opened[self] = self._async.backend
        self._opened = True

    async def _close(self) -> None:
        try:
            await self._async.close()
        finally:
            background().opened.pop(self, None)

    async def _health(self) -> Health:
        try:
            await self._wake()
        except EventStoreError as error:
            found = await self._async.health_check()
            return msgspec.structs.replace(found, status="unhealthy", problems=(str(error),))
        return await self._async.health_check()


def _with_parameters_of(
    original: Callable[P, object],
) -> Callable[[Callable[..., T]], Callable[P, T]]:
    def accept(function: Callable[..., T]) -> Callable[P, T]:
        return functools.wraps(original, assigned=())(function)

    return accept


@_with_parameters_of(hitherto.connect)
def connect(*args: Any, **settings: Any) -> Store:
    """A store; open it with ``with``. See `hitherto.connect`."""
    return Store(functools.partial(hitherto.connect, *args, **settings))


class Repository(Generic[A]):
    """Loads and saves aggregates of one kind, from any thread. See `hitherto.Repository`."""

    def __init__(
        self,
        store: Store,
        aggregate: Callable[[str], A],
        *,
        snapshot_every: int | None = _asynchronous._DEFAULT,
        snapshot_when: SnapshotPolicy[A] | None = None,
    ) -> None:
        self.store = store
        self._async = hitherto.Repository(
            store._async, aggregate, snapshot_every=snapshot_every, snapshot_when=snapshot_when
        )

    def load(self, id: str, version: int | None = None) -> A:
        """See `hitherto.Repository.load`."""
        return self.store._run(self._async.load, id, version)

    def load_many(self, ids: Iterable[str]) -> dict[str, A]:
        """See `hitherto.Repository.load_many`."""
        # A lazy iterable, such as a queryset, must be run in the caller's thread.
        return self.store._run(self._async.load_many, ids if isinstance(ids, str) else list(ids))

    def save(self, aggregate: A, *, metadata: Metadata | None = None) -> int | None:
        """See `hitherto.Repository.save`."""
        return self.store._run(self._async.save, aggregate, metadata=metadata)

    def save_all(
        self, *aggregates: Aggregate[Any], metadata: Metadata | None = None
    ) -> tuple[int | None, ...]:
        """See `hitherto.Repository.save_all`."""
        return self.store._run(self._async.save_all, *aggregates, metadata=metadata)

    def update(
        self,
        id: str,
        command: Callable[[A], T],
        *,
        metadata: Metadata | None = None,
        attempts: int = _asynchronous._ATTEMPTS,
    ) -> T:
        """See `hitherto.Repository.update`; `command` runs in the caller's thread."""
        pause = _asynchronous._FIRST_PAUSE
        while True:
            aggregate = self.load(id)
            result = command(aggregate)
            _asynchronous.refuse_awaitable(result)
            attempts -= 1
            try:
                self.save(aggregate, metadata=metadata)
            except AggregateVersionConflict:
                if attempts < 1:
                    raise
            else:
                return result
            time.sleep(pause * random.random())  # noqa: S311  # jitter
            pause = min(2 * pause, _asynchronous._LONGEST_PAUSE)

    def exists(self, id: str) -> bool:
        """See `hitherto.Repository.exists`."""
        return self.store._run(self._async.exists, id)

    def history(self, id: str) -> list[RecordedEvent[Any]]:
        """See `hitherto.Repository.history`."""
        return self.store._run(self._async.history, id)

    def snapshot(self, aggregate: A) -> bool:
        """See `hitherto.Repository.snapshot`."""
        return self.store._run(self._async.snapshot, aggregate)

    def health_check(self) -> Health:
        """See `hitherto.Repository.health_check`."""
        return self._async._snapshots.judge(self.store.health_check())
