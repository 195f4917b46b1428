"""What is told when a server cannot be reached, refuses, or does not keep the promises."""

import asyncio
import os
import signal
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import asyncpg
import pytest
from tests.acceptance.postgres_stores import opened, with_database
from tests.acceptance.postgres_writers import an_append
from tests.servers import PostgresCluster, start_cluster

from hitherto import EventStoreUnavailable, HithertoError
from hitherto.infrastructure.postgres import PostgresStore
from hitherto.infrastructure.postgres.announcing import Announcer
from hitherto.infrastructure.resilience import Resilient

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def strict() -> Iterator[PostgresCluster]:
    """A server of its own that asks for passwords over TCP, and keeps every promise."""
    cluster = start_cluster(durable=True)
    cluster.run("psql", "-Xqd", cluster.url(), "-c", "ALTER ROLE postgres PASSWORD 'right s3cret'")
    (cluster.data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    cluster.control("reload")
    yield cluster
    cluster.stop()


def with_password(cluster: PostgresCluster, password: str) -> str:
    """Its URL."""
    return cluster.url().replace("postgres@", f"postgres:{password}@")


async def test_an_unreachable_server_is_named_with_the_cause() -> None:
    """Nobody listens on this port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(EventStoreUnavailable, match=f"{where}.*Connect call failed") as refused:
            async with opened(f"postgresql://app:s3cret@{where}/shop"):
                pass
    assert isinstance(refused.value.__cause__, OSError)
    assert_no_secret(refused.value)


async def test_a_server_that_does_not_answer_is_unavailable_after_the_timeout() -> None:
    """Rather than wait for the network to give up."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://app:s3cret@127.0.0.1:{silent.getsockname()[1]}/shop"
        async with asyncio.timeout(8):
            with pytest.raises(EventStoreUnavailable, match="no answer in time") as refused:
                async with opened(url, connect_timeout=0.5):
                    pass
    assert_no_secret(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:s3cret@nowhere.invalid/shop",
        "postgresql://app:s3cret@127.0.0.1:1,127.0.0.1:2/shop",
        "postgresql://127.0.0.1:1/shop?user=app&password=s3cret",
        "postgresql://app:s3cret@127.0.0.1:port/shop",
        "postgresql://app:/s3cret@127.0.0.1:1/shop",
        "postgresql://app:p/s3cret@127.0.0.1:1/shop",
        "postgresql://app:p?s3cret@127.0.0.1:1/shop",
        "postgresql://app:p?s3cret=1@127.0.0.1:1/shop",
        "postgresql://app:p#s3cret@127.0.0.1:1/shop",
        "postgresql://app:p,s3cret@127.0.0.1:1/shop",
        "postgresql://app:[s3cret@127.0.0.1:1/shop",
        "postgresql://app:[s3cret@127.0.0.1:1,127.0.0.1:2/shop",
        "postgresql://app:s3cret%zz@127.0.0.1:1/shop",
        "postgresql://app:@s3cret@127.0.0.1:1/shop",
        "postgresql://app:s3cret@127.0.0.1:1,127.0.0.1:2,127.0.0.1/shop?port=1,2",
        "postgresql://app:s3cret@127.0.0.1,127.0.0.1/shop?port=1,2",
        "postgresql://app:s3cret@127.0.0.1:1/shop?sslmode=nonsense",
        "postgresql://app:s3cret@127.0.0.1:1/shop?target_session_attrs=nonsense",
        "postgresql://app:s3cret@127.0.0.1:99999/shop",
        "postgres:app:s3cret@127.0.0.1:1/shop",
        "mysql://app:s3cret@127.0.0.1:1/shop",
    ],
)
async def test_a_password_shows_in_no_error_of_connecting(url: str) -> None:
    """Whatever is wrong with the URL, errors are logged."""
    with pytest.raises(HithertoError) as refused:
        async with opened(url, connect_timeout=5):
            pass
    assert_no_secret(refused.value)


@pytest.mark.parametrize("database", ["postgres", "missing"])
async def test_a_wrong_password_is_told_without_it(strict: PostgresCluster, database: str) -> None:
    """The server names the user, not the password."""
    url = with_database(with_password(strict, "s3cret"), database)
    with pytest.raises(EventStoreUnavailable, match="password authentication failed") as refused:
        async with opened(url):
            pass
    assert f"127.0.0.1:{strict.port}" in str(refused.value)
    assert_no_secret(refused.value)


async def test_a_missing_database_is_told(strict: PostgresCluster) -> None:
    """With the server that lacks it."""
    url = with_database(with_password(strict, "right%20s3cret"), "no_such_database")
    with pytest.raises(EventStoreUnavailable, match=r"no_such_database.*does not exist") as refused:
        async with opened(url):
            pass
    assert_no_secret(refused.value)


