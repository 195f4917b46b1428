"""`Deadline`: ends what takes too long."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Deadline:
    """Gives operations the same number of seconds each, with one timer for them all.

    They end in the order in which they began, so the timer need only look at the oldest.
    (`asyncio.timeout` makes a timer for each, and takes six times as long.)

    Args:
        seconds: How long an operation may take.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._running: dict[int, tuple[float, asyncio.Task[object]]] = {}
        self._expired: set[int] = set()
        self._number = 0

    async def run(self, work: Awaitable[T]) -> T:
        """Await `work`, in the caller's task.

        Raises:
            TimeoutError: It was cancelled, because it took too long.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._timer, self._running = loop, None, {}
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine is run by a task
        running = self._running
        cancelled = task.cancelling()  # before it began, by others
        self._number = number = self._number + 1
        running[number] = (loop.time() + self.seconds, task)
        if self._timer is None:
            self._timer = loop.call_later(self.seconds, self._expire)
        try:
            return await work
        except asyncio.CancelledError:
            if number in self._expired and task.cancelling() <= cancelled + 1:
                raise TimeoutError from None
            raise
        finally:
            running.pop(number, None)
            if number in self._expired:
                self._expired.remove(number)
                task.uncancel()

    def _expire(self) -> None:
        """Cancel what is overdue, and come back for the next."""
        self._timer = None
        assert self._loop is not None  # noqa: S101  # it has called this
        now = self._loop.time()
        for number, (ends, task) in list(self._running.items()):
            if ends > now:
                self._timer = self._loop.call_at(ends, self._expire)
                return
            del self._running[number]
            self._expired.add(number)
            task.cancel()
