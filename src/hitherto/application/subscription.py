"""`Subscription`: the log as it was and as it goes on, each event once and in order."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from itertools import chain
from typing import TYPE_CHECKING, Any, Self, TypeVar

from hitherto.application.logging import log_event
from hitherto.application.records import StoredEvent, check_page
from hitherto.application.selection import Page, Selection
from hitherto.domain.event import Event
from hitherto.domain.recorded import RecordedEvent
from hitherto.errors import EventStoreUnavailable

if TYPE_CHECKING:
    from hitherto.application.store import Store

T = TypeVar("T")

PAGE = 500
_TURN = 100  # events between two turns of the event loop, which reads ahead meanwhile
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds


class Subscription:
    """An async iterator over the events after a position: those that there are, then what comes.

    Each event is given once and in order. It reads one page ahead of whoever handles the events,
    and waits for them. It outlives outages of the store. One task iterates over it; `stop` may be
    called by any other::

        async with store.subscribe(types=[OrderPlaced], after=checkpoint) as orders:
            async for recorded in orders:
                ...
                checkpoint = orders.checkpoint

    Attributes:
        checkpoint: Every matching event up to it has been given, the latest one included: where
            to go on from another time. It moves past events that do not match, too.
    """

    def __init__(self, store: "Store", selection: Selection, after: int = 0) -> None:
        check_page(after, 1)
        self.checkpoint: int = after
        self._store = store
        self._selection = selection
        self._stopped = False
        self._waiting = False
        self._nudged = False
        self._step: asyncio.Future[Any] | None = None
        self._ahead: asyncio.Future[Page[StoredEvent]] | None = None
        self._events = self._each()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.stop()
        if not getattr(self._events, "ag_running", False):  # Else another task's ends by itself.
            await self._events.aclose()

    def __aiter__(self) -> AsyncIterator[RecordedEvent[Event]]:
        """Begin, or go on after the latest event that was given."""
        self._ahead = None
        self._events = self._each()
        return self._events

    def stop(self) -> None:
        """End the iteration: after the event or page that is being handled, none is given."""
        self._stopped = True
        self._drop_tasks()

    def _drop_tasks(self) -> None:
        for task in (self._step, self._ahead):
            if task is not None:
                task.add_done_callback(_ignored)
                task.cancel()

    def nudge(self) -> None:
        """Have `pages` give a page, an empty one where nothing new has come."""
        self._nudged = True
        if self._waiting and self._step is not None:
            self._step.cancel()

    async def pages(self, limit: int = PAGE) -> AsyncGenerator[Page[RecordedEvent[Event]]]:
        """The same in pages; one comes also where only the checkpoint has moved.

        Args:
            limit: The most events in a page.

        Raises:
            EventSerializationFailed: An event is of a type that the code does not know.
            EventStoreUnavailable: The store was closed, or refuses for good.
        """
        decode = self._selection.decode
        while (page := await self._next(limit)) is not None:
            events = list(chain.from_iterable(map(decode, page.events)))
            self.checkpoint = page.checkpoint
            yield Page(events=events, checkpoint=page.checkpoint, full=page.full)

    async def _each(self) -> AsyncGenerator[RecordedEvent[Event]]:
        while (page := await self._next(PAGE)) is not None:
            for number, stored in enumerate(page.events, 1):
                if not number % _TURN:
                    await asyncio.sleep(0)
                parts = self._selection.decode(stored)
                for part, recorded in enumerate(parts, 1):
                    if part == len(parts):  # Who goes on from here has been given all of them.
                        self.checkpoint = stored.position
                    yield recorded
                    if self._stopped:
                        return
            self.checkpoint = page.checkpoint

    async def _next(self, limit: int) -> Page[StoredEvent] | None:
        """The next page that has something to tell; None once it is stopped."""
        pause = _FIRST_PAUSE
        while True:
            try:
                ahead, self._ahead = self._ahead, None
                page = await self._run(ahead or self._selection.read(self.checkpoint, limit))
                if page is None:
                    return None
                if page.full and not self._stopped:
                    reading = self._selection.read(page.checkpoint, limit)
                    self._ahead = asyncio.ensure_future(reading)
                if page.events or page.checkpoint > self.checkpoint:
                    return page
                if self._nudged:
                    self._nudged = False
                    return page
                self._waiting = True
                moved = await self._run(self._store.backend.wait(self.checkpoint))
                self._waiting = False
                if moved is None and self._stopped:
                    return None
            except EventStoreUnavailable as error:
                self._waiting = False
                if not error.transient:
                    raise
                logger = self._store.logger
                log_event(logger, logging.WARNING, "subscription_waits", error=str(error))
                if await self._run(asyncio.sleep(pause, result=True)) is None:
                    return None
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _run(self, step: Awaitable[T]) -> T | None:
        """Await a step; None if it was stopped before that was done."""
        task = self._step = asyncio.ensure_future(step)
        if self._stopped:
            self.stop()
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            self._drop_tasks()
            raise
        self._step = None
        return None if self._stopped or task.cancelled() else task.result()


def _ignored(task: "asyncio.Future[Any]") -> None:
    """Nobody asks any more how it ended."""
    if not task.cancelled():
        task.exception()
