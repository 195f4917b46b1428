"""`Endless`: operations that go on until they are stopped, as subscriptions and workers do."""

import asyncio
import atexit
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from hitherto.sync.store import Store


class Stoppable(Protocol):
    """What can be stopped on the loop's thread."""

    def stop(self) -> None:
        """Let what is being done return soon."""
        ...


S = TypeVar("S", bound=Stoppable)
T = TypeVar("T")

_PATIENCE = 5.0  # seconds that the exit waits


class Endless:
    """Runs one operation at a time, which any thread may stop.

    A fork, which waits for operations under way, breaks it off; it is begun anew thereafter.

    Args:
        store: On whose behalf.
    """

    def __init__(self, store: "Store") -> None:
        self.stopped: bool = False
        self._store = store
        self._resting = False
        self._stop_now: Callable[[], object] | None = None

    def run(self, make: Callable[[], S], work: Callable[[S], Awaitable[T]]) -> T | None:
        """Run it.

        Args:
            make: Makes what does the work; on the loop, each time that it is begun.
            work: Has it done.

        Returns:
            What the work gave; None if it was stopped before it was begun.
        """

        async def operation() -> T | None:
            loop, worker = asyncio.get_running_loop(), make()
            self._stop_now = lambda: loop.call_soon_threadsafe(worker.stop)
            try:
                return None if self.stopped or self._resting else await work(worker)
            finally:
                self._stop_now = None

        while True:
            with _forking:
                self._resting = False
                _under_way.add(self)
            try:
                result = self._store._run(operation)
            finally:
                _under_way.discard(self)
            if self.stopped or not self._resting:
                return result

    def stop(self) -> None:
        """End it; may be called from any thread, and from a signal handler."""
        self.stopped = True
        self._break_off()

    def rest(self) -> None:
        """Break it off for now."""
        self._resting = True
        self._break_off()

    def _break_off(self) -> None:
        stop_now = self._stop_now
        if stop_now is not None:
            stop_now()


_under_way: set[Endless] = set()
_forking = threading.Lock()


def _before_fork() -> None:
    _forking.acquire()
    for each in list(_under_way):
        each.rest()


def _after_fork() -> None:
    _forking.release()


def _in_child() -> None:
    _under_way.clear()
    _forking.release()


def _at_exit() -> None:
    for each in list(_under_way):
        each.stop()
    end = time.monotonic() + _PATIENCE
    while _under_way and time.monotonic() < end:
        time.sleep(0.005)


# Registered after the background loop's own, and so called before them, which wait.
if sys.platform != "win32":
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
# What atexit calls comes after the executors' end, without which SQLite's stores can do nothing.
getattr(threading, "_register_atexit", atexit.register)(_at_exit)
