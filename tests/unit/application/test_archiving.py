"""Which aggregates are archived."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.domain.account import Account, Opened

from hitherto import (
    AggregateNotFound,
    InvalidAggregateState,
    InvalidInput,
    Repository,
    Store,
)
from hitherto.application.archiving import Archived, archive
from hitherto.infrastructure.memory import MemoryStore
from hitherto.infrastructure.sqlite import SqliteStore


@pytest.fixture(params=["memory", "sqlite"])
async def accounts(request: Any, tmp_path: Path) -> AsyncIterator[Repository[Account]]:
    """Of Ann, Bob and Cid; Bob's has a single event."""
    backend = MemoryStore() if request.param == "memory" else SqliteStore(str(tmp_path / "a.db"))
    async with Store(backend) as store:
        accounts = Repository(store, Account, snapshot_every=None)
        for owner, events in (("ann", 4), ("bob", 1), ("cid", 3)):
            await accounts.save(an_account(owner, events))
        yield accounts


def an_account(id: str, events: int) -> Account:
    account = Account(id)
    account.record(Opened(owner=id))
    for _ in range(events - 1):
        account.deposit(1)
    return account


def rich(account: Account) -> bool:
    return account.balance > 2


async def archived(accounts: Repository[Account]) -> dict[str, int]:
    return dict(await accounts.store.backend.archive.archived(["ann", "bob", "cid"]))


async def test_closed_ones_are_archived(accounts: Repository[Account]) -> None:
    """As a function of the aggregate tells; the others are counted by why they stay."""
    result = await archive(accounts, closed=rich)
    assert result == Archived(aggregates=3, single=1, open=1, closed=1, events=3)
    assert await archived(accounts) == {"ann": 3}
    ann = await accounts.load("ann")
    assert ann.version == 4
    assert ann.balance == 3


async def test_it_may_be_run_again(accounts: Repository[Account]) -> None:
    """What is there is passed over without a look; what has gone on is moved after it."""
    await archive(accounts, closed=rich)

    def never(account: Account) -> bool:
        raise AssertionError(account.id)

    again = await archive(accounts, closed=never, ids=["ann", "bob"])
    assert again == Archived(aggregates=2, single=1, already=1)
    await accounts.update("ann", lambda account: account.deposit(2))
    result = await archive(accounts, closed=rich)
    assert result == Archived(aggregates=3, single=1, open=1, closed=1, events=1)
    assert await archived(accounts) == {"ann": 4}


async def test_recent_ones_stay(accounts: Repository[Account]) -> None:
    """By when the last event was stored, and by the store's clock."""
    result = await archive(accounts, older_than=timedelta(hours=1))
    assert result == Archived(aggregates=3, single=1, recent=2)
    accounts.store.clock = lambda: datetime.now(UTC) + timedelta(hours=2)
    result = await archive(accounts, older_than=timedelta(hours=1), closed=rich)
    assert result == Archived(aggregates=3, single=1, open=1, closed=1, events=3)


async def test_a_dry_run_moves_nothing(accounts: Repository[Account]) -> None:
    """It tells what would be."""
    steps: list[tuple[str, int, int | None]] = []
    result = await archive(
        accounts, ids=["cid", "ann"], dry_run=True, progress=lambda *step: steps.append(step)
    )
    assert result == Archived(aggregates=2, closed=2, events=5)
    assert steps == [("aggregates", 2, 2)]
    assert await archived(accounts) == {}
    assert await archive(accounts, ids=["cid", "ann"]) == result
    assert await archived(accounts) == {"ann": 3, "cid": 2}


async def test_many_are_moved_in_several_transactions(
    accounts: Repository[Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is left out, and each is short."""
    monkeypatch.setattr("hitherto.application.archiving.PAGE", 7)
    monkeypatch.setattr("hitherto.application.archiving.EVENTS", 6)
    await asyncio.gather(*(accounts.save(an_account(f"x-{n}", 3)) for n in range(30)))
    moves: list[int] = []
    part = accounts.store.backend.archive
    move = part.archive

    async def counted(heads: Any) -> Any:
        moved = await move(heads)
        moves.append(sum(moved.values()))
        return moved

    monkeypatch.setattr(part, "archive", counted)
    result = await archive(accounts, older_than=timedelta(0))
    assert (result.aggregates, result.closed, result.events) == (33, 32, 65)
    assert sum(moves) == 65
    assert max(moves) <= 7
    assert len(moves) > 9
    assert (await archive(accounts, older_than=timedelta(0))).already == 32


async def test_one_that_goes_on_meanwhile_is_left_alone(accounts: Repository[Account]) -> None:
    """Closed was what it was before."""
    loop = asyncio.get_running_loop()

    def closed(account: Account) -> bool:
        if account.id == "ann":
            saves.append(loop.create_task(accounts.update("ann", lambda each: each.deposit(1))))
        return True

    saves: list[asyncio.Task[None]] = []
    move = accounts.store.backend.archive.archive

    async def later(heads: Any) -> Any:
        await asyncio.gather(*saves)
        return await move(heads)

    accounts.store.backend.archive.archive = later  # type: ignore[method-assign]
    result = await archive(accounts, closed=closed)
    assert (result.closed, result.events) == (1, 2)
    assert await archived(accounts) == {"cid": 2}


async def test_bad_input_is_refused(accounts: Repository[Account]) -> None:
    """With the remedy, and nothing is moved."""
    with pytest.raises(InvalidInput, match="give a function, an age, or ids"):
        await archive(accounts)
    for age in (timedelta(days=-1), timedelta.max):
        with pytest.raises(InvalidInput, match="give an age from 0 to 36,500 days"):
            await archive(accounts, older_than=age)
    with pytest.raises(InvalidInput, match="give a list of ids"):
        await archive(accounts, ids="ann")
    with pytest.raises(InvalidInput, match="aggregate id"):
        await archive(accounts, ids=[""])
    with pytest.raises(AggregateNotFound):
        await archive(accounts, ids=["ann", "nobody"])
    assert await archived(accounts) == {}


async def test_an_error_of_the_function_ends_it(accounts: Repository[Account]) -> None:
    """It comes through as it is."""

    def closed(account: Account) -> bool:
        raise InvalidAggregateState(account.id)

    with pytest.raises(InvalidAggregateState):
        await archive(accounts, closed=closed)
    assert await archived(accounts) == {}
