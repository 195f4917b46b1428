"""One event loop a process, in a background thread: `hitherto.sync` runs on it."""

import asyncio
import atexit
import contextlib
import importlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from hitherto.application.logging import log_event
from hitherto.application.ports import Backend
from hitherto.errors import HithertoError

T = TypeVar("T")

_PATIENCE = 5.0  # seconds that a fork or the exit waits for operations, and then for closing


class WouldDeadlock(HithertoError, RuntimeError):
    """A blocking call was made on the background loop's own thread, and would wait for itself."""


class Background:
    """An event loop in a daemon thread, which the first operation starts.

    A fork waits for the operations under way and closes what is open: a process that opens an
    SQLite file while it has inherited it open takes no locks of its own, and loses commits. What
    cannot be closed in time is left open, with a warning.

    Attributes:
        opened: The backends that are open in this process, by owner. The thread's frame holds
            this object, and after a fork that frame stays in the child for ever: so the child
            never finalises, and thereby runs, what could not be closed in time.
        opening: Held while a backend is opened again.
    """

    def __init__(self) -> None:
        self.opened: dict[object, Backend] = {}
        self.opening: asyncio.Lock = asyncio.Lock()
        self._gate = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread_id: int | None = None
        self._running: dict[asyncio.Task[Any], object] = {}
        self._unclosed: list[Backend] = []

    def run(self, owner: object, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run `operation` on the loop, with the caller's context variables; wait for its end.

        An exception that interrupts the waiting, such as KeyboardInterrupt, cancels it.

        Args:
            owner: Whose backend it uses.
            operation: What to run.

        Raises:
            WouldDeadlock: The caller is the loop's own thread.
        """
        if threading.get_ident() == self._thread_id:
            raise WouldDeadlock(
                "hitherto.sync was called on the thread of its own event loop, and would wait for "
                "itself: move the call out of apply, the hook or the codec that makes it"
            )
        ended = threading.Event()
        tasks: list[asyncio.Task[T]] = []

        def start() -> None:
            task = loop.create_task(operation())
            tasks.append(task)
            self._running[task] = owner
            task.add_done_callback(done)

        def done(task: asyncio.Task[T]) -> None:
            del self._running[task]
            ended.set()

        def cancel() -> None:
            tasks[0].cancel()

        with self._gate:
            loop = self._started()
            loop.call_soon_threadsafe(start)
        try:
            ended.wait()
        except BaseException:
            loop.call_soon_threadsafe(cancel)
            ended.wait()
            with contextlib.suppress(BaseException):
                tasks.pop().result()  # Else asyncio would log an error as never retrieved.
            raise
        task = tasks.pop()
        try:
            return task.result()
        finally:
            del task  # An error's traceback holds this frame, which must not hold the error.

    def pause(self) -> None:
        """Let operations end, close what is open, and start nothing until `resume`."""
        self._gate.acquire()
        if self._loop is None or threading.get_ident() == self._thread_id:
            return
        resting = asyncio.run_coroutine_threadsafe(self._rest(), self._loop)
        try:
            with contextlib.suppress(TimeoutError):
                resting.result(2 * _PATIENCE)
        finally:
            resting.cancel()
        left = len(self.opened) + len(self._unclosed)
        if left:
            logger = logging.getLogger("hitherto")
            log_event(logger, logging.WARNING, "stores_left_open", count=left)

    def resume(self) -> None:
        """Start operations again."""
        with contextlib.suppress(RuntimeError):  # An interrupted pause does not hold the gate.
            self._gate.release()

    async def _rest(self) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=_PATIENCE)
        for owner in self.opened.keys() - self._running.values():
            backend = self.opened.pop(owner)
            self._unclosed.append(backend)
            with contextlib.suppress(Exception):
                await backend.close()
            self._unclosed.remove(backend)

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            loop = asyncio.new_event_loop()
            thread = threading.Thread(
                target=self._serve, args=(loop,), name="hitherto.sync", daemon=True
            )
            thread.start()
            self._thread_id = thread.ident
            self._loop = loop
        return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            # asyncio lets these two out of the loop; the caller gets them from its task.
            with contextlib.suppress(KeyboardInterrupt, SystemExit):
                loop.run_forever()


_backgrounds: dict[int, Background] = {}


def background() -> Background:
    """This process's own; a forked child gets another one, which is not started yet."""
    process = os.getpid()  # `setdefault` is atomic: a lock could be inherited held.
    return _backgrounds.get(process) or _backgrounds.setdefault(process, Background())


def _pause() -> None:
    background().pause()


def _resume() -> None:
    background().resume()


# Before a fork hooks run from the last to the first: what locks the thread pools, which backends
# may need to close, has to come after ours.
importlib.import_module("concurrent.futures.thread")
if sys.platform != "win32":
    os.register_at_fork(before=_pause, after_in_parent=_resume)
atexit.register(_resume)
atexit.register(_pause)
