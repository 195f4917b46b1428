"""The archive on PostgreSQL: who may move events, what is waited for, and what reading costs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

import asyncpg
import pytest
from tests.acceptance.postgres_stores import opened
from tests.acceptance.postgres_writers import an_append, writers
from tests.acceptance.test_postgres_cost import HOT, pages, plan
from tests.acceptance.test_postgres_role_script import Made, made
from tests.acceptance.turns import Turns, counted_turns

from hitherto.application.ports.archive import Tombstone
from hitherto.errors import (
    AggregateLocked,
    AggregateTombstoned,
    AggregateVersionConflict,
    SchemaMismatch,
)
from hitherto.infrastructure.chaining import Chained
from hitherto.infrastructure.postgres import PostgresStore
from hitherto.infrastructure.postgres.announcing import Announcer

pytestmark = pytest.mark.integration

__all__ = ["made"]

READS: dict[str, list[Any]] = {
    "read_all": [0, 2**40, 1000],
    "read_all_of_event_types": [0, 2**40, 1000, ["Happened"], None],
    "read_all_of_aggregate_types": [0, 2**40, 1000, ["Thing"]],
}
MANY = 50_000

Call: TypeAlias = Callable[[], Awaitable[object]]


@pytest.fixture
async def admin(postgres_url: str) -> AsyncIterator[Any]:
    connection: Any = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


async def test_the_owner_closes_for_good_and_whom_it_grants_that(made: Made) -> None:
    """The account bears the role's name; nobody can take it away."""
    closed = Tombstone("a", "sold twice", "a clerk")
    async with opened(made.login("writer"), made.schema) as store:
        await store.append([an_append("a", count=3)])
        with pytest.raises(SchemaMismatch, match="permission denied for function tombstone_agg"):
            await store.archive.tombstone(closed)
    async with opened(made.login("owner"), made.schema) as store:
        assert await store.archive.tombstone(closed) == 3
    async with opened(made.login("writer"), made.schema) as store:
        (told,) = await store.archive.tombstones(["a"])
        assert told.closed_by == f"a clerk ({made.schema}_owner_login)"
        with pytest.raises(AggregateTombstoned):
            await store.append([an_append("a", 3)])
    for change in ("DELETE FROM {}", "UPDATE {} SET reason = ''", "TRUNCATE {}"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never changed"):
            await made.admin.execute(change.format(f"{made.schema}.aggregate_tombstones"))


async def test_an_append_in_flight_is_waited_for_before_one_is_closed(
    postgres_url: str, postgres_schema: str
) -> None:
    """It may not have seen the tombstone: what it writes is counted."""
    async with (
        opened(postgres_url, postgres_schema) as store,
        writers(postgres_url, postgres_schema, 1) as (slow,),
    ):
        await store.append([an_append("a")])
        await slow("BEGIN")
        await slow.append("a", 1)
        closing = asyncio.create_task(store.archive.tombstone(Tombstone("a", "it", "he")))
        await asyncio.sleep(0.2)
        assert not closing.done()
        await slow("COMMIT")
        assert await closing == 2
        with pytest.raises(AggregateTombstoned):
            await store.append([an_append("a", 2)])


async def test_the_owner_archives_and_whom_it_grants_that(made: Made) -> None:
    """The writer may not; what was archived is read and appended to by whom it was before."""
    async with opened(made.login("writer"), made.schema) as store:
        await store.append([an_append("a", count=3), an_append("b", count=3)])
        for move in (store.archive.archive({"a": 3}), store.archive.restore(["a"])):
            with pytest.raises(SchemaMismatch, match="permission denied for function"):
                await move
    async with opened(made.login("owner"), made.schema) as store:
        assert await store.archive.archive({"a": 3}) == {"a": 2}
    for name in ("archive_events", "restore_events"):
        await made.admin.execute(
            f"GRANT EXECUTE ON FUNCTION {made.schema}.{name} TO {made.schema}_writer"
        )
    async with opened(made.login("writer"), made.schema) as store:
        assert await store.archive.archive({"b": 3}) == {"b": 2}
        assert await store.archive.restore(["b"]) == {"b": 2}
        await store.append([an_append("a", 3)])
        with pytest.raises(AggregateVersionConflict):
            await store.append([an_append("a")])
    async with opened(made.login("reader"), made.schema) as store:
        assert [event.version for event in await store.read("a")] == [1, 2, 3, 4]
        assert len((await store.read_all()).events) == 7


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM {}.event_store",
        "DELETE FROM {}.event_store WHERE aggregate_id = 'a'",
        "DELETE FROM {}.event_archive",
        "UPDATE {}.event_archive SET event_data = '{{\"n\": 1}}'",
        "UPDATE {}.event_archive SET event_version = event_version + 10",
        "TRUNCATE {}.event_archive",
        "TRUNCATE {}.event_store, {}.event_archive",
    ],
)
async def test_nobody_loses_an_event_by_hand(
    statement: str, postgres_url: str, postgres_schema: str, admin: Any
) -> None:
    """Neither of the store nor of the archive, not even a superuser."""
    async with opened(postgres_url, postgres_schema) as store:
        await store.append([an_append("a", count=3)])
        await store.archive.archive({"a": 3})
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="is refused"):
            await admin.execute(statement.format(postgres_schema, postgres_schema))
        assert len(await store.read("a")) == 3


