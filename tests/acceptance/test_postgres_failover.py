"""Several hosts, of which one can be written: the store finds it, and goes with it."""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from tests.acceptance.postgres_stores import opened
from tests.acceptance.postgres_writers import Reader, an_append
from tests.servers import PostgresCluster, new_schema, start_cluster, start_standby

from hitherto import EventStoreUnavailable
from hitherto.application.records import Append
from hitherto.infrastructure.postgres import PostgresStore

pytestmark = pytest.mark.integration


@dataclass
class Pair:
    """A primary that waits for its standby before it acknowledges."""

    primary: PostgresCluster
    standby: PostgresCluster

    def url(self, *, primary_first: bool = True) -> str:
        """Both hosts, as a user would name them."""
        ports = [self.primary.port, self.standby.port]
        hosts = ",".join(f"127.0.0.1:{port}" for port in (ports if primary_first else ports[::-1]))
        return f"postgresql://postgres:secret@{hosts}/postgres"

    @contextmanager
    def standby_falling_behind(self) -> Iterator[None]:
        """The standby takes nothing from the primary meanwhile."""
        query = "SELECT pid FROM pg_stat_wal_receiver"
        receiver = int(self.standby.run("psql", "-XAtqd", self.standby.url(), "-c", query))
        os.kill(receiver, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(receiver, signal.SIGCONT)


@contextmanager
def started_pair() -> Iterator[Pair]:
    """Two servers of their own."""
    primary = start_cluster(durable=True)
    try:
        standby = start_standby(primary)
        try:
            primary.run(
                "psql", "-Xqd", primary.url(),
                "-c", "ALTER SYSTEM SET synchronous_standby_names = '*'",
                "-c", "SELECT pg_reload_conf()",
            )  # fmt: skip
            query = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
            while primary.psql(query) != "1":
                time.sleep(0.01)
            yield Pair(primary, standby)
        finally:
            standby.stop()
    finally:
        primary.stop()


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Two servers for the tests that leave them as they are."""
    with started_pair() as pair:
        yield pair


class Hanging:
    """A host that accepts connections and never answers."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.host = f"127.0.0.1:{self.socket.getsockname()[1]}"

    def times_asked(self) -> int:
        """How many connections were made to it."""
        count = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                self.socket.accept()[0].close()
                count += 1
        return count


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    """Such a host."""
    host = Hanging()
    yield host
    host.socket.close()


@pytest.mark.parametrize("primary_first", [True, False])
async def test_the_store_opens_on_the_primary_in_whichever_order_the_hosts_are(
    pair: Pair, primary_first: bool, postgres_schema: str
) -> None:
    """And its health says that all promises hold."""
    async with opened(pair.url(primary_first=primary_first), postgres_schema) as store:
        await asyncio.gather(*(store.append([an_append(f"a{n}")]) for n in range(8)))
        assert len((await store.read_all()).events) == 8
        health = await store.health_check()
        assert (health.status, health.problems) == ("healthy", ())


async def test_a_host_that_hangs_does_not_hide_the_others(
    pair: Pair, hanging: Hanging, postgres_schema: str
) -> None:
    """As after a power failure: each host has the connect timeout to itself."""
    url = pair.url(primary_first=False).replace("@", f"@{hanging.host},")
    async with asyncio.timeout(20), opened(url, postgres_schema, connect_timeout=1) as store:
        await asyncio.gather(*(store.append([an_append(f"a{n}")]) for n in range(4)))
    assert hanging.times_asked() == 1, "the host that answered should be asked first"


async def test_when_no_host_can_be_written_each_is_told_with_its_cause(
    pair: Pair, hanging: Hanging
) -> None:
    """Without the password."""
    standby = f"127.0.0.1:{pair.standby.port}"
    url = f"postgresql://postgres:secret@127.0.0.1:1,{hanging.host},{standby}/postgres"
    with pytest.raises(EventStoreUnavailable) as refused:
        async with opened(url, connect_timeout=1):
            pass
    told = str(refused.value)
    causes = {"127.0.0.1:1": "Errno", hanging.host: "no answer in time", standby: "a standby"}
    for host, cause in causes.items():
        assert f"{host}/postgres: {cause}" in told.replace("[", "")
    assert "secret" not in told


async def test_a_standby_alone_is_refused(pair: Pair, postgres_schema: str) -> None:
    """It takes no appends, and does not know the appends in flight that readers must wait for."""
    url = pair.standby.url()
    with pytest.raises(EventStoreUnavailable, match="standby"):
        async with opened(url, postgres_schema):
            pass
    async with opened(pair.primary.url(), postgres_schema) as primary:
        await primary.append([an_append("a")])
    await _replayed(pair)
    async with opened(url, postgres_schema) as store:
        for refused in (store.append([an_append("b")]), store.read_all(), store.watermark()):
            with pytest.raises(EventStoreUnavailable, match="standby"):
                await refused
        assert len((await store.load("a", fingerprint=None)).events) == 1
        health = await store.health_check()
        assert health.status == "unhealthy"
        assert "standby" in health.problems[0]


async def _replayed(pair: Pair) -> None:
    """Wait until the standby shows what the primary has."""
    query = "SELECT pg_current_wal_lsn()"
    wanted = pair.primary.run("psql", "-XAtqd", pair.primary.url(), "-c", query).strip()
    query = f"SELECT pg_last_wal_replay_lsn() >= '{wanted}'"
    async with asyncio.timeout(30):
        while "t" not in pair.standby.run("psql", "-XAtqd", pair.standby.url(), "-c", query):
            await asyncio.sleep(0.02)


@dataclass
class Client:
    """Appends without end, and sends each again until it is acknowledged."""

    store: PostgresStore
    name: str
    acknowledged: int = 0
    failures: int = 0
    stopped: bool = False

    async def run(self) -> None:
        while not self.stopped:
            append = an_append(self.name, self.acknowledged, 2)
            while not await self._sent(append):
                await asyncio.sleep(0.05)
            self.acknowledged += 2

    async def _sent(self, append: Append) -> bool:
        try:
            await self.store.append([append])
        except EventStoreUnavailable:
            self.failures += 1
            return False
        return True


async def test_after_a_failover_an_open_store_goes_on_and_nothing_acknowledged_is_lost() -> None:
    """The standby is promoted; nobody opens the store again."""
    schema = new_schema()
    with started_pair() as pair:
        async with opened(pair.url(), schema, connect_timeout=5) as store:
            clients = [Client(store, f"a{n}") for n in range(4)]
            running = [asyncio.create_task(client.run()) for client in clients]
            await _all_advance(clients)
            with pair.standby_falling_behind():
                await asyncio.sleep(0.3)  # what was acknowledged now would be lost
                await asyncio.to_thread(pair.primary.control, "stop", "-m", "immediate")
            before = [client.acknowledged for client in clients]
            assert (await store.health_check()).status == "unhealthy"
            await asyncio.to_thread(pair.standby.promote)
            failures = [client.failures for client in clients]
            await _all_advance(clients)
            # One try that was under way, and one for each connection that broke unseen.
            assert all(c.failures - f <= 5 for c, f in zip(clients, failures, strict=True))
            for client in clients:
                client.stopped = True
            await asyncio.gather(*running)
            for client, acknowledged in zip(clients, before, strict=True):
                versions = [event.version for event in await store.read(client.name)]
                assert versions == list(range(1, client.acknowledged + 1))
                assert len(versions) > acknowledged
            reader = Reader(store)
            while await reader.poll():
                pass
            assert len(reader.seen) == sum(client.acknowledged for client in clients)
            problems = (await store.health_check()).problems
            assert any("no standby is synchronous" in problem for problem in problems)


async def _all_advance(clients: list[Client]) -> None:
    """Wait until each has had more appends acknowledged."""
    marks = [client.acknowledged + 4 for client in clients]
    async with asyncio.timeout(30):
        while any(c.acknowledged < mark for c, mark in zip(clients, marks, strict=True)):
            await asyncio.sleep(0.02)
