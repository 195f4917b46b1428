"""What operations cost on PostgreSQL, in what does not wobble: round trips, plans, pages."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from tests.acceptance.postgres_stores import opened
from tests.acceptance.postgres_writers import an_append
from tests.acceptance.turns import Turns, counted_turns
from tests.unit.domain.account import Account, Opened

from hitherto import Repository, Store
from hitherto.application.alongside import Alongside
from hitherto.infrastructure.postgres import PostgresStore
from hitherto.infrastructure.postgres.announcing import Announcer

pytestmark = pytest.mark.integration

MANY = 100_000


@pytest.fixture
async def turns(postgres_url: str) -> AsyncIterator[Turns]:
    """Counts round trips to the server."""
    async with counted_turns(postgres_url) as found:
        yield found


@pytest.fixture
async def store(
    turns: Turns, postgres_schema: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Store]:
    """A store with one connection, all of whose statements are prepared.

    It announces nothing: that happens beside the appends, some time or other.
    """
    monkeypatch.setattr(Announcer, "appended", lambda _self, _position: None)
    async with opened(turns.url, postgres_schema, max_connections=1) as backend:
        store = Store(backend)
        accounts = Repository(store, Account, snapshot_every=None)
        for number in range(2):  # the second time nothing has to be prepared any more
            await accounts.save(an_account(f"first-{number}", 3))
            await accounts.save(an_account(f"second-{number}", 1))
            await accounts.snapshot(await accounts.load(f"first-{number}"))
            await accounts.load_many([f"first-{number}"])
            await backend.append([an_append(f"g{number}-{each}") for each in range(3)])
            await asyncio.gather(
                *(backend.append([an_append(f"b{number}-{each}")]) for each in range(10))
            )
            _ = [event async for event in store.read_all(aggregate_types=["Account"])]
            await backend.read_all()
            await accounts.exists("nobody")
        turns.count = 0
        yield store


def an_account(id: str, events: int) -> Account:
    """One with pending events."""
    account = Account(id)
    account.record(Opened(owner="ann"))
    for _ in range(events - 1):
        account.deposit(1)
    return account


@pytest.mark.parametrize("events", [1, 10, 255])
async def test_a_lone_save_is_one_round_trip(store: Store, turns: Turns, events: int) -> None:
    """Of a new aggregate, and of one that goes on."""
    accounts = Repository(store, Account, snapshot_every=None)
    account = an_account("a", events)
    await accounts.save(account)
    assert turns.count == 1
    account.deposit(1)
    await accounts.save(account)
    assert turns.count == 2


async def test_a_load_is_one_round_trip(store: Store, turns: Turns) -> None:
    """With a snapshot or without one, of one aggregate or of many."""
    accounts = Repository(store, Account, snapshot_every=None)
    assert (await accounts.load("first-0"))._snapshot_version == 3
    assert turns.count == 1
    assert (await accounts.load("second-0"))._snapshot_version == 0
    assert turns.count == 2
    await accounts.load_many(["first-0", "second-0", "first-1"])
    assert turns.count == 3
    await accounts.exists("first-0")
    assert turns.count == 4


async def test_a_hundred_saves_at_once_share_one_round_trip(store: Store, turns: Turns) -> None:
    """Those that come first, one for each lane, have theirs."""
    backend = store.backend
    await asyncio.gather(*(backend.append([an_append(f"a{number}")]) for number in range(102)))
    assert turns.count == 3


async def test_a_group_is_one_round_trip(store: Store, turns: Turns) -> None:
    """All or nothing."""
    await store.backend.append([an_append(f"a{number}", 0, 3) for number in range(10)])
    assert turns.count == 1


async def test_an_update_is_two_round_trips(store: Store, turns: Turns) -> None:
    """A load and a save."""
    accounts = Repository(store, Account, snapshot_every=None)
    await accounts.update("first-0", lambda account: account.deposit(5))
    assert turns.count == 2


async def test_a_page_of_the_log_is_two_round_trips(store: Store, turns: Turns) -> None:
    """The second statement must see what the first found released."""
    await store.backend.read_all()
    assert turns.count == 2


@pytest.fixture
async def filled(postgres_url: str, postgres_schema: str) -> AsyncIterator[PostgresStore]:
    """A store with many events: 10 in each of many aggregates, and 1 of a rare type."""
    async with opened(postgres_url, postgres_schema, max_connections=1) as backend:
        async with backend._connections.session() as connection:
            await connection.execute(
                f"""INSERT INTO {postgres_schema}.event_store (event_id, event_type, aggregate_id,
                    aggregate_type, event_version, event_data, occurred_at)
                SELECT gen_random_uuid(), CASE n WHEN 77777 THEN 'Rare' ELSE 'Happened' END,
                    'a' || n / 10, 'Thing', n % 10 + 1, '{{"n": 1}}', now()
                FROM generate_series(0, {MANY - 1}) AS n"""
            )
        yield backend


HOT: dict[str, list[Any]] = {
    "append_event": ["a1", "Thing", 10, "{id}", "Happened", 1, "{}", None, "now", None],
    "append_stream": [
        "a1", "Thing", 10, ["{id}", "{id}"], ["Happened"] * 2, [1, 1], ["{}"] * 2, [None] * 2,
        ["now"] * 2, [None] * 2,
    ],
    "load": ["a1", "code", 2**31 - 1],
    "read_forward": ["a1", 1, 2**31 - 1, 100],
    "read_backward": ["a1", 1, 2**31 - 1, 100],
    "read_all": [50_000, 99_000, 1000],
    "read_snapshot": ["a1"],
    "position": ["a1", 1],
}  # fmt: skip


@pytest.mark.parametrize("analyzed", [False, True])
async def test_every_hot_query_goes_by_an_index_and_sorts_nothing(
    filled: PostgresStore, analyzed: bool
) -> None:
    """Whether the server has statistics yet or not."""
    async with filled._connections.session() as connection:
        if analyzed:
            await connection.execute(f"ANALYZE {filled._schema.sql('{schema}')}.event_store")
        for name, arguments in HOT.items():
            nodes = await plan(connection, filled._sql[name], arguments)
            kinds = {node["Node Type"] for node in nodes}
            assert not kinds & {"Seq Scan", "Sort", "Incremental Sort", "Hash"}, (name, kinds)


@pytest.mark.parametrize("analyzed", [False, True])
async def test_a_rare_type_is_found_without_a_scan(filled: PostgresStore, analyzed: bool) -> None:
    """By the index of its type, whatever else the log holds."""
    async with filled._connections.session() as connection:
        if analyzed:
            await connection.execute(f"ANALYZE {filled._schema.sql('{schema}')}.event_store")
        query = "read_all_of_event_types"
        arguments = [0, MANY, 1000, ["Rare"], None]
        assert await pages(connection, filled._sql[query], arguments) < 50
    page = await filled.read_all(event_types=["Rare"])
    assert [event.event_type for event in page.events] == ["Rare"]


@pytest.mark.parametrize("name", ["handled", "appended"])
async def test_many_are_looked_up_one_by_one(filled: PostgresStore, name: str) -> None:
    """Though the server has no statistics, and plans for these very values."""
    hundred = [f"a{n}" for n in range(100)]
    arguments: dict[str, list[Any]] = {
        "handled": ["s", ["{id}"] * 100],
        "appended": [hundred, [3] * 100, [4] * 100],
    }
    async with filled._connections.session() as connection:
        await connection.execute(
            f"""INSERT INTO {filled._schema.sql("{schema}")}.handled_messages
            SELECT 's', gen_random_uuid() FROM generate_series(1, {MANY}) AS n"""
        )
        query = filled._sql[name]
        assert await pages(connection, query, arguments[name], mode="force_custom_plan") < 800


async def test_an_append_touches_no_more_pages_in_a_large_log(filled: PostgresStore) -> None:
    """It goes down the indexes, one step for each level."""
    async with filled._connections.session() as connection:
        for name in ("append_event", "load"):
            assert await pages(connection, filled._sql[name], HOT[name]) < 60, name
        batch = [
            [f"a{n}" for n in range(100)], ["Thing"] * 100, [10] * 100, list(range(1, 101)),
            ["{id}"] * 100, ["Happened"] * 100, [1] * 100, [11] * 100, ["{}"] * 100, [None] * 100,
            ["now"] * 100, None,
        ]  # fmt: skip
        touched = await pages(connection, filled._sql["append_events"], batch)
    assert touched < 60 * 100


async def test_no_more_marks_are_forgotten_than_asked_for(filled: PostgresStore) -> None:
    """Whatever the plan: one for a table without statistics looks for them again and again."""
    marks = Alongside(scope="orders", handled=[f"m{number}" for number in range(120)])
    await filled.append([an_append("a")], alongside=marks)
    later = datetime.now(UTC) + timedelta(hours=1)
    async with filled._connections.session() as connection:
        query = filled._sql["forget_handled"]
        assert await connection.fetchval(query, "orders", later, 100) == 100
        assert await connection.fetchval(query, "orders", later, 100) == 20


async def plan(connection: Any, query: str, arguments: list[Any]) -> list[dict[str, Any]]:
    """The nodes of the query's generic plan."""
    explained = await explain(connection, query, arguments, "FORMAT JSON")
    return list(flat(explained["Plan"]))


