"""`Watermarks`: wakes those who wait for the log to grow, by LISTEN and by looking."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from hitherto.application.logging import log_event
from hitherto.errors import AggregateLocked, Unavailable
from hitherto.infrastructure.postgres.connections import Connections

POLL = 1.0  # seconds from one look to the next, behind LISTEN
POLL_ALONE = 0.1  # seconds, where there is no LISTEN
_LINGER = 10.0  # seconds since somebody last waited until nobody listens any more
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds until what has failed is tried again


class Watermarks:
    """What is known of the watermark, for any number of tasks that wait for it.

    They share one connection that listens and one task that looks, which are there while somebody
    waits and a little longer. What goes wrong is tried again; what is no outage is logged.

    Args:
        connections: To the database.
        sql: The named queries, with the schema's name in its places.
        listening: Where to LISTEN; None: where `connections` lead, if not through a pooler.
    """

    def __init__(
        self,
        connections: Connections,
        sql: Mapping[str, str],
        listening: Connections | None = None,
    ) -> None:
        self._connections = connections
        self._sql = sql
        self._listening = listening
        self._open = False
        self._known = 0
        self._waiters: dict[asyncio.Future[int], int] = {}
        self._asked_at = 0.0
        self._listens = False
        self._look_now = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Let tasks wait from now on."""
        self._open = True

    async def wait(self, after: int) -> int:
        """See `EventStore.wait`."""
        if not self._open:
            raise self._connections.closed()
        loop = asyncio.get_running_loop()
        self._asked_at = loop.time()
        if self._task is None or self._task.done():
            self._known = 0
            self._look_now = asyncio.Event()
            self._task = asyncio.create_task(self._follow())
        if self._known > after:
            return self._known
        waiter: asyncio.Future[int] = loop.create_future()
        self._waiters[waiter] = after
        try:
            return await waiter
        finally:
            del self._waiters[waiter]

    def learn(self, watermark: int) -> None:
        """It is at `watermark` now, or was a moment ago."""
        if watermark > self._known:
            self._known = watermark
            for waiter, after in self._waiters.items():
                if watermark > after and not waiter.done():
                    waiter.set_result(watermark)

    async def close(self) -> None:
        """Let go of the connection that listens; those who wait are told that it is over."""
        self._open = False
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(self._connections.closed())

    async def _follow(self) -> None:
        await self._serve()
        while self._waiters:  # They have come while the connection was being closed.
            await self._serve()

    async def _serve(self) -> None:
        """Listen, and look now and then, until nobody has waited for a while."""
        loop = asyncio.get_running_loop()
        listener = asyncio.create_task(self._listen())
        pause = 0.0
        try:
            while self._waiters or loop.time() - self._asked_at < _LINGER:
                self._look_now.clear()
                pause = await self._try_to_look(pause)
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(pause, POLL if self._listens else POLL_ALONE)):
                        await self._look_now.wait()
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)

    async def _try_to_look(self, pause: float) -> float:
        """Look; the seconds until then again, at the least, `pause` being those before."""
        try:
            await self._look()
        except Exception as error:  # noqa: BLE001  # Who waits would not be told that nobody looks.
            if passes(error):
                return 0.0
            tell_failed("look", error)
            return min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE)
        return 0.0

    async def _look(self) -> None:
        before = self._known
        async with self._connections.probe() as connection:
            watermark, _ = await connection.fetchrow(self._sql["watermark"])
        if self._known == before:
            # Even if that is less: after a failover it may be, and who is told too much asks again
            # and again.
            self._known = min(before, watermark)
        self.learn(watermark)

    async def _listen(self) -> None:
        listening = self._listening
        if listening is None:
            if self._connections.through_pooler:
                return
            listening = self._connections
        pause = _FIRST_PAUSE
        while True:
            try:
                async with listening.dedicated() as connection:
                    await self._hear(connection)
                    pause = _FIRST_PAUSE
            except Exception as error:  # noqa: BLE001  # Nobody would listen any more.
                if not passes(error):
                    tell_failed("listen", error)
            self._look_now.set()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _hear(self, connection: Any) -> None:
        """Listen until the connection breaks."""
        gone = asyncio.Event()

        def end(_connection: Any) -> None:
            gone.set()

        connection.add_termination_listener(end)
        channel = await connection.fetchval(self._sql["channel"])
        await connection.add_listener(channel, self._notified)
        self._listens = True
        self._look_now.set()  # What was announced before is not told again.
        try:
            await gone.wait()
        finally:
            self._listens = False

    def _notified(self, _connection: Any, _process: int, _channel: str, payload: str) -> None:
        with suppress(ValueError):  # Anybody may notify.
            self.learn(int(payload))


def passes(error: Exception) -> bool:
    """Whether a background task is to try again without a word: it is an outage, or a lock."""
    return error.transient if isinstance(error, Unavailable) else isinstance(error, AggregateLocked)


def tell_failed(what: str, error: Exception) -> None:
    """Log that a background task could not do something, for a reason that is no outage."""
    log_event(
        logging.getLogger("hitherto"),
        logging.ERROR,
        "watermark_failed",
        what=what,
        error=f"{type(error).__name__}: {error}",
    )
