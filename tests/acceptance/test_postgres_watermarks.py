"""Who waits for the log is woken by NOTIFY; polling stands behind it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import asyncpg
import pytest
from tests.acceptance.postgres_stores import opened
from tests.acceptance.postgres_writers import an_append, writers
from tests.acceptance.test_postgres_role_script import placed
from tests.servers import PgBouncer, new_schema, pgbouncer_program

from hitherto import AggregateLocked, EventStoreError, EventStoreUnavailable, SchemaMismatch
from hitherto.infrastructure.postgres import PostgresStore, announcing, watermarks
from hitherto.infrastructure.postgres.connections import Connections

pytestmark = pytest.mark.integration

NEVER = 3600.0  # seconds
SOON = 20.0  # seconds, far below the above


@pytest.fixture(params=["postgres_url", "debian_postgres_url"])
def url(request: pytest.FixtureRequest) -> str:
    """The newest server, and an older one."""
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def server(url: str) -> AsyncIterator[Any]:
    """A session of the superuser's there."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@pytest.fixture
def schema() -> str:
    """One that does not exist yet."""
    return new_schema()


@pytest.fixture(scope="module")
def pooled_url(postgres_url: str) -> Iterator[str]:
    """The newest server, through a pooler in transaction mode."""
    program = pgbouncer_program()
    if program is None:
        pytest.skip("no pgbouncer here: apt install pgbouncer")
    pooler = PgBouncer(program, postgres_url, pool_size=3)
    yield pooler.url
    pooler.stop()


@pytest.fixture
def no_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is woken, is woken by NOTIFY."""
    monkeypatch.setattr(watermarks, "POLL", NEVER)
    monkeypatch.setattr(watermarks, "POLL_ALONE", NEVER)


@pytest.fixture
def never_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is woken, has looked."""
    monkeypatch.setattr(announcing.Announcer, "appended", lambda _self, _position: None)


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """Wait until it holds; what it then gives."""
    async with asyncio.timeout(SOON):
        while not (found := await condition()):
            await asyncio.sleep(0.02)
    return found


@asynccontextmanager
async def waiting(
    store: PostgresStore, after: int = 0, *, server: Any = None
) -> AsyncIterator["asyncio.Task[int]"]:
    """A task that waits; with a `server`, the store listens there already."""
    task = asyncio.create_task(store.wait(after))
    await asyncio.sleep(0)
    if server is not None:
        await until(lambda: listeners(server, store))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def listeners(server: Any, store: PostgresStore) -> list[int]:
    """The processes that listen for this log."""
    table = store._schema.sql("{schema_text}.event_store")
    rows = await server.fetch(
        "SELECT pid FROM pg_stat_activity WHERE query ="
        f""" format('LISTEN "hitherto.%s"', '{table}'::regclass::oid) AND state = 'idle'"""
    )
    return [row[0] for row in rows]


# ---- NOTIFY ----


@pytest.mark.usefixtures("no_polls")
async def test_an_append_of_another_store_wakes_who_waits(
    url: str, schema: str, server: Any
) -> None:
    """Long before it would look by itself."""
    async with opened(url, schema) as one, opened(url, schema) as other:
        async with waiting(one, server=server) as task:
            (position,) = await other.append([an_append("a")])
            assert await asyncio.wait_for(task, SOON) == position
        for group in ([an_append("b")], [an_append("c"), an_append("d")]):
            async with waiting(one, position) as task:
                position = max(await other.append(group))
                assert await asyncio.wait_for(task, SOON) > 1
        async with waiting(one, position) as task:
            assert await other.import_events([placed("imported")]) == 1
            assert await asyncio.wait_for(task, SOON) > position


_APPENDING = """
import asyncio, sys
sys.path.insert(0, sys.argv[3])
from hitherto.infrastructure.postgres import PostgresStore
from tests.acceptance.postgres_writers import an_append

async def main(url, schema):
    store = PostgresStore(url, schema=schema)
    await store.open()
    await store.append([an_append("elsewhere")])
    await store.close()

asyncio.run(main(*sys.argv[1:3]))
"""