async def pages(
    connection: Any, query: str, arguments: list[Any], *, mode: str = "force_generic_plan"
) -> int:
    """How many pages a run of the query touches; what it writes is rolled back."""
    options = "ANALYZE, BUFFERS, FORMAT JSON"
    explained = await explain(connection, query, arguments, options, mode=mode)
    found: dict[str, int] = explained["Plan"]
    return found["Shared Hit Blocks"] + found["Shared Read Blocks"]


async def explain(
    connection: Any,
    query: str,
    arguments: list[Any],
    options: str,
    *,
    mode: str = "force_generic_plan",
) -> Any:
    prepared = await connection.prepare(query)
    types = ", ".join(parameter.name.replace("pg_catalog.", "") for parameter in typed(prepared))
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        await connection.execute(f"PREPARE explained ({types}) AS {query}")
        given = ", ".join(map(literal, arguments))
        (row,) = await connection.fetch(f"EXPLAIN ({options}) EXECUTE explained ({given})")
    finally:
        await transaction.rollback()
        await connection.execute("DEALLOCATE ALL")
        await connection.reload_schema_state()
    return json.loads(row[0])[0]


def typed(prepared: Any) -> list[asyncpg.Type]:
    """The types of the query's parameters."""
    return [
        parameter._replace(name=re.sub(r"\[\]$", "", parameter.name) + "[]")
        if parameter.kind == "array"
        else parameter
        for parameter in prepared.get_parameters()
    ]


def literal(value: Any) -> str:
    """A value in SQL, of whatever type it has to be; "{id}" and "now" stand for new ones."""
    if value is None:
        return "NULL"
    if isinstance(value, list):
        elements = (json.dumps(fresh(each)) for each in value)
        return f"'{{{','.join('NULL' if each == 'null' else each for each in elements)}}}'"
    return f"'{fresh(value)}'"


def fresh(value: Any) -> Any:
    return str(uuid4()) if value == "{id}" else value


def flat(node: dict[str, Any]) -> Any:
    """A plan's node and all below it."""
    yield node
    for child in node.get("Plans", []):
        yield from flat(child)
