"""`Store` and `connect`, without await."""

import functools
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar
from urllib.parse import quote, unquote

import msgspec

import hitherto
from hitherto.application.health import Health
from hitherto.application.importing import CHUNK, Imported, Past, Progress, in_silence
from hitherto.application.projection import Projection
from hitherto.application.records import LogPage
from hitherto.application.selection import PAGE, Selection
from hitherto.application.store import _appended
from hitherto.application.views import Documents, Totals
from hitherto.application.within import CallersTransaction, store_within
from hitherto.connect import Settings
from hitherto.domain.event import Event
from hitherto.domain.recorded import RecordedEvent
from hitherto.errors import EventStoreError
from hitherto.infrastructure.background import Background, background
from hitherto.sync.readers import DocumentReader, TotalsReader
from hitherto.sync.subscription import Subscription

D = TypeVar("D")
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

    def within(self, transaction: Any) -> "Store":
        """This store, in a transaction of yours, and in your thread. See `hitherto.Store.within`.

        Args:
            transaction: A connection of psycopg 3, a `Session` or `Connection` of SQLAlchemy's, or
                `django.db.connection`.
        """
        self._run(_nothing)  # It is open, in this process.

        def run(work: Callable[[], Awaitable[T]]) -> T:
            async def awaited() -> T:
                return await work()

            return self._run(awaited)

        return _Within(self, store_within(self._async, CallersTransaction(transaction, run)))

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
            yield from chain.from_iterable(map(self._async.recorded, page.events))
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

    def subscribe(
        self,
        types: Any = None,
        *,
        after: int = 0,
        aggregate_types: Sequence[Any] | None = None,
        undecoded: bool = False,
    ) -> Subscription:
        """See `hitherto.Store.subscribe`."""
        selection = Selection(self._async, types, aggregate_types, undecoded=undecoded)
        return Subscription(self, selection, after)

    def documents(self, view: type[Documents[D, Any]]) -> DocumentReader[D]:
        """See `hitherto.Store.documents`."""
        return DocumentReader(self, view)

    def totals(self, view: type[Totals[Any, Any]]) -> TotalsReader:
        """See `hitherto.Store.totals`."""
        return TotalsReader(self, view)

    def wait_for(
        self,
        projection: Projection[Any] | type[Projection[Any]] | str,
        position: int | None = None,
        *,
        timeout: float = 30.0,
    ) -> None:
        """See `hitherto.Store.wait_for`; for a task's last append read: this thread's."""
        self._run(self._async.wait_for, projection, position, timeout=timeout)

    def watermark(self) -> int:
        """See `hitherto.Store.watermark`."""
        return self._run(self._async.watermark)

    def health_check(self) -> Health:
        """See `hitherto.Store.health_check`."""
        return background().run(self, self._health)

    def _run(
        self, method: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        appended = _appended.get()

        async def operation() -> T:
            nonlocal appended
            await self._wake()
            try:
                return await method(*args, **kwargs)
            finally:
                appended = _appended.get()

        try:
            return background().run(self, operation)
        finally:
            _appended.set(appended)  # It was set in the operation's context, a copy of this one.

    def _open_later(self) -> None:
        """Be as after a fork: take a backend that is made and opened when it is next needed."""
        if self in background().opened:
            self.close()
        self._opened, self._background = True, Background()

    async def _wake(self) -> None:
        """After a fork: take a backend of this process's own, and open what was open."""
        here = background()
        if self in here.opened:
            return
        async with here.opening:
            if self._background is not here:
                made = self._make()
                self._async.backend, self._async.sealed = made.backend, made.sealed
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


class _Within(Store):
    """A store in a transaction of the caller's, whose connection blocks: nothing is awaited."""

    def __init__(self, outer: Store, inner: hitherto.Store) -> None:
        self._make = outer._make
        self._async = inner
        self._background = outer._background
        self._opened = False

    def health_check(self) -> Health:
        return self._run(self._async.health_check)

    def _run(
        self, method: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        work = method(*args, **kwargs)
        try:
            work.send(None)
        except StopIteration as ended:
            value: T = ended.value
            return value
        work.close()
        raise RuntimeError("what blocks has awaited something, which nobody does here")


async def _nothing() -> None:
    pass


def _with_parameters_of(
    original: Callable[P, object],
) -> Callable[[Callable[..., T]], Callable[P, T]]:
    def accept(function: Callable[..., T]) -> Callable[P, T]:
        return functools.wraps(original, assigned=())(function)

    return accept


@_with_parameters_of(hitherto.connect)
def connect(*args: Any, **settings: Any) -> Store:
    """A store; open it with ``with``. See `hitherto.connect`."""
    url = _lasting(args[0] if args else settings.pop("url", None))
    return Store(functools.partial(hitherto.connect, url, **settings))


def _lasting(url: str | None) -> str:
    """A URL that leads a child to the same file, though it goes elsewhere as daemons do."""
    url = Settings.from_environment(url=url).url
    path = url.removeprefix("sqlite:///")
    if path == url:
        return url
    with suppress(OSError):
        path = quote(str(Path(unquote(path)).absolute()))
    return f"sqlite:///{path}"
