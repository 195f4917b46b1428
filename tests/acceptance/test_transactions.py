"""Events in a transaction of the caller's: all or nothing with its own writes, by each driver."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from msgspec.structs import replace
from tests.acceptance.callers import ALL, Caller, Undone, connected, settled
from tests.acceptance.postgres_writers import Writer, new_event
from tests.contract.projecting import Account, Deposited, Opened
from tests.servers import new_schema

from hitherto import AggregateLocked, AggregateVersionConflict, ConfigurationError, InvalidInput

pytestmark = pytest.mark.integration

_SCHEMA = new_schema()


@pytest.fixture
async def admin(postgres_url: str) -> AsyncIterator[Any]:
    """Somebody who looks from outside."""
    async with connected(postgres_url) as connection:
        yield connection


@pytest_asyncio.fixture(params=ALL)
async def caller(request: pytest.FixtureRequest, postgres_url: str) -> AsyncGenerator[Caller]:
    """One schema for all, so each test has accounts of its own."""
    async with _made(request.param, postgres_url) as found:
        yield found


def _made(way: Any, url: str, **options: Any) -> Any:
    return way(url, _SCHEMA, **options)


@pytest.fixture
def id() -> str:  # noqa: A001
    """An account's, and the name of the table that the caller makes."""
    return uuid4().hex


def opened(id: str, *amounts: int) -> Account:
    """An account that is not saved."""
    account = Account(id)
    account.record(Opened(owner="somebody"))
    for amount in amounts:
        account.record(Deposited(amount=amount))
    return account


def deposit(amount: int) -> Any:
    """A command."""
    return lambda account: account.record(Deposited(amount=amount))


async def note(caller: Caller, handed: Any, id: str) -> None:
    """The caller's own write, which may be done once."""
    await caller.execute(handed, f'CREATE TABLE {_SCHEMA}."{id}" (x int)')


async def noted(admin: Any, id: str) -> bool:
    """Whether it is committed."""
    return bool(await admin.fetchval("SELECT to_regclass($1)", f'{_SCHEMA}."{id}"'))


async def versions(admin: Any, id: str) -> list[int]:
    """Of an account, as committed."""
    rows = await admin.fetch(
        f"SELECT event_version FROM {_SCHEMA}.event_store WHERE aggregate_id = $1 ORDER BY 1", id
    )
    return [row[0] for row in rows]


async def _refused(caller: Caller, accounts: Any, ahead: Account) -> None:
    """Whatever is done with an account that was rolled back is a conflict."""
    for use in [accounts.save, *([] if ahead.pending else [accounts.snapshot])]:
        with pytest.raises(AggregateVersionConflict):
            await settled(use(ahead))
    async with caller.transaction() as handed:
        for save in (accounts.within(handed).save, accounts.within(handed).save_all):
            with pytest.raises(AggregateVersionConflict):
                await settled(save(ahead))


async def test_what_a_transaction_saves_is_seen_in_it_and_by_others_once_it_is_committed(
    caller: Caller, admin: Any, id: str
) -> None:
    """By each way to read."""
    accounts = caller.repository(Account, snapshot_every=2)
    async with caller.transaction() as handed:
        within = accounts.within(handed)
        await note(caller, handed, id)
        first = await settled(within.save(opened(id, 1)))
        await settled(within.update(id, deposit(2)))
        _, last = await settled(within.save_all(opened(f"{id}-b"), opened(f"{id}-c")))
        assert first < last
        assert (await settled(within.load(id))).balance == 3
        assert (await settled(within.load(id, 2))).balance == 1
        assert set(await settled(within.load_many([id, f"{id}-b", "x"]))) == {id, f"{id}-b"}
        assert await settled(within.exists(id))
        inside = await settled(within.history(id))
        assert await versions(admin, id) == []
        assert not await settled(accounts.exists(id))
    assert await versions(admin, id) == [1, 2, 3]
    assert await noted(admin, id)
    assert await settled(accounts.history(id)) == inside
    assert inside[0].occurred_at.utcoffset().total_seconds() == 0
    assert (await settled(accounts.load(id)))._snapshot_version == 2


async def test_a_rollback_takes_events_and_own_writes_with_it(
    caller: Caller, admin: Any, id: str
) -> None:
    """The object is ahead then: to save it is a conflict, and never a gap."""
    accounts = caller.repository(Account, snapshot_every=2)
    await settled(accounts.save(opened(id)))
    account = await settled(accounts.load(id))
    new = opened(f"{id}-new")
    with pytest.raises(Undone):
        async with caller.transaction() as handed:
            account.record(Deposited(amount=1))
            await settled(accounts.within(handed).save(account))
            await settled(accounts.within(handed).save(new))
            await note(caller, handed, id)
            raise Undone
    assert await versions(admin, id) == [1]
    assert not await noted(admin, id)
    for ahead in (account, new):
        await _refused(caller, accounts, ahead)
    await settled(accounts.update(id, deposit(3)))
    await settled(accounts.save(opened(f"{id}-new")))
    for ahead in (account, new):  # The version is that of another event now.
        await _refused(caller, accounts, ahead)
        ahead.record(Deposited(amount=2))
        await _refused(caller, accounts, ahead)
    assert (await settled(accounts.load(id))).balance == 3
    assert await versions(admin, id) == [1, 2]


