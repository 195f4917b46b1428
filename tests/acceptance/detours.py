"""A way to a server that can be slow, go dead, or begin to lead to another server."""

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress


class Detour:
    """Takes connections on a port of its own, and passes on what they say.

    Args:
        leads_to: The port that connections lead to.
        rate: Bytes that it passes on in a second, each way.

    Attributes:
        port: Where it listens.
        leads_to: The port that the next connections lead to.
    """

    def __init__(self, leads_to: int, *, rate: float = math.inf) -> None:
        self.leads_to = leads_to
        self._rate = rate
        self.port = 0
        self._passing: set[asyncio.Task[None]] = set()
        self._ends: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def there(self) -> AsyncGenerator["Detour"]:
        """It is there until the block is left."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.go_dead()
            for each in self._ends:
                each.transport.abort()
            await asyncio.gather(*self._passing, return_exceptions=True)

    def go_dead(self) -> None:
        """What is connected hears nothing any more, not even an end; the next are passed on."""
        for each in self._passing:
            each.cancel()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.leads_to)
        self._ends += (writer, there_writer)
        for source, target in ((reader, there_writer), (there_reader, writer)):
            self._passing.add(asyncio.create_task(_pass_on(source, target, self._rate)))


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter, rate: float) -> None:
    with suppress(OSError):
        while told := await source.read(65_536):
            target.write(told)
            await target.drain()
            await asyncio.sleep(len(told) / rate)
        target.close()
