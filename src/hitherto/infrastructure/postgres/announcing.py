"""`Announcer`: tells other processes that the log has grown, outside the appends."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from hitherto.infrastructure.postgres.connections import Connections
from hitherto.infrastructure.postgres.watermarks import passes, tell_failed

_BETWEEN = 0.005  # seconds from one announcement to the next, at the least
_PER_EVENT = 0.0002  # seconds more for each event that it told of: a busy log costs less so
_BUSY = 0.025  # seconds, the most that this makes
_SHARE = 3  # times as long as an announcement took, if that is longer: the server is busy
_HELD_BACK = 0.25  # seconds, the longest pause while somebody else's append holds it back
_OUTAGE = 5.0  # seconds, the longest pause while the server cannot be reached
_FAREWELL = 1.0  # seconds that the last announcement may take


class Announcer:
    """Announces the watermark when it has moved past what this process has appended.

    It works only while there is something to announce. While somebody else's append holds the
    watermark back, it looks again, so that nobody has to wait for a poll when that ends. What goes
    wrong is tried again, and an outage told to nobody: an append is not concerned, and readers also
    poll. What is no outage is logged.

    Args:
        connections: To the database.
        sql: The named queries, with the schema's name in its places.
        learned: Is told of the watermark, for those who wait in this process.
    """

    def __init__(
        self,
        connections: Connections,
        sql: Mapping[str, str],
        learned: Callable[[int], None],
    ) -> None:
        self._connections = connections
        self._query = sql["announce"]
        self._learned = learned
        self._pending = 0
        self._announced = 0
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Announce from now on."""
        self._closing = asyncio.Event()

    def appended(self, position: int) -> None:
        """This process has appended up to `position`; it costs next to nothing."""
        if position > self._pending:
            self._pending = position
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._announce())

    async def close(self) -> None:
        """Announce what is left to be, if that is soon done."""
        self._closing.set()
        task, self._task = self._task, None
        if task is not None:
            await asyncio.wait([task], timeout=_FAREWELL)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _announce(self) -> None:
        pause = _BETWEEN
        while self._pending:
            last = self._closing.is_set()
            start = time.perf_counter()
            took = 0.0
            try:
                told = await self._look()
            except Exception as error:  # noqa: BLE001  # It would be the last announcement.
                if not passes(error):
                    tell_failed("announce", error)
                pause = min(2 * pause, _OUTAGE)
            else:
                took = time.perf_counter() - start
                pause = (
                    min(2 * pause, _HELD_BACK)
                    if told is None
                    else min(_BETWEEN + told * _PER_EVENT, _BUSY)
                )
            if last:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(max(pause, _SHARE * took)):
                    await self._closing.wait()

    async def _look(self) -> int | None:
        """Announce the watermark; how many positions that tells of, None where it is held back."""
        pending, before = self._pending, self._announced
        async with self._connections.probe() as connection:
            watermark, held_back, *_ = await connection.fetchrow(self._query, before)
        self._announced = watermark
        self._learned(watermark)
        # Where nothing is held back and it is still below, the server has lost what was appended,
        # as after a failover.
        reached = watermark >= pending or not held_back
        if reached and self._pending == pending:
            self._pending = 0
        told = max(watermark - before, 0)
        return told if reached or told else None