async def test_what_was_committed_goes_on(caller: Caller, admin: Any, id: str) -> None:
    """In the same transaction, in another one, and outside."""
    accounts, account = caller.repository(Account), opened(id)
    for _ in range(2):
        async with caller.transaction() as handed:
            for _ in range(2):
                account.record(Deposited(amount=1))
                await settled(accounts.within(handed).save(account))
    assert await settled(accounts.snapshot(account))
    account.record(Deposited(amount=1))
    await settled(accounts.save(account))
    assert await versions(admin, id) == [1, 2, 3, 4, 5, 6]


async def test_a_conflict_leaves_the_transaction_as_it_was(
    caller: Caller, admin: Any, id: str
) -> None:
    """Of a group too, nothing is written; own writes before and after it are."""
    accounts = caller.repository(Account)
    await settled(accounts.save(opened(id)))
    stale = await settled(accounts.load(id))
    await settled(accounts.update(id, deposit(1)))
    async with caller.transaction() as handed:
        within = accounts.within(handed)
        await settled(within.save(opened(f"{id}-before")))
        stale.record(Deposited(amount=5))
        with pytest.raises(AggregateVersionConflict, match="at version 2"):
            await settled(within.save(stale))
        with pytest.raises(AggregateVersionConflict):
            await settled(within.save_all(opened(f"{id}-with"), stale))
        await note(caller, handed, id)
        await settled(within.update(id, deposit(2)))
    assert await noted(admin, id)
    assert await versions(admin, id) == [1, 2, 3]
    assert await versions(admin, f"{id}-before") == [1]
    assert await versions(admin, f"{id}-with") == []


async def test_an_aggregate_that_somebody_holds_is_told_of_and_the_transaction_goes_on(
    caller: Caller, admin: Any, id: str
) -> None:
    """The server has refused a statement by then; so it does an event id that is taken."""
    accounts = caller.repository(Account)
    rival, taken = opened(id), opened(f"{id}-taken")
    holder = admin.transaction()
    await holder.start()
    await Writer(admin, _SCHEMA).append(id)
    async with caller.transaction() as handed:
        within = accounts.within(handed)
        await settled(within.save(taken))
        with pytest.raises(AggregateLocked):
            await settled(within.save(rival))
        (stored,) = await settled(within.history(taken.id))
        twice = opened(f"{id}-twice")
        twice._unsaved[0].envelope = replace(new_event("Opened"), event_id=stored.event_id)
        with pytest.raises(InvalidInput, match="is stored already"):
            await settled(within.save(twice))
        await note(caller, handed, id)
        await holder.rollback()
        await settled(within.save(rival))
    assert await noted(admin, id)
    assert await versions(admin, id) == [1]


async def test_a_savepoint_of_the_callers_takes_what_was_saved_since(
    caller: Caller, admin: Any, id: str
) -> None:
    """And only that; what is saved after it counts."""
    accounts = caller.repository(Account)
    async with caller.transaction() as handed:
        within = accounts.within(handed)
        await settled(within.save(opened(id)))
        await caller.execute(handed, "SAVEPOINT mine")
        await settled(within.update(id, deposit(1)))
        await settled(within.save(opened(f"{id}-b")))
        await caller.execute(handed, "ROLLBACK TO SAVEPOINT mine")
        await settled(within.update(id, deposit(10)))
    assert (await settled(accounts.load(id))).balance == 10
    assert await versions(admin, id) == [1, 2]
    assert await versions(admin, f"{id}-b") == []


async def test_a_transaction_that_isolates_too_much_is_refused(
    caller: Caller, admin: Any, id: str
) -> None:
    """Before anything is written; so it is where that shows later."""
    accounts = caller.repository(Account)
    async with caller.transaction() as handed:
        await caller.execute(handed, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        for call in (accounts.within(handed).save, accounts.within(handed).load):
            with pytest.raises(ConfigurationError, match=r"SERIALIZABLE.*READ COMMITTED"):
                await settled(call(opened(id) if "save" in call.__name__ else id))
    assert await versions(admin, id) == []


async def test_a_connection_without_a_transaction_is_refused(
    caller: Caller, admin: Any, id: str
) -> None:
    """Or what is saved would be committed alone."""
    accounts = caller.repository(Account)
    async with caller.without() as handed:
        for call in (accounts.within(handed).save, accounts.within(handed).load):
            with pytest.raises(ConfigurationError, match="in no transaction, or in autocommit: "):
                await settled(call(opened(id) if "save" in call.__name__ else id))
    assert await versions(admin, id) == []