async def test_the_health_check_tells_what_makes_appends_less_than_durable(
    strict: PostgresCluster, postgres_schema: str
) -> None:
    """A server as it comes is healthy; one that may forget what it acknowledged is not."""
    url = with_password(strict, "right%20s3cret")
    async with opened(url, postgres_schema) as store:
        health = await store.health_check()
        assert (health.status, health.problems) == ("healthy", ())
    url += "?synchronous_commit=off"  # as ALTER ROLE or ALTER DATABASE would set it
    async with opened(url, postgres_schema) as store:
        health = await store.health_check()
        assert health.status == "degraded"
        assert [problem.partition(" is off")[0] for problem in health.problems] == [
            "synchronous_commit"
        ]


async def test_the_health_check_tells_of_a_server_that_does_not_wait_for_its_disk() -> None:
    """The settings that tests are run with."""
    cluster = start_cluster()
    try:
        async with opened(cluster.url()) as store:
            health = await store.health_check()
    finally:
        cluster.stop()
    assert health.status == "degraded"
    assert [problem.partition(" is off")[0] for problem in health.problems] == [
        "fsync",
        "full_page_writes",
        "synchronous_commit",
    ]


async def test_a_store_outlives_a_restart_of_its_server(
    strict: PostgresCluster, postgres_schema: str
) -> None:
    """While the server is down each operation says so; afterwards they work by themselves."""
    async with opened(with_password(strict, "right%20s3cret"), postgres_schema) as store:
        await asyncio.gather(*(store.append([an_append(f"a{n}")]) for n in range(4)))
        await asyncio.to_thread(strict.control, "stop", "-m", "immediate")
        try:
            append = an_append("b")
            with pytest.raises(EventStoreUnavailable, match=str(strict.port)) as refused:
                await store.append([append])
            assert_no_secret(refused.value)
            health = await store.health_check()
            assert health.status == "unhealthy"
            assert str(strict.port) in health.problems[0]
        finally:
            await asyncio.to_thread(strict.start)
        assert await store.append([append]) is not None
        assert len((await store.read_all()).events) == 5
        assert (await store.health_check()).status == "healthy"