async def test_only_the_very_row_may_go_that_stands_in_the_other_table(
    postgres_url: str, postgres_schema: str, admin: Any
) -> None:
    """One that differs in anything may not."""
    table = f"{postgres_schema}.event_archive"
    async with opened(postgres_url, postgres_schema) as store:
        await store.append([an_append("a", count=3)])
        copy = f"""INSERT INTO {table} SELECT * FROM {postgres_schema}.event_store
                   WHERE event_version = 1"""
        away = f"DELETE FROM {postgres_schema}.event_store WHERE event_version = 1"
        for change in (
            "event_data = '{\"n\": 2}'",
            "metadata = '{}'",
            "event_id = gen_random_uuid()",
        ):
            transaction = admin.transaction()
            await transaction.start()
            await admin.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            await admin.execute(copy)
            await admin.execute(f"UPDATE {table} SET {change}")
            await admin.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="DELETE on"):
                await admin.execute(away)
            await transaction.rollback()
        await admin.execute(copy)
        await admin.execute(away)
        assert len(await store.read("a")) == 3


async def test_appends_that_have_begun_are_waited_for(
    postgres_url: str, postgres_schema: str
) -> None:
    """What they have seen may be older than what is moved; those that begin later are not."""
    async with (
        opened(postgres_url, postgres_schema) as store,
        writers(postgres_url, postgres_schema, 2) as (first, second),
    ):
        await store.append([an_append("a", count=3)])
        await first("BEGIN")
        await first.append("other")
        moving = asyncio.create_task(store.archive.archive({"a": 3}))
        await asyncio.sleep(0.3)
        assert not moving.done()
        await second("BEGIN")
        await second.append("another")
        await store.append([an_append("nobody-waits")])
        await first("COMMIT")
        assert await asyncio.wait_for(moving, 30) == {"a": 2}
        await second("ROLLBACK")


async def test_an_append_that_stays_open_ends_the_wait(
    postgres_url: str, postgres_schema: str
) -> None:
    """After five seconds, with an error that says so; nothing was moved."""
    async with (
        opened(postgres_url, postgres_schema) as store,
        writers(postgres_url, postgres_schema, 1) as (writer,),
    ):
        await store.append([an_append("a", count=3)])
        await writer("BEGIN")
        await writer.append("other")
        with pytest.raises(AggregateLocked, match="open for more than 5 seconds"):
            await store.archive.archive({"a": 3})
        assert await store.archive.archived(["a"]) == {}
        await writer("ROLLBACK")
        assert await store.archive.archive({"a": 3}) == {"a": 2}


async def test_an_append_that_began_before_an_aggregate_was_there_loses(
    postgres_url: str, postgres_schema: str, admin: Any
) -> None:
    """It is stopped between what it has seen and its insert, while its rival is stored."""
    schema = postgres_schema
    async with (
        opened(postgres_url, schema) as store,
        writers(postgres_url, schema, 1) as (writer,),
    ):
        # The trigger fires after the snapshot of the statement was taken.
        await admin.execute(
            f"""CREATE FUNCTION {schema}.stop() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN IF current_setting(''hitherto.stopped'', true) = ''on'' THEN
                 PERFORM pg_advisory_xact_lock(4711); END IF; RETURN NULL; END';
                CREATE TRIGGER a_stop BEFORE INSERT ON {schema}.event_store
                FOR EACH STATEMENT EXECUTE FUNCTION {schema}.stop()"""
        )
        await admin.execute("SELECT pg_advisory_lock(4711)")
        await writer("SET hitherto.stopped = 'on'")
        await writer("SET lock_timeout = 0")
        late = asyncio.create_task(_first_of(writer, "a"))
        await asyncio.sleep(0.2)
        await store.append([an_append("a", count=3)])
        moving = asyncio.create_task(store.archive.archive({"a": 3}))
        await asyncio.sleep(0.2)
        await admin.execute("SELECT pg_advisory_unlock(4711)")
        assert await late is None
        assert await moving == {"a": 2}
        assert [event.version for event in await store.read("a")] == [1, 2, 3]


