"""A TCP proxy before a server that does harm at an exact byte."""

import asyncio
import socket
import struct
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit, urlunsplit

import msgspec

Way = Literal["request", "answer"]  # from the client to the server, or back
Harm = Literal["close", "reset", "stall", "drop"]

_CHUNK = 1 << 16
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER, for no time at all


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What is to happen, and when.

    Attributes:
        way: Whose bytes count.
        after: How many still pass; 0: the next one does not.
        harm: "close" and "reset" end the connection on both sides, in order or not; "stall"
            keeps all bytes back, both ways, with the connection open; "drop" swallows those of
            this way.
    """

    way: Way
    after: int
    harm: Harm


class Link:
    """One connection through the proxy.

    Attributes:
        passed: How many bytes went each way since it was made, or `mark` was called.
    """

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        delay: Callable[[], float],
        struck: "list[Link]",
    ) -> None:
        self.passed: dict[Way, int] = {"request": 0, "answer": 0}
        self._client, self._server = client, server
        self._delay = delay
        self._struck = struck
        self._fault: Fault | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._dropping: set[Way] = set()

    def mark(self) -> None:
        """Count from here."""
        self.passed = {"request": 0, "answer": 0}

    def arm(self, fault: Fault) -> None:
        """Let a fault happen, counting from here."""
        self.mark()
        self._fault = fault

    def disarm(self) -> None:
        """Let nothing happen any more."""
        self._fault = None

    def resume(self) -> None:
        """End a stall: what was kept back goes its way, though its sender may be gone."""
        self._flowing.set()

    def cut(self, *, reset: bool = False) -> None:
        """End the connection on both sides.

        What has been forwarded arrives all the same; but who is slow to read it may lose it when
        the connection is reset.
        """
        for _, writer in (self._client, self._server):
            if reset and (connection := writer.get_extra_info("socket")) is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.close()
        self._flowing.set()

    async def run(self) -> None:
        """Forward both ways until one side has closed, or the link is cut."""
        pumps = [
            asyncio.ensure_future(self._pump("request", self._client[0], self._server[1])),
            asyncio.ensure_future(self._pump("answer", self._server[0], self._client[1])),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            await self._flowing.wait()  # What was kept back is not lost because its sender left.
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self.cut()

    async def _pump(
        self, way: Way, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        while chunk := await source.read(_CHUNK):
            if delay := self._delay():
                await asyncio.sleep(delay)
            await self._flowing.wait()
            fault = self._fault
            if fault is None or fault.way != way or not self._due(fault, chunk):
                await self._forward(way, chunk, sink)
                continue
            passing = fault.after - self.passed[way]
            await self._forward(way, chunk[:passing], sink)
            while sink.transport.get_write_buffer_size():  # A reset would lose it.
                await asyncio.sleep(0.001)
            self._fault = None
            self._strike(fault)
            await self._flowing.wait()
            await self._forward(way, chunk[passing:], sink)

    def _due(self, fault: Fault, chunk: bytes) -> bool:
        passed = self.passed[fault.way] + len(chunk)
        return passed >= max(fault.after, 1)

    def _strike(self, fault: Fault) -> None:
        self._struck.append(self)
        match fault.harm:
            case "stall":
                self._flowing.clear()
            case "drop":
                self._dropping.add(fault.way)
            case harm:
                self.cut(reset=harm == "reset")

    async def _forward(self, way: Way, chunk: bytes, sink: asyncio.StreamWriter) -> None:
        if not chunk or way in self._dropping or sink.is_closing():
            return
        sink.write(chunk)
        await sink.drain()
        self.passed[way] += len(chunk)


class Proxy:
    """Listens on a port of its own, and forwards to a server; use it with ``async with``.

    Args:
        server: A URL with a host and a port.
        delay: Tells for each chunk the seconds to hold it up.

    Attributes:
        links: The connections that are open, oldest first.
        struck: Those on which a fault has happened, in that order.
    """

    def __init__(self, server: str, *, delay: Callable[[], float] = lambda: 0.0) -> None:
        self.links: list[Link] = []
        self.struck: list[Link] = []
        self._behind = urlsplit(server)
        self._delay = delay
        self._ambush: Fault | None = None
        self._listening: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The server's URL, through the proxy."""
        assert self._listening is not None
        host, port = self._listening.sockets[0].getsockname()
        credentials, at, _ = self._behind.netloc.rpartition("@")
        return urlunsplit(self._behind._replace(netloc=f"{credentials}{at}{host}:{port}"))

    def arm_next(self, fault: Fault) -> None:
        """Arm the next connection that is made, so that the bytes of its set-up count."""
        self._ambush = fault

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._listening is not None
        self._listening.close()
        for link in self.links:
            link.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            server = await asyncio.open_connection(self._behind.hostname, self._behind.port)
        except OSError:
            writer.close()
            return
        link = Link((reader, writer), server, self._delay, self.struck)
        self.links.append(link)
        if self._ambush is not None:
            link.arm(self._ambush)
            self._ambush = None
        try:
            await link.run()
        finally:
            self.links.remove(link)