@pytest.mark.usefixtures("no_polls")
async def test_the_last_append_of_a_process_that_ends_is_announced(
    url: str, schema: str, server: Any, pytestconfig: pytest.Config
) -> None:
    """Closing a store does not leave it to the polls."""
    async with opened(url, schema) as store, waiting(store, server=server) as task:
        arguments = [url, schema, str(pytestconfig.rootpath)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "ignore", "-c", _APPENDING, *arguments
        )
        assert await process.wait() == 0
        assert await asyncio.wait_for(task, SOON) == 1


@pytest.mark.usefixtures("no_polls")
async def test_a_watermark_that_was_held_back_wakes_when_it_is_let_go(
    url: str, schema: str, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it was a transaction of nobody who would tell."""
    looks, look = 0, announcing.Announcer._look

    async def counted(self: announcing.Announcer) -> int | None:
        nonlocal looks
        looks += 1
        return await look(self)

    async def looked_again() -> bool:
        return looks > 2

    monkeypatch.setattr(announcing.Announcer, "_look", counted)
    async with (
        opened(url, schema) as one,
        opened(url, schema) as other,
        writers(url, schema, 1) as (holder,),
        waiting(one, server=server) as task,
    ):
        await holder("BEGIN")
        await holder.append("slow")
        (position,) = await other.append([an_append("quick")])
        await until(looked_again)
        assert not task.done()
        await holder("COMMIT")
        assert await asyncio.wait_for(task, SOON) == position


@pytest.mark.usefixtures("no_polls")
async def test_a_listener_that_was_cut_off_listens_again(
    url: str, schema: str, server: Any
) -> None:
    """And looks for what it has missed."""
    async with (
        opened(url, schema) as one,
        opened(url, schema) as other,
        waiting(one, server=server) as task,
    ):
        (process,) = await listeners(server, one)
        await server.execute("SELECT pg_terminate_backend($1)", process)
        (position,) = await other.append([an_append("a")])
        assert await asyncio.wait_for(task, SOON) == position
        async with waiting(one, position) as again:
            await until(lambda: _others(server, one, process))
            await other.append([an_append("b")])
            assert await asyncio.wait_for(again, SOON) > position


async def _others(server: Any, store: PostgresStore, process: int) -> list[int]:
    return [each for each in await listeners(server, store) if each != process]


@pytest.mark.usefixtures("no_polls")
async def test_what_was_committed_before_it_listens_is_noticed(
    url: str, schema: str, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its look at the log and LISTEN, when nobody would have told it."""
    may_connect, dedicated = asyncio.Event(), Connections.dedicated
    has_looked, look = asyncio.Event(), watermarks.Watermarks._look

    @asynccontextmanager
    async def slow(self: Connections) -> AsyncIterator[Any]:
        await may_connect.wait()
        async with dedicated(self) as connection:
            yield connection

    async def noted(self: watermarks.Watermarks) -> None:
        await look(self)
        has_looked.set()

    monkeypatch.setattr(Connections, "dedicated", slow)
    monkeypatch.setattr(watermarks.Watermarks, "_look", noted)
    async with opened(url, schema) as one, opened(url, schema) as other, waiting(one) as task:
        await asyncio.wait_for(has_looked.wait(), SOON)
        (position,) = await other.append([an_append("a")])
        await until(lambda: _has_announced(other))
        assert not task.done()
        may_connect.set()
        assert await asyncio.wait_for(task, SOON) == position


async def _has_announced(store: PostgresStore) -> bool:
    return not store._announcer._pending


@pytest.mark.usefixtures("no_polls")
async def test_many_that_wait_share_one_listener(url: str, schema: str, server: Any) -> None:
    """And one task that looks; each is woken past its own position."""
    async with opened(url, schema) as one, opened(url, schema) as other:
        tasks = [asyncio.create_task(one.wait(number % 2)) for number in range(20)]
        assert len(await until(lambda: listeners(server, one))) == 1
        await other.append([an_append("a")])
        await asyncio.wait(tasks[::2], timeout=SOON)
        assert [task.done() for task in tasks] == [True, False] * 10
        await other.append([an_append("b")])
        assert set(await asyncio.gather(*tasks)) <= {1, 2}


async def test_who_is_told_too_much_waits_again_after_the_next_look(
    url: str, schema: str, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failover that lost events, or where somebody else notifies: it does not spin."""
    monkeypatch.setattr(watermarks, "POLL", 0.05)
    async with opened(url, schema) as store, waiting(store, server=server) as task:
        oid = await server.fetchval(f"SELECT '{schema}.event_store'::regclass::oid")
        for payload in ("", "nonsense", "9" * 5000, "1000"):
            await server.execute("SELECT pg_notify($1, $2)", f"hitherto.{oid}", payload)
        assert await asyncio.wait_for(task, SOON) == 1000

        async def waits() -> bool:
            again = asyncio.create_task(store.wait(0))
            done, _ = await asyncio.wait([again], timeout=0.1)
            again.cancel()
            await asyncio.gather(again, return_exceptions=True)
            return not done

        await until(waits)
        async with waiting(store) as again:
            await store.append([an_append("a")])
            assert await asyncio.wait_for(again, SOON) == 1


# ---- polling ----


@pytest.mark.usefixtures("never_announced")
async def test_what_nobody_announces_is_found_by_looking(
    url: str, schema: str, server: Any
) -> None:
    """As where another tool appends, or a process dies before it could tell."""
    async with (
        opened(url, schema) as store,
        writers(url, schema, 1) as (writer,),
        waiting(store, server=server) as task,
    ):
        await writer.append("a")
        assert await asyncio.wait_for(task, SOON) == 1


@pytest.mark.usefixtures("never_announced")
async def test_an_outage_is_waited_for(url: str, schema: str, server: Any) -> None:
    """All its connections are cut again and again; who waits is told of nothing but the event."""
    cut = (
        "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity "  # until it has ended
        "WHERE application_name = $1"
    )
    named = f"{url}{'&' if '?' in url else '?'}application_name={schema}"
    async with opened(named, schema) as store, waiting(store, server=server) as task:
        for _ in range(5):
            assert await server.fetch(cut, schema)
            await asyncio.sleep(0.05)
        await store.append([an_append("a")])
        assert await asyncio.wait_for(task, SOON) == 1


@pytest.mark.usefixtures("never_announced")
async def test_behind_a_pooler_it_looks(pooled_url: str, schema: str, admin: Any) -> None:
    """LISTEN would be of the connection, which others use a moment later."""
    async with opened(pooled_url, schema) as one, opened(pooled_url, schema) as other:
        async with waiting(one) as task:
            await other.append([an_append("a")])
            assert await asyncio.wait_for(task, SOON) == 1
        assert await listeners(admin, one) == []


@pytest.mark.usefixtures("no_polls")
async def test_behind_a_pooler_it_listens_at_a_direct_url(
    pooled_url: str, postgres_url: str, schema: str, admin: Any
) -> None:
    """As if there were no pooler."""
    async with (
        opened(pooled_url, schema, listen_url=postgres_url) as one,
        opened(pooled_url, schema) as other,
        waiting(one, server=admin) as task,
    ):
        await other.append([an_append("a")])
        assert await asyncio.wait_for(task, SOON) == 1


async def test_a_direct_url_that_leads_nowhere_leaves_it_to_the_polls(
    url: str, schema: str
) -> None:
    """A store that can be appended to can also be waited on."""
    nowhere = "postgresql://127.0.0.1:1/nowhere"
    async with (
        opened(url, schema, listen_url=nowhere) as one,
        opened(url, schema) as other,
        waiting(one) as task,
    ):
        await other.append([an_append("a")])
        assert await asyncio.wait_for(task, SOON) == 1


# ---- the store's life ----


async def test_who_waits_on_a_store_that_is_closed_is_told(url: str, schema: str) -> None:
    """At once, and so is who begins to."""
    store = PostgresStore(url, schema=schema)
    with pytest.raises(EventStoreUnavailable, match="closed") as refused:
        await store.wait(0)
    assert not refused.value.transient
    await store.open()
    tasks = [asyncio.create_task(store.wait(0)) for _ in range(3)]
    await asyncio.sleep(0.05)
    await store.close()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(result, EventStoreUnavailable)
        assert not result.transient
    with pytest.raises(EventStoreUnavailable, match="closed"):
        await store.wait(0)
    await store.open()
    async with waiting(store) as task:
        await store.append([an_append("a")])
        assert await asyncio.wait_for(task, SOON) == 1
    await store.close()


async def test_nobody_listens_where_nobody_has_waited_for_a_while(
    url: str, schema: str, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is let go; it comes back for the next."""
    monkeypatch.setattr(watermarks, "_LINGER", 0.0)
    monkeypatch.setattr(watermarks, "POLL", 0.05)
    async with opened(url, schema) as store:
        for number in range(2):
            async with waiting(store, number, server=server) as task:
                await store.append([an_append(f"a{number}")])
                assert await asyncio.wait_for(task, SOON) == number + 1

            async def gone() -> bool:
                return not await listeners(server, store)

            await until(gone)


@pytest.mark.usefixtures("never_announced")
async def test_who_comes_while_the_listener_is_let_go_is_not_forgotten(
    url: str, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes a moment to close a connection."""
    monkeypatch.setattr(watermarks, "_LINGER", 0.0)
    monkeypatch.setattr(watermarks, "POLL", 0.05)
    closing, may_close, dedicated = asyncio.Event(), asyncio.Event(), Connections.dedicated

    @asynccontextmanager
    async def slow(self: Connections) -> AsyncIterator[Any]:
        async with dedicated(self) as connection:
            try:
                yield connection
            finally:
                closing.set()
                await may_close.wait()

    monkeypatch.setattr(Connections, "dedicated", slow)
    async with opened(url, schema) as store:
        async with waiting(store):
            await until(lambda: _listens(store))
        await asyncio.wait_for(closing.wait(), SOON)
        async with waiting(store) as task:
            may_close.set()
            await store.append([an_append("a")])
            assert await asyncio.wait_for(task, SOON) == 1


async def _listens(store: PostgresStore) -> bool:
    return store._watermarks._listens


async def test_an_announcer_that_cannot_announce_does_not_concern_the_append(
    url: str, schema: str, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it keep the store from being closed; once it can, it does."""

    async def blind(_self: watermarks.Watermarks) -> None:
        """Whoever is woken, is woken by NOTIFY."""

    monkeypatch.setattr(watermarks.Watermarks, "_look", blind)
    async with opened(url, schema) as one, opened(url, schema) as other:
        query = other._announcer._query
        other._announcer._query = "SELECT 1 / 0"
        async with waiting(one, server=server) as task:
            await other.append([an_append("a")])
            await asyncio.sleep(0.05)
            assert not task.done()
            other._announcer._query = query
            assert await asyncio.wait_for(task, SOON) == 1


async def test_announcements_end_where_the_log_lost_what_was_appended(
    url: str, schema: str
) -> None:
    """As after a failover; the next append is announced again."""
    async with opened(url, schema) as store:
        await store.append([an_append("a")])
        store._announcer.appended(1_000)
        await until(lambda: _has_announced(store))
        async with waiting(store, 1) as task:
            await store.append([an_append("b")])
            assert await asyncio.wait_for(task, SOON) == 2


# ---- what nobody has thought of ----


def failing(
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    name: str,
    times: float,
    kind: Callable[[str], Exception] = RuntimeError,
) -> list[float]:
    """A method raises so many times, if not told otherwise no error of hitherto's; when."""
    method, calls = getattr(owner, name), list[float]()

    def call(self: Any) -> Any:
        calls.append(asyncio.get_running_loop().time())
        if len(calls) <= times:
            raise kind(f"{name} {len(calls)}")
        return method(self)

    monkeypatch.setattr(owner, name, call)
    return calls


def wrong_password(text: str) -> Exception:
    return EventStoreUnavailable(text, transient=False)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]


@pytest.mark.usefixtures("never_announced")
@pytest.mark.parametrize("kind", [RuntimeError, EventStoreError, SchemaMismatch, wrong_password])
async def test_a_look_that_fails_for_any_reason_is_not_the_last(
    url: str,
    schema: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: Callable[[str], Exception],
) -> None:
    """Who waits would wait for ever; it is logged."""
    failing(monkeypatch, watermarks.Watermarks, "_look", 2, kind)
    async with opened(url, schema) as store, waiting(store) as task:
        await store.append([an_append("a")])
        assert await asyncio.wait_for(task, SOON) == 1
    name = type(kind("")).__name__
    assert told(caplog) == [
        f"watermark_failed what='look' error='{name}: _look {number}'" for number in (1, 2)
    ]


@pytest.mark.parametrize("kind", [EventStoreUnavailable, AggregateLocked])
async def test_what_passes_by_itself_is_told_to_nobody(
    url: str,
    schema: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: Callable[[str], Exception],
) -> None:
    """An outage is in the log already, of those whom it concerns."""
    looks = failing(monkeypatch, watermarks.Watermarks, "_look", 2, kind)
    listens = failing(monkeypatch, Connections, "dedicated", 2, kind)
    announcements = failing(monkeypatch, announcing.Announcer, "_look", 2, kind)

    async def all_went_on() -> bool:
        return all(len(each) > 2 for each in (looks, listens, announcements))

    async with opened(url, schema) as store, waiting(store, 1):
        await store.append([an_append("a")])
        await until(all_went_on)
    assert told(caplog) == []


async def test_a_direct_url_that_is_wrong_is_told(
    url: str, schema: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody else would tell of it."""
    wrong = f"{url.partition('?')[0].rpartition('/')[0]}/nowhere"

    async def logged() -> bool:
        return bool(told(caplog))

    async with opened(url, schema, listen_url=wrong) as store, waiting(store):
        await until(logged)
    assert "what='listen'" in told(caplog)[0]
    assert "nowhere" in told(caplog)[0]


async def test_looks_that_fail_again_and_again_become_rare(
    url: str, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that fills up helps nobody."""
    monkeypatch.setattr(watermarks, "POLL", 0.0)
    monkeypatch.setattr(watermarks, "POLL_ALONE", 0.0)
    calls = failing(monkeypatch, watermarks.Watermarks, "_look", float("inf"))

    async def deaf(_self: watermarks.Watermarks) -> None:
        """To listen would end a pause early."""

    async def four() -> bool:
        return len(calls) >= 4

    monkeypatch.setattr(watermarks.Watermarks, "_listen", deaf)
    async with opened(url, schema) as store, waiting(store):
        await until(four)
    pauses = [after - before for before, after in pairwise(calls[:4])]
    assert all(found > least for found, least in zip(pauses, (0.09, 0.19, 0.39), strict=True))


@pytest.mark.usefixtures("no_polls")
async def test_listening_that_fails_for_any_reason_is_tried_again(
    url: str,
    schema: str,
    server: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Else all would be left to the polls."""
    failing(monkeypatch, Connections, "dedicated", 2)
    async with (
        opened(url, schema) as one,
        opened(url, schema) as other,
        waiting(one, server=server) as task,
    ):
        await other.append([an_append("a")])
        assert await asyncio.wait_for(task, SOON) == 1
    assert told(caplog) == [
        f"watermark_failed what='listen' error='RuntimeError: dedicated {number}'"
        for number in (1, 2)
    ]


@pytest.mark.usefixtures("no_polls")
@pytest.mark.parametrize("kind", [RuntimeError, EventStoreError, SchemaMismatch, wrong_password])
async def test_an_announcement_that_fails_for_any_reason_is_made_up_for(
    url: str,
    schema: str,
    server: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: Callable[[str], Exception],
) -> None:
    """Though nothing is appended any more."""
    failing(monkeypatch, announcing.Announcer, "_look", 2, kind)
    async with (
        opened(url, schema) as one,
        opened(url, schema) as other,
        waiting(one, server=server) as task,
    ):
        await other.append([an_append("a")])
        assert await asyncio.wait_for(task, SOON) == 1
    name = type(kind("")).__name__
    assert told(caplog) == [
        f"watermark_failed what='announce' error='{name}: _look {number}'" for number in (1, 2)
    ]


async def test_after_an_outage_it_is_announced_soon(
    url: str, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the server was not answering; that says nothing of how busy it is."""
    loop, look = asyncio.get_running_loop(), announcing.Announcer._look
    failed_at, looked_at = list[float](), list[float]()

    async def hang(self: announcing.Announcer) -> int | None:
        if not failed_at:
            await asyncio.sleep(1)
            failed_at.append(loop.time())
            raise EventStoreUnavailable("no answer in time")
        looked_at.append(loop.time())
        return await look(self)

    monkeypatch.setattr(announcing.Announcer, "_look", hang)
    async with opened(url, schema) as store:
        await store.append([an_append("a")])
        await until(lambda: _has_announced(store))
    assert looked_at[0] - failed_at[0] < 2.5  # three times that second, if it had counted
