"""Consumers of the log skip nothing and are given nothing twice, whatever writers do."""

import asyncio
import os
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
from tests.acceptance.postgres_writers import PlainReader, Writer, writers
from tests.faults import statements
from tests.faults.backends import Place
from tests.faults.consumers import at_work, consumed, following
from tests.faults.crew import behind
from tests.faults.ledger import LEDGER, ledger_in, read_ledger
from tests.faults.statements import asyncpg_statements
from tests.faults.workload import Account

from hitherto import ProjectionWorker, Repository, Store, connect
from hitherto.infrastructure.postgres import watermarks

pytestmark = pytest.mark.integration

_SHARED = "shared_ledger"


@pytest.fixture(params=["postgres_url", "debian_postgres_url"])
def place(request: pytest.FixtureRequest, postgres_schema: str) -> Place:
    """A schema on either server."""
    return Place("postgresql", request.getfixturevalue(request.param), {"schema": postgres_schema})


@pytest.fixture
async def store(place: Place) -> AsyncIterator[Store]:
    """An empty store."""
    async with connect(place.url, **place.settings) as store:
        yield store


async def test_three_kinds_of_consumer_are_given_each_event_once_in_a_storm(place: Place) -> None:
    """Twelve writers, unrelated long transactions; workers come and go. The controls fail."""
    seconds = float(os.environ.get("FOLLOWING_SECONDS", "3"))
    seed = int(os.environ.get("FOLLOWING_SEED", "1"))
    found = await consumed(place, Random(seed), seconds=seconds)
    print(f"{found.events} events, {found.faults}; {found.lost} lost, {found.inverted} inverted")
    assert found.violations == []
    assert found.events > 100
    assert found.lost or found.inverted, "the controls should have failed"


async def test_an_append_held_open_holds_all_consumers_back_and_loses_nothing(
    place: Place, store: Store
) -> None:
    """What was committed meanwhile has higher positions; a plain reader goes past the first."""
    violations: list[str] = []
    async with (
        writers(place.url, place.settings["schema"], 2) as (slow, control),
        following(store, violations) as seen,
        at_work(_workers(place, store), violations),
    ):
        plain = PlainReader(control.session, control.schema)
        await _insert(slow, "first")
        last = await _save(store, "second")
        assert await plain.poll() == [last]
        await asyncio.sleep(0.2)  # time enough to go wrong
        assert seen == []
        assert [await _booked(place, name) for name in (LEDGER, _SHARED)] == [[], []]
        await slow("COMMIT")
        assert await behind(store, [LEDGER, _SHARED]) == []
        assert await plain.poll() == [], "the control should have lost the first"
        for name in (LEDGER, _SHARED):
            assert sorted(await _booked(place, name)) == ["first", "second"]
        async with asyncio.timeout(10):
            while len(seen) < 2:
                await asyncio.sleep(0.005)
    assert seen == [last - 1, last]
    assert violations == []


async def test_an_event_between_catching_up_and_listening_arrives(
    place: Place, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told of it, and polling would take an hour."""
    monkeypatch.setattr(watermarks, "POLL", 3600.0)
    monkeypatch.setattr(watermarks, "POLL_ALONE", 3600.0)
    monkeypatch.setattr(statements, "kind_of", lambda sql: sql.split(maxsplit=1)[0])
    early = asyncio.Event()

    async def append_first(_connection: Any, kind: str, send: Any) -> Any:
        if kind == "LISTEN":
            async with writers(place.url, place.settings["schema"], 1) as (other,):
                await _insert(other, "unheard")
                await other("COMMIT")
            early.set()
        return await send()

    violations: list[str] = []
    with asyncpg_statements(append_first):
        async with following(store, violations) as seen, asyncio.timeout(10):
            await early.wait()
            while not seen:
                await asyncio.sleep(0.005)
    assert violations == []


async def test_a_subscription_outlives_the_connection_that_listens(
    place: Place, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It listens again, and is given what came meanwhile."""
    monkeypatch.setattr(watermarks, "POLL", 3600.0)
    monkeypatch.setattr(watermarks, "POLL_ALONE", 3600.0)
    violations: list[str] = []
    async with (
        writers(place.url, place.settings["schema"], 1) as (control,),
        connect(place.url, **place.settings) as other,
        following(store, violations) as seen,
        asyncio.timeout(20),
    ):
        for number in range(3):
            killed = await _end_who_listens(control)
            last = await _save(other, f"account-{number}")
            while not seen or seen[-1] < last:
                await asyncio.sleep(0.005)
            assert killed
    assert len(seen) == 3
    assert violations == []


def _workers(place: Place, store: Store) -> list[ProjectionWorker[Any]]:
    """One alone, and two that share a view."""
    shared = ledger_in(place, _SHARED)
    return [
        ProjectionWorker(store, ledger_in(place)()),
        ProjectionWorker(store, shared(), spread=True),
        ProjectionWorker(store, shared(), spread=True),
    ]


async def _insert(writer: Writer, account: str) -> None:
    """A deposit by another tool, in a transaction that is left open."""
    await writer("BEGIN")
    await writer.session.execute(
        f"""INSERT INTO {writer.schema}.event_store (event_id, event_type, aggregate_id,
            aggregate_type, event_version, event_data, occurred_at)
            VALUES (gen_random_uuid(), 'Moved', $1, 'Account', 1, '{{"amount": 1}}', now())""",
        account,
    )


async def _save(store: Store, id: str) -> int:
    """A deposit of hitherto's own; its position."""
    account = Account(id)
    account.move(1)
    position = await Repository(store, Account).save(account)
    assert position is not None
    return position


async def _booked(place: Place, name: str) -> list[str]:
    """The accounts of a ledger's entries, in order."""
    entries, _ = await read_ledger(place, name)
    return [entry.aggregate_id for entry in entries]


async def _end_who_listens(writer: Writer) -> int:
    """Terminate the sessions that listen, as soon as there is one; how many there were."""
    while True:
        rows = await writer.session.fetch(
            f"""SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE query LIKE 'LISTEN%' || '{writer.schema}.event_store'::regclass::oid || '%'"""
        )
        if rows:
            return len(rows)
        await asyncio.sleep(0.005)
