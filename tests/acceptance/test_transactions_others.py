"""Transactions of callers' beside others: who follows the log, who writes, who waits."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import anyio
import asyncpg
import psycopg
import pytest
import pytest_asyncio
from tests.acceptance.callers import (
    Caller,
    by_async_session,
    by_asyncpg,
    by_django,
    by_psycopg,
    by_psycopg_async,
    connected,
    settled,
)
from tests.acceptance.test_transactions import deposit, opened
from tests.contract.projecting import Account, Deposited
from tests.servers import PgBouncer, new_schema, pgbouncer_program

import hitherto.sync
from hitherto import (
    AggregateLocked,
    AggregateVersionConflict,
    ConfigurationError,
    EventStoreUnavailable,
    Repository,
    Store,
    connect,
)
from hitherto.infrastructure.postgres import watermarks

pytestmark = pytest.mark.integration

_SCHEMA = new_schema()


@pytest_asyncio.fixture
async def store(postgres_url: str) -> AsyncGenerator[Store]:
    """For those who are not in the caller's transaction."""
    async with connect(postgres_url, schema=_SCHEMA) as store:
        Repository(store, Account)
        yield store


@pytest_asyncio.fixture(params=[by_asyncpg, by_async_session, by_psycopg])
async def caller(
    request: pytest.FixtureRequest, postgres_url: str, store: Store
) -> AsyncGenerator[Caller]:
    async with request.param(postgres_url, _SCHEMA) as found:
        yield found


@pytest.fixture
def id() -> str:  # noqa: A001
    """An account's."""
    return uuid4().hex


async def _ids(store: Store, after: int) -> tuple[list[str], int]:
    page = await store.backend.read_all(after=after)
    return [event.aggregate_id for event in page.events], page.checkpoint


async def test_a_consumer_is_given_events_after_the_commit_and_in_order_with_others(
    caller: Caller, store: Store, id: str
) -> None:
    """What others commit meanwhile, at higher positions, waits for it; nothing is left out."""
    accounts, others = caller.repository(Account), Repository(store, Account)
    _, checkpoint = await _ids(store, 0)
    async with caller.transaction() as handed:
        await settled(accounts.within(handed).save(opened(f"{id}-1")))
        await others.save(opened(f"{id}-2"))
        assert await _ids(store, checkpoint) == ([], checkpoint)
        await settled(accounts.within(handed).save(opened(f"{id}-3")))
        assert await _ids(store, checkpoint) == ([], checkpoint)
    seen, checkpoint = await _ids(store, checkpoint)
    assert seen == [f"{id}-1", f"{id}-2", f"{id}-3"]
    with pytest.raises(ZeroDivisionError):
        async with caller.transaction() as handed:
            await settled(accounts.within(handed).save(opened(f"{id}-4")))
            await others.save(opened(f"{id}-5"))
            assert await _ids(store, checkpoint) == ([], checkpoint)
            raise ZeroDivisionError
    assert (await _ids(store, checkpoint))[0] == [f"{id}-5"]
    # Nobody waits for what was rolled back.
    await settled(caller.store.wait_for("none", timeout=20))