async def test_a_connection_that_was_cut_while_it_was_idle_is_replaced(
    postgres_url: str, postgres_schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told of it, whether it waited in the pool or beside it."""
    # To announce takes a connection, some time or other.
    monkeypatch.setattr(Announcer, "appended", lambda _self, _position: None)
    async with opened(postgres_url, postgres_schema, max_connections=8) as store:
        await asyncio.gather(*(store.append([an_append(f"a{n}")]) for n in range(8)))
        await asyncio.gather(*(store.read("a1") for _ in range(8)))
        other = await asyncpg.connect(postgres_url)
        for connection in store._connections._hot:
            await other.fetchval("SELECT pg_terminate_backend($1)", connection.get_server_pid())
        await other.close()
        cut = len(store._connections._hot)
        assert cut
        async with asyncio.timeout(30):
            while _size(store) > 8 - cut:
                await asyncio.sleep(0.01)
        await asyncio.gather(*(store.append([an_append(f"a{n}", 1)]) for n in range(8)))
        await asyncio.gather(*(store.read("a1") for _ in range(8)))
        assert len((await store.read_all()).events) == 16


def _size(store: PostgresStore) -> int:
    use = store._connections.use()
    assert use is not None
    return int(use.size)


@pytest.mark.parametrize("callers", [1, 20])
async def test_a_caller_can_give_up_on_a_server_that_hangs(
    strict: PostgresCluster, postgres_schema: str, callers: int
) -> None:
    """At once, though not even the cancellation is answered; when it goes on, so does the store."""
    url = with_password(strict, "right%20s3cret")
    async with opened(url, postgres_schema, connect_timeout=60) as store:
        await store.read("a")  # so that a connection is open
        appends = [an_append(f"a{number}") for number in range(callers)]
        with hanging(strict, url):
            async with asyncio.timeout(8):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await asyncio.gather(*(store.append([each]) for each in appends))
        async with asyncio.timeout(8):
            await asyncio.gather(*(store.append([each]) for each in appends))
        assert len((await store.read_all()).events) == callers


async def test_a_group_can_be_given_up_on_a_server_that_hangs(
    strict: PostgresCluster, postgres_schema: str
) -> None:
    """In the middle of its transaction, too; the deadline is such a caller."""
    url = with_password(strict, "right%20s3cret")
    async with opened(url, postgres_schema, connect_timeout=60) as behind:
        await behind.read("a")  # so that a connection is open
        large = an_append("a", count=300)
        with hanging(strict, url):
            async with asyncio.timeout(8):
                with pytest.raises(EventStoreUnavailable, match=r"no answer to append"):
                    await Resilient(behind, timeout=0.5).append([large])
        async with asyncio.timeout(8):
            assert await behind.append([large]) == (await behind.watermark(),)


async def test_a_store_can_be_closed_though_its_server_hangs(
    strict: PostgresCluster, postgres_schema: str
) -> None:
    """Its connections are dropped."""
    url = with_password(strict, "right%20s3cret")
    store = PostgresStore(url, schema=postgres_schema, max_connections=8)
    await store.open()
    await asyncio.gather(*(store.read("a") for _ in range(8)))
    with hanging(strict, url), hurried(store):
        async with asyncio.timeout(8):
            await store.close()


async def test_readers_wait_for_a_lock_on_the_tables(
    postgres_url: str, postgres_schema: str
) -> None:
    """As a migration takes it: nobody is told of an aggregate that is held."""
    async with opened(postgres_url, postgres_schema) as behind:
        await behind.append([an_append("a")])
        admin = await asyncpg.connect(postgres_url)
        store = Resilient(behind, timeout=8)
        async with admin.transaction():
            await admin.execute(f"LOCK TABLE {postgres_schema}.event_store")
            with pytest.raises(EventStoreUnavailable, match="the tables are locked") as locked:
                await behind.read("a")
            assert locked.value.transient
            readers = [asyncio.create_task(store.read("a")), asyncio.create_task(store.read_all())]
            await asyncio.sleep(0.3)
        await asyncio.gather(*readers)
        await admin.close()


async def test_a_host_that_hangs_is_asked_last_the_next_time(
    postgres_url: str, postgres_schema: str
) -> None:
    """Though its caller did not wait for it to run into the connect timeout."""
    server = postgres_url.rpartition("@")[2].partition("/")[0]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with opened(postgres_url, postgres_schema):
            pass
        hosts = f"{server},127.0.0.1:{silent.getsockname()[1]}"
        url = postgres_url.replace(server, hosts)
        async with opened(url, postgres_schema, connect_timeout=60) as store:
            store._connections._hosts.reverse()  # What served so far is gone.
            async with asyncio.timeout(8):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await store.read("a")
                await store.read("a")


async def test_a_wrong_password_is_no_passing_failure_on_any_of_several_hosts(
    strict: PostgresCluster,
) -> None:
    """Nothing is gained by trying again."""
    where = f"127.0.0.1:{strict.port}"
    with pytest.raises(EventStoreUnavailable, match="no host can be written") as refused:
        async with opened(f"postgresql://postgres:wrong@{where},{where}/postgres"):
            pass
    assert not refused.value.transient


async def test_the_system_notices_a_server_that_is_gone_without_a_word(
    postgres_url: str, postgres_schema: str
) -> None:
    """The connection breaks when what was sent stays unconfirmed, or silence unexplained."""
    async with opened(postgres_url, postgres_schema) as store:
        await store.read("a")
        transport = store._connections._hot[0]._transport
        sock: socket.socket = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 5
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000


async def test_the_health_check_of_a_server_that_hangs_answers(
    strict: PostgresCluster, postgres_schema: str
) -> None:
    """Within the connect timeout: that the server does not answer, or has left no connection."""
    url = with_password(strict, "right%20s3cret")
    async with opened(url, postgres_schema, max_connections=1) as store:
        await store.read("a")  # so that a connection is open
        with hanging(strict, url), hurried(store):
            async with asyncio.timeout(8):
                while_idle = await store.health_check()
        await store.read("a")
        with hanging(strict, url), hurried(store):
            append = asyncio.create_task(store.append([an_append("b")]))
            await asyncio.sleep(0.1)
            async with asyncio.timeout(8):
                while_busy = await store.health_check()
        await append
        for health in (while_idle, while_busy):
            assert health.status == "unhealthy"
            assert "no answer in time" in health.problems[0]
            assert str(strict.port) in health.problems[0]
        assert (await store.health_check()).status == "healthy"


def test_two_tasks_may_open_a_store_at_once_under_one_event_loop_after_another(
    strict: PostgresCluster, postgres_schema: str
) -> None:
    """As where each job of a worker runs a loop of its own."""
    store = PostgresStore(with_password(strict, "right%20s3cret"), schema=postgres_schema)

    async def job() -> None:
        await asyncio.gather(store.open(), store.open())
        await store.read("a")
        await store.close()

    asyncio.run(job())
    asyncio.run(job())


@contextmanager
def hanging(cluster: PostgresCluster, url: str) -> Iterator[None]:
    """The server and its clients' processes answer nothing meanwhile."""
    query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
    pids = [int(pid) for pid in cluster.run("psql", "-XAtqd", url, "-c", query).split()]
    pids.append(int((cluster.data / "postmaster.pid").read_text().split()[0]))

    def tell_all(told: signal.Signals) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):  # psql's own is gone
                os.kill(pid, told)

    tell_all(signal.SIGSTOP)
    try:
        yield
    finally:
        tell_all(signal.SIGCONT)


@contextmanager
def hurried(store: PostgresStore) -> Iterator[None]:
    """Its connect timeout is short meanwhile; before and after it may take its time."""
    timeout, store._connections._timeout = store._connections._timeout, 0.5
    try:
        yield
    finally:
        store._connections._timeout = timeout


def assert_no_secret(error: BaseException) -> None:
    """Neither in the error, nor in what a log shows of it and of its causes."""
    link: BaseException | None = error
    while link is not None:
        shown = [str(link), repr(link), *traceback.format_exception_only(link)]
        assert not [text for text in shown if "s3cret" in text]
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
