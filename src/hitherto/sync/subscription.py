"""`Subscription`, without await."""

from collections import deque
from collections.abc import Generator
from itertools import chain
from typing import TYPE_CHECKING, Self

from hitherto.application import subscription as _asynchronous
from hitherto.application.records import StoredEvent, check_page
from hitherto.application.selection import Page, Selection
from hitherto.domain.event import Event
from hitherto.domain.recorded import RecordedEvent
from hitherto.sync.endless import Endless

if TYPE_CHECKING:
    from hitherto.sync.store import Store


class Subscription:
    """An iterator over the events after a position: those that there are, then what comes.

    It blocks until an event comes. One thread iterates over it; `stop` may be called by any other,
    or by a signal handler. Between events it holds nothing open::

        with store.subscribe(types=[OrderPlaced], after=checkpoint) as orders:
            for recorded in orders:
                ...
                checkpoint = orders.checkpoint

    See `hitherto.Subscription`.

    Attributes:
        checkpoint: Every matching event up to it has been given, the latest one included: where
            to go on from another time. It moves past events that do not match, too.
    """

    def __init__(self, store: "Store", selection: Selection, after: int = 0) -> None:
        check_page(after, 1)
        self.checkpoint: int = after
        self._store = store
        self._selection = selection
        self._endless = Endless(store)
        self._page: Page[StoredEvent] | None = None
        self._left: deque[StoredEvent] = deque()
        self._parts: deque[RecordedEvent[Event]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> RecordedEvent[Event]:
        while not self._endless.stopped:
            if self._parts:
                recorded = self._parts.popleft()
                if not self._parts:
                    self.checkpoint = recorded.position
                return recorded
            if self._left:
                self._parts.extend(self._selection.decode(self._left[0]))
                self._left.popleft()
                continue
            if self._page is not None:
                self.checkpoint = self._page.checkpoint
            self._page = self._next(_asynchronous.PAGE)
            if self._page is not None:
                self._left.extend(self._page.events)
        raise StopIteration

    def stop(self) -> None:
        """End the iteration: after the event or page that is being handled, none is given."""
        self._endless.stop()

    def pages(self, limit: int = _asynchronous.PAGE) -> Generator[Page[RecordedEvent[Event]]]:
        """See `hitherto.Subscription.pages`."""
        while (page := self._next(limit)) is not None:
            events = list(chain.from_iterable(map(self._selection.decode, page.events)))
            self.checkpoint = page.checkpoint
            yield Page(events=events, checkpoint=page.checkpoint, full=page.full)

    def _next(self, limit: int) -> Page[StoredEvent] | None:
        """The next page that has something to tell; None once it is stopped."""

        async def read(reading: _asynchronous.Subscription) -> Page[StoredEvent] | None:
            async with reading:
                return await reading._next(limit)

        page = self._endless.run(self._make, read)
        return None if self._endless.stopped else page

    def _make(self) -> _asynchronous.Subscription:
        """One that reads a single page: what it would read ahead could not outlive a fork."""
        return _asynchronous.Subscription(self._store._async, self._selection, self.checkpoint)
