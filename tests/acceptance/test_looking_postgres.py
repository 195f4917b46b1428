"""Looking into a store on PostgreSQL: indexes are used, what is open is told, and all commands."""

import asyncio
import json
from collections.abc import AsyncGenerator

import asyncpg
import pytest
import pytest_asyncio
from tests.acceptance.sound_store import AGGREGATES, make_store, reported

from hitherto.application.looking.values import Statistics, Wanted
from hitherto.application.store import utc_now
from hitherto.cli.app import run
from hitherto.infrastructure.postgres import PostgresStore
from hitherto.testing.store_contract.making import append_to, new_event

pytestmark = pytest.mark.integration


@pytest_asyncio.fixture
async def store(postgres_url: str, postgres_schema: str) -> AsyncGenerator[PostgresStore]:
    opened = PostgresStore(postgres_url, schema=postgres_schema)
    await opened.open()
    yield opened
    await opened.close()


async def statistics(store: PostgresStore) -> Statistics:
    return await store.looking.statistics(now=utc_now(), snapshot_every=100)


async def test_appends_that_are_open_are_counted(
    store: PostgresStore, postgres_url: str, postgres_schema: str
) -> None:
    """And the positions that they hold back."""
    await store.append([append_to("a", 3)])
    connection = await asyncpg.connect(postgres_url)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            f"INSERT INTO {postgres_schema}.event_store (event_id, event_type, aggregate_id, "
            "aggregate_type, event_version, event_data, occurred_at) "
            "VALUES (gen_random_uuid(), 'Happened', 'open', 'Thing', 1, '{}', now())"
        )
        await store.append([append_to("b", 2)])
        found = await statistics(store)
        assert (found.watermark, found.held_back, found.open_appends) == (3, 3, 1)
        page = await store.looking.search(Wanted())
        assert ([each.position for each in page.events], page.checkpoint) == ([1, 2, 3], 3)
        await transaction.rollback()
    finally:
        await connection.close()
    found = await statistics(store)
    assert (found.watermark, found.held_back, found.open_appends) == (6, 0, 0)


async def test_tables_and_indexes_are_told_with_their_use(
    store: PostgresStore, postgres_url: str, postgres_schema: str
) -> None:
    """Those of the store, in its schema, and no others."""
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute(f"CREATE TABLE {postgres_schema}.processing_fees (id int)")
        await store.append([append_to("a", 3)])
        for _ in range(3):
            await store.read("a")
        relations = (await statistics(store)).relations
        async with asyncio.timeout(60):  # The server counts with a delay.
            while not any(each.scans for each in relations):
                await asyncio.sleep(0.2)
                await connection.execute("SELECT pg_stat_clear_snapshot()")
                relations = (await statistics(store)).relations
    finally:
        await connection.close()
    by_name = {each.name: each for each in relations}
    assert len(by_name) == len(relations)
    assert "processing_fees" not in by_name
    assert {"event_store", "aggregate_snapshots", "projection_checkpoints"} <= set(by_name)
    index = by_name["idx_event_store_aggregate_version"]
    assert (index.kind, index.table) == ("index", "event_store")
    assert index.bytes > 0
    assert by_name["event_store"].scans is None


async def test_an_index_over_correlation_ids_is_used(
    store: PostgresStore, postgres_url: str, postgres_schema: str
) -> None:
    """That which the docs tell of, and so is the one over causation ids."""
    events = [
        new_event(metadata=json.dumps({"correlation_id": f"c-{n}", "causation_id": f"d-{n}"}))
        for n in range(3000)
    ]
    await store.append([append_to("a", events)])
    connection = await asyncpg.connect(postgres_url)
    try:
        for key in ("correlation_id", "causation_id"):
            await connection.execute(
                f"CREATE INDEX idx_event_store_{key} ON {postgres_schema}.event_store "
                f"((metadata->>'{key}'), global_position) WHERE metadata->>'{key}' IS NOT NULL"
            )
        await connection.execute(f"ANALYZE {postgres_schema}.event_store")
        query = store.looking._sql["search"].replace("{order}", "ASC")
        for clause, value in (
            ("metadata->>'correlation_id' = $4::text", "c-7"),
            ("metadata->>'causation_id' = ANY ($4::text[])", ["d-7", "d-8"]),
        ):
            explained = "EXPLAIN " + query.replace("{filters}", f"AND {clause}")
            rows = await connection.fetch(explained, 0, 100_000, 20, value)
            plan = "\n".join(row[0] for row in rows)
            name = "correlation_id" if isinstance(value, str) else "causation_id"
            assert f"idx_event_store_{name}" in plan, plan
    finally:
        await connection.close()


async def test_the_filters_are_planned_for_what_is_asked(store: PostgresStore) -> None:
    """Not for any types: then the server would walk along the whole log for one that is rare."""
    for _ in range(7):
        await store.looking.search(Wanted(event_types=["Rare"]))
    async with store._connections.session() as connection:
        plans = await connection.fetchrow(
            "SELECT sum(custom_plans), sum(generic_plans) FROM pg_prepared_statements "
            "WHERE statement LIKE '%event_type = ANY%' AND statement NOT LIKE '%pg_prepared%'"
        )
    assert tuple(plans) == (7, 0)


def test_the_commands_work_as_on_sqlite(
    postgres_url: str, postgres_schema: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the schema named."""
    make_store(postgres_url, postgres_schema)
    place = ("--url", postgres_url, "--schema", postgres_schema)
    status, shown = reported("show", "A100", *AGGREGATES, *place, "--diff", "4")
    assert status == 0
    assert [each["field"] for each in shown["changes"]] == ["steps", "amount", "last_at"]
    _, found = reported("stats", postgres_url, "--schema", postgres_schema)
    assert (found["aggregates"], found["watermark"]) == (40, 169)
    asked = shown["history"][0]["event_id"]
    _, told = reported("why", asked, *place)
    assert told["tree"]["event"]["event_id"] == asked
    for words in (["events", "A100", *place], ["log", postgres_url, "--schema", postgres_schema]):
        assert run([*words, "--json", "--limit", "2"]) == 0
        assert capsys.readouterr().out.count("\n") == 2
