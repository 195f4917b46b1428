"""A store that is written to while it is verified and replayed: nothing is found or hurt."""

import asyncio
import itertools
from pathlib import Path

import pytest

from hitherto import Repository, Store, connect
from hitherto.application.replaying import replay
from hitherto.application.verifying import verify
from hitherto.testing.repository_contract.domain import Account

SAVES = 500
WRITERS = 8


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.integration)])
def store(request: pytest.FixtureRequest, tmp_path: Path, postgres_schema: str) -> Store:
    if request.param == "sqlite":
        return connect(f"sqlite:///{tmp_path / 'accounts.db'}")
    return connect(request.getfixturevalue("postgres_url"), schema=postgres_schema)


async def test_a_store_in_use_is_found_sound(store: Store) -> None:
    """Appends, new aggregates and snapshots come and go between the queries."""
    async with store:
        accounts = Repository(store, Account, snapshot_every=2)
        saved = 0

        async def write(name: str) -> None:
            nonlocal saved
            for number in itertools.count():
                account = Account.open(f"{name}-{number}")
                for _ in range(5):
                    account.deposit(1)
                    await accounts.save(account)
                    saved += 1

        writers = [asyncio.create_task(write(f"a{n}")) for n in range(WRITERS)]
        try:
            while saved < SAVES:
                result = await verify(store, [Account])
                assert result.findings == ()
                replayed = await replay(accounts)
                assert (replayed.wrong, replayed.unfoldable) == (0, 0)
        finally:
            for each in writers:
                each.cancel()
            ended = await asyncio.gather(*writers, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended
        assert (await verify(store, [Account])).snapshots > WRITERS