async def _first_of(writer: Any, id: str) -> int | None:
    """What `append_event` gives, as an append of a new aggregate."""
    store = PostgresStore("postgresql://nowhere", schema=writer.schema)
    (event,) = an_append(id).events
    position: int | None = await writer.session.fetchval(
        store._sql["append_event"], id, "Thing", 0, event.event_id, "Happened", 1, "{}", None,
        event.occurred_at, None,
    )  # fmt: skip
    return position


async def test_what_was_done_to_an_event_in_the_archive_is_not_hidden_by_restoring_it(
    postgres_url: str, postgres_schema: str, admin: Any
) -> None:
    """Its hash comes back as it is there, rather than be computed again."""
    table = f"{postgres_schema}.event_archive"
    async with opened(postgres_url, postgres_schema) as store:
        await Chained(store).append([an_append("a", count=3)])
        await store.archive.archive({"a": 3})
        await admin.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await admin.execute(f"UPDATE {table} SET event_hash = 'x' WHERE event_version = 2")
        await admin.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        await store.archive.restore(["a"])
        hashes = [link.event_hash for link in await store.chain.links()]
        assert hashes[1] == b"x"
        assert None not in hashes


async def test_only_who_reads_archived_events_pays(
    postgres_url: str, postgres_schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second round trip, where the first one has shown that something is missing."""
    monkeypatch.setattr(Announcer, "appended", lambda _self, _position: None)
    async with (
        counted_turns(postgres_url) as turns,
        opened(turns.url, postgres_schema, max_connections=1) as store,
    ):
        for number in range(2):  # the second time nothing has to be prepared any more
            closed, alive = f"closed-{number}", f"alive-{number}"
            await store.append([an_append(closed, count=5), an_append(alive, count=5)])
            await store.archive.archive({closed: 5})
            found = [await _trips(turns, calls) for calls in _calls(store, closed, alive)]
        assert found == [[1] * 4, [2] * 4, [1] * 4]


def _calls(store: PostgresStore, closed: str, alive: str) -> list[list[Call]]:
    """Those that read what is alive, what is archived, and what is known not to be archived."""
    several: list[list[Call]] = [
        [
            partial(store.load, each, fingerprint="code"),
            partial(store.load_many, [each, alive], fingerprint="code"),
            partial(store.read, each),
            partial(store.read, each, backward=True),
        ]
        for each in (alive, closed)
    ]
    return [
        *several,
        [
            partial(store.load, "nobody", fingerprint=None),
            partial(store.read, "nobody"),
            partial(store.read, closed, backward=True, limit=1),
            partial(store.read, closed, from_version=5),
        ],
    ]


async def _trips(turns: Turns, calls: list[Call]) -> list[int]:
    counts: list[int] = []
    for call in calls:
        turns.count = 0
        await call()
        counts.append(turns.count)
    return counts


async def test_a_new_store_has_its_plans_by_index(postgres_url: str, postgres_schema: str) -> None:
    """They are made while the tables are empty, and kept while they grow."""
    async with (
        opened(postgres_url, postgres_schema) as store,
        store._connections.session() as connection,
    ):
        for name, arguments in HOT.items():
            nodes = await plan(connection, store._sql[name], arguments)
            assert "Seq Scan" not in {node["Node Type"] for node in nodes}, name


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize("name", READS)
async def test_a_page_of_the_log_goes_by_the_indexes_of_both_tables(
    postgres_url: str, postgres_schema: str, name: str, *, analyzed: bool
) -> None:
    """An empty archive costs a few pages; in a full one no more is read than the page has."""
    async with opened(postgres_url, postgres_schema) as store:
        schema = store._schema.sql("{schema}")
        async with store._connections.session() as connection:
            await connection.execute(
                f"""INSERT INTO {schema}.event_store (event_id, event_type, aggregate_id,
                    aggregate_type, event_version, event_data, occurred_at)
                SELECT gen_random_uuid(), 'Happened', 'a' || n / 10, 'Thing', n % 10 + 1,
                       '{{}}', now()
                FROM generate_series(0, {MANY - 1}) AS n"""
            )
            if analyzed:
                await connection.execute(f"ANALYZE {schema}.event_store")
            arguments = READS[name]
            alone = store._sql[name].replace("event_store_and_archive", "event_store")
            cost = await pages(connection, alone, arguments)
            assert await pages(connection, store._sql[name], arguments) <= cost + 10
            heads = {f"a{number}": 10 for number in range(0, MANY // 10, 2)}
            await store.archive.archive(heads)
            if analyzed:
                await connection.execute(f"ANALYZE {schema}.event_store, {schema}.event_archive")
            assert await pages(connection, store._sql[name], arguments) < 3 * cost
        page = await store.read_all(event_types=["Happened"])
        assert [event.position for event in page.events] == [*range(1, 1001)]
