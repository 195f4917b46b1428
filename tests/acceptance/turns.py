"""A proxy before a server, which counts round trips."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit


class Turns:
    """How often the client has spoken and then been answered.

    Attributes:
        url: How to reach the server through the proxy.
        count: Round trips since it was last set.
    """

    def __init__(self, server: str) -> None:
        self._server = urlsplit(server)
        self.url = ""
        self.count = 0

    async def connected(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Pass on what both sides say."""
        assert self._server.hostname is not None
        server, forth = await asyncio.open_connection(
            self._server.hostname, self._server.port or 5432
        )
        asked = False

        async def ask() -> None:
            nonlocal asked
            while said := await client.read(2**16):
                if not asked:
                    self.count += 1
                asked = True
                forth.write(said)
            forth.close()

        async def answer() -> None:
            nonlocal asked
            while said := await server.read(2**16):
                asked = False
                back.write(said)
            back.close()

        with suppress(ConnectionError):
            await asyncio.gather(ask(), answer())

    def through(self, port: int) -> None:
        """The proxy listens on this port of 127.0.0.1."""
        user, _, _ = self._server.netloc.rpartition("@")
        self.url = urlunsplit(self._server._replace(netloc=f"{user}@127.0.0.1:{port}"))


@asynccontextmanager
async def counted_turns(server: str) -> AsyncIterator[Turns]:
    """A counting proxy before `server`, while the block runs."""
    turns = Turns(server)
    listener = await asyncio.start_server(turns.connected, "127.0.0.1", 0)
    async with listener:
        turns.through(listener.sockets[0].getsockname()[1])
        yield turns
