"""The proxy does its harm at the very byte, and nothing before it is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from tests.faults.proxy import Fault, Harm, Link, Proxy, Way

SENT = bytes(range(256)) * 400
PLACES = [0, 1, 1000, len(SENT)]


class Echo:
    """A server that sends everything back, and a client of it through the proxy."""

    def __init__(self) -> None:
        self.received = b""
        self.reset = False
        self.gone = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(1 << 16):
                self.received += chunk
                writer.write(chunk)
                await writer.drain()
        except ConnectionResetError:
            self.reset = True
        finally:
            self.gone.set()
            writer.close()


@pytest.fixture
def echo() -> Echo:
    """What it has received."""
    return Echo()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    """Before the echo."""
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Proxy(f"tcp://user@127.0.0.1:{port}/name") as proxy:
        yield proxy
    server.close()


class Client:
    """Connected through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def received(self, seconds: float = 10.0) -> bytes:
        """All that comes until the connection ends, or for so long."""
        found = b""
        try:
            async with asyncio.timeout(seconds):
                while chunk := await self.reader.read(1 << 16):
                    found += chunk
        except (ConnectionError, TimeoutError):
            pass
        return found


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[Client]:
    """One that has sent a byte, and has it back."""
    _, _, place = proxy.url.removesuffix("/name").partition("@")
    host, _, port = place.partition(":")
    client = Client(*await asyncio.open_connection(host, int(port)))
    client.writer.write(b"!")
    assert await client.reader.readexactly(1) == b"!"
    yield client
    client.writer.close()


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that has to come."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.001)


def armed(proxy: Proxy, way: Way, after: int, harm: Harm) -> Link:
    (link,) = proxy.links
    link.arm(Fault(way=way, after=after, harm=harm))
    return link


@pytest.mark.parametrize("after", PLACES)
async def test_a_request_is_cut_at_the_byte(
    proxy: Proxy, client: Client, echo: Echo, after: int
) -> None:
    """The server has received just so many, and both sides notice."""
    link = armed(proxy, "request", after, "close")
    client.writer.write(SENT)
    async with asyncio.timeout(10):
        await client.received()
        await echo.gone.wait()
    assert echo.received == b"!" + SENT[:after]
    assert proxy.struck == [link]


async def test_a_reset_is_an_error_on_both_sides(proxy: Proxy, client: Client, echo: Echo) -> None:
    """Unlike a connection that is closed in order."""
    armed(proxy, "request", 3, "reset")
    client.writer.write(SENT[:10])
    async with asyncio.timeout(10):
        with pytest.raises(ConnectionResetError):
            while await client.reader.read(1):
                pass
        await echo.gone.wait()
    assert echo.reset


@pytest.mark.parametrize("after", PLACES)
async def test_an_answer_is_cut_at_the_byte(
    proxy: Proxy, client: Client, echo: Echo, after: int
) -> None:
    """The client has received just so many of what the server sent."""
    armed(proxy, "answer", after, "close")
    client.writer.write(SENT)
    assert await client.received() == SENT[:after]
    async with asyncio.timeout(10):
        await echo.gone.wait()


async def test_what_is_stalled_goes_on_though_its_sender_has_left(
    proxy: Proxy, client: Client, echo: Echo
) -> None:
    """As in a network that comes back."""
    link = armed(proxy, "request", 3, "stall")
    client.writer.write(SENT[:1000])
    await until(lambda: proxy.struck == [link])
    assert await client.received(0.2) == b""
    client.writer.close()
    assert not echo.gone.is_set()
    link.resume()
    async with asyncio.timeout(10):
        await echo.gone.wait()
    assert echo.received == b"!" + SENT[:1000]


async def test_dropped_answers_never_come(proxy: Proxy, client: Client, echo: Echo) -> None:
    """The server has done what it was asked."""
    armed(proxy, "answer", 3, "drop")
    for part in (SENT[:10], SENT[10:20]):
        client.writer.write(part)
    await until(lambda: echo.received == b"!" + SENT[:20])
    assert await client.reader.readexactly(3) == SENT[:3]
    assert await client.received(0.2) == b""


async def test_the_next_connection_is_harmed_from_its_first_byte_on(
    proxy: Proxy, client: Client
) -> None:
    """Its set-up counts."""
    proxy.arm_next(Fault(way="answer", after=1, harm="close"))
    _, _, place = proxy.url.removesuffix("/name").partition("@")
    host, _, port = place.partition(":")
    other = Client(*await asyncio.open_connection(host, int(port)))
    other.writer.write(b"12")
    assert await other.received() == b"1"
    other.writer.close()
    client.writer.write(b"3")
    assert await client.reader.readexactly(1) == b"3"