async def test_a_follower_is_woken_after_the_commit(
    caller: Caller, store: Store, id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a look of its own: by the process whose transaction it was."""
    monkeypatch.setattr(watermarks, "POLL", 60.0)
    after = await store.watermark()
    following = asyncio.ensure_future(store.backend.wait(after))
    await asyncio.sleep(0.1)  # It listens by now.
    async with caller.transaction() as handed:
        await settled(caller.repository(Account).within(handed).save(opened(id)))
        await asyncio.sleep(0.05)
        assert not following.done()
    async with asyncio.timeout(30):
        assert await following > after


async def test_an_update_that_loses_decides_anew_on_what_the_other_has_committed(
    caller: Caller, store: Store, postgres_url: str, id: str
) -> None:
    """READ COMMITTED shows it, and the transaction goes on."""
    accounts, rivals = caller.repository(Account), [1, 2]
    await Repository(store, Account).save(opened(id))
    seen: list[int] = []
    with hitherto.sync.connect(postgres_url, schema=_SCHEMA) as rival_store:
        rival = hitherto.sync.Repository(rival_store, Account)

        def command(account: Account) -> None:
            seen.append(account.balance)
            if rivals:
                rival.update(id, deposit(rivals.pop()))
            deposit(100)(account)

        async with caller.transaction() as handed:
            await settled(accounts.within(handed).update(id, command))
    assert seen == [0, 2, 3]
    assert (await Repository(store, Account).load(id)).balance == 103


async def test_an_update_is_tried_so_often_and_then_told_of(
    caller: Caller, store: Store, postgres_url: str, id: str
) -> None:
    """Not for ever; the transaction goes on."""
    accounts = caller.repository(Account)
    await Repository(store, Account).save(opened(id))
    with hitherto.sync.connect(postgres_url, schema=_SCHEMA) as rival_store:
        rival = hitherto.sync.Repository(rival_store, Account)

        def command(account: Account) -> None:
            rival.update(id, deposit(1))
            deposit(100)(account)

        async with caller.transaction() as handed:
            within = accounts.within(handed)
            with pytest.raises(AggregateVersionConflict):
                await settled(within.update(id, command, attempts=3))
            await settled(within.update(id, deposit(10)))
    assert (await Repository(store, Account).load(id)).balance == 13


async def test_two_tasks_in_one_transaction_are_refused_rather_than_mixed(
    postgres_url: str, id: str
) -> None:
    """Their savepoints would enclose each other, and one would undo what the other was told."""
    async with by_asyncpg(postgres_url, _SCHEMA) as caller, caller.transaction() as handed:
        accounts = caller.repository(Account)
        results = await asyncio.gather(
            *(accounts.within(handed).save(opened(f"{id}-{n}")) for n in range(3)),
            return_exceptions=True,
        )
        refused = [each for each in results if isinstance(each, ConfigurationError)]
        assert len(refused) == 2
        assert "another task" in str(refused[0])
        assert sorted(await accounts.within(handed).load_many([f"{id}-{n}" for n in range(3)])) == [
            f"{id}-{n}" for n in range(3) if not isinstance(results[n], Exception)
        ]


@pytest.mark.parametrize("way", [by_asyncpg, by_psycopg_async, by_async_session])
async def test_a_save_that_is_cancelled_leaves_nothing_and_the_transaction_goes_on(
    way: Any, postgres_url: str, id: str
) -> None:
    """It waits for somebody's append when it is."""
    async with connected(postgres_url) as holder, way(postgres_url, _SCHEMA) as caller:
        accounts = caller.repository(Account)
        async with caller.transaction() as handed:
            async with holder.transaction():
                await accounts.within(holder).save(opened(id))
                saving = asyncio.ensure_future(accounts.within(handed).save(opened(id, 1)))
                await asyncio.sleep(0.05)
                saving.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await saving
            await accounts.within(handed).update(id, deposit(5))
        assert (await accounts.load(id)).balance == 5


async def test_what_was_cancelled_for_good_is_never_committed(
    store: Store, postgres_url: str, id: str
) -> None:
    """AnyIO cancels all that is awaited after it, too: then the connection ends, with the rest."""
    accounts = Repository(store, Account)
    for n in range(40):
        async with connected(postgres_url) as handed:
            await handed.execute("BEGIN")
            with anyio.CancelScope() as scope:
                asyncio.get_running_loop().call_later(n / 2_000, scope.cancel)
                await accounts.within(handed).save(opened(f"{id}-{n}"))
            with suppress(asyncpg.InterfaceError, asyncpg.PostgresError):
                await handed.execute("COMMIT")
        assert not (scope.cancelled_caught and await accounts.exists(f"{id}-{n}"))


async def test_a_connection_that_breaks_is_an_outage(postgres_url: str, id: str) -> None:
    """As ever; the transaction is gone with it."""
    async with (
        by_asyncpg(postgres_url, _SCHEMA) as caller,
        connected(postgres_url) as broken,
        connected(postgres_url) as other,
    ):
        accounts = caller.repository(Account)
        await accounts.save(opened(id))
        await broken.execute("BEGIN")
        await accounts.within(broken).update(id, deposit(1))
        await other.execute("SELECT pg_terminate_backend($1)", broken.get_server_pid())
        with pytest.raises(EventStoreUnavailable):
            await accounts.within(broken).update(id, deposit(1))
        assert (await accounts.load(id)).balance == 0


def test_threads_with_transactions_of_their_own_lose_nothing(postgres_url: str, id: str) -> None:
    """Each begins anew where another was first; what was told to be committed is there."""
    done: list[int] = []
    with hitherto.sync.connect(postgres_url, schema=_SCHEMA) as store:
        accounts = hitherto.sync.Repository(store, Account, snapshot_every=5)
        accounts.save(opened(id))

        def work(number: int) -> None:
            with psycopg.connect(postgres_url) as connection:
                until = time.monotonic() + 20
                left = 5
                while left and time.monotonic() < until:
                    with suppress(AggregateLocked), connection.transaction():
                        accounts.within(connection).update(id, deposit(number))
                        left -= 1
                        done.append(number)

        threads = [threading.Thread(target=work, args=(number,)) for number in (1, 10, 100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(done) == 15
        account = accounts.load(id)
        assert account.balance == 555
        assert account._snapshot_version >= 5
        assert [each.version for each in accounts.history(id)] == list(range(1, 17))


@pytest.fixture(scope="module")
def pooled_url(postgres_url: str) -> Iterator[str]:
    program = pgbouncer_program()
    if program is None:
        pytest.skip("no pgbouncer here: apt install pgbouncer")
    pooler = PgBouncer(program, postgres_url, pool_size=3)
    yield pooler.url
    pooler.stop()


async def test_nothing_is_prepared_behind_a_pooler(
    postgres_url: str, pooled_url: str, id: str
) -> None:
    """The caller's connection comes through it, and each transaction is another server process."""
    async with connect(postgres_url, schema=_SCHEMA) as store:
        accounts = Repository(store, Account)
        await accounts.save(opened(id))
        options = {"statement_cache_size": 0}
        async with connected(pooled_url, **options) as one, connected(pooled_url, **options) as two:
            for connection in (one, two) * 4:
                async with connection.transaction():
                    await accounts.within(connection).update(id, deposit(1))
        async with await psycopg.AsyncConnection.connect(
            pooled_url, prepare_threshold=None
        ) as other:
            for _ in range(8):
                async with other.transaction():
                    await accounts.within(other).update(id, deposit(1))
        assert (await accounts.load(id)).balance == 16


def test_a_store_that_opens_itself_saves_again_what_a_transaction_has_kept(
    postgres_url: str,
) -> None:
    """As Django's does."""
    store = hitherto.sync.Store(lambda: connect(postgres_url, schema=new_schema()))
    store._open_later()
    accounts = hitherto.sync.Repository(store, Account)
    account = opened("account-1")
    with psycopg.connect(postgres_url) as connection, connection.transaction():
        accounts.within(connection).save(account)
    account.record(Deposited(amount=1))
    accounts.save(account)
    assert accounts.load("account-1").version == account.version
    store.close()


@pytest.mark.parametrize("way", [by_asyncpg, by_psycopg_async, by_async_session, by_django])
async def test_it_is_the_same_on_debians_server(
    way: Any, debian_postgres_url: str, id: str
) -> None:
    """Commit, conflict and rollback."""
    async with way(debian_postgres_url, _SCHEMA) as caller:
        accounts = caller.repository(Account)
        async with caller.transaction() as handed:
            await settled(accounts.within(handed).save(opened(id, 1)))
            with pytest.raises(AggregateVersionConflict):
                await settled(accounts.within(handed).save(opened(id)))
            await settled(accounts.within(handed).update(id, deposit(2)))
        with pytest.raises(ZeroDivisionError):
            async with caller.transaction() as handed:
                await settled(accounts.within(handed).update(id, deposit(4)))
                raise ZeroDivisionError
        assert (await settled(accounts.load(id))).balance == 3
        assert len(await settled(accounts.history(id))) == 3
