"""Stores that the acceptance tests open, use, and look at from behind."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
from tests.acceptance.postgres_writers import an_append

from hitherto.application.alongside import Alongside, Timer
from hitherto.application.checkpoints import Document, Generation, ParkedEvent, Progress
from hitherto.application.records import Snapshot, StoredEvent
from hitherto.infrastructure.postgres import PostgresStore
from hitherto.infrastructure.postgres.schema import latest_version

_CATALOG = {
    "columns": """
        SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               a.attidentity, l.collname, pg_get_expr(d.adbin, d.adrelid)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        LEFT JOIN pg_collation l ON l.oid = a.attcollation
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = $1::oid AND c.relkind IN ('r', 'S') ORDER BY 1, 2""",
    "indexes": """
        SELECT c.relname, pg_get_indexdef(c.oid) FROM pg_class c
        WHERE c.relnamespace = $1::oid AND c.relkind = 'i' ORDER BY 1""",
    "constraints": """
        SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = $1::oid ORDER BY 1""",
    "triggers": """
        SELECT tgname, pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
        WHERE c.relnamespace = $1::oid AND NOT tgisinternal ORDER BY 1""",
    "functions": """
        SELECT proname, pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace = $1::oid ORDER BY 1""",
    "sequences": """
        SELECT c.relname, s.seqcache FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
        WHERE c.relnamespace = $1::oid ORDER BY 1""",
    "rights": "SELECT relname, relacl::text FROM pg_class WHERE relnamespace = $1::oid ORDER BY 1",
}


@asynccontextmanager
async def opened(url: str, schema: str = "public", **options: Any) -> AsyncIterator[PostgresStore]:
    """An open store."""
    store = PostgresStore(url, schema=schema, **{"max_connections": 4, **options})
    try:
        await store.open()
        yield store
    finally:
        await store.close()


def quoted(name: str) -> str:
    """`name` as an identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def with_database(url: str, database: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def snapshot(aggregate_id: str) -> Snapshot:
    """A snapshot at version 1."""
    return Snapshot(
        aggregate_id=aggregate_id, aggregate_type="Thing", version=1, fingerprint="f", data="{}"
    )


async def use_everything(store: PostgresStore) -> None:
    """Every operation of a store that is empty."""
    assert await store.append([an_append("a", 0, 2)]) == (2,)
    assert len(await store.append([an_append("a", 2), an_append("b")])) == 2
    assert await store.save_snapshot(snapshot("a"))
    assert await store.save_snapshot(snapshot("a"), replacing=1)
    assert await store.read_snapshot("a") == snapshot("a")
    loaded = await store.load("a", fingerprint="f")
    assert loaded.snapshot == snapshot("a")
    assert len(loaded.events) == 3
    assert set(await store.load_many(["a", "b", "c"], fingerprint="f")) == {"a", "b"}
    assert [event.version for event in await store.read("a", backward=True)] == [3, 2, 1]
    for events, aggregates in ((None, None), (["Happened"], None), (None, ["Thing"])):
        page = await store.read_all(event_types=events, aggregate_types=aggregates)
        assert len(page.events) == 4
    assert await store.watermark() == page.checkpoint == page.events[-1].position
    health = await store.health_check()
    assert health.schema_version == latest_version(), health.problems
    assert health.status != "unhealthy"


async def use_projections(store: PostgresStore) -> Generation:
    """Every operation that projections and processes need; "view" has a document afterwards."""
    checkpoints, due = store.checkpoints, datetime.now(UTC)

    async def nothing(connection: Any, *_generations: Any) -> None:
        await connection.execute("SELECT 1")

    async def effects(_events: Sequence[StoredEvent], connection: Any) -> None:
        await nothing(connection)

    inline = await checkpoints.prepare(
        "inline", version=1, partitions=1, rebuild=False, setup=nothing
    )
    (lease,) = (await checkpoints.attend(inline, "worker", lease=60, held={})).leases
    caught_up = Progress(
        generation=inline,
        leases={0: lease.token},
        position=await store.watermark(),
        handled={},
        lease=60,
    )
    await checkpoints.advance(caught_up)
    assert await checkpoints.take_inline("inline", version=1, setup=nothing)

    timer = Timer(process="p", aggregate_id="a", name="late", due=due)
    for each in (None, effects):
        key = f"message-{each is None}"
        alongside = Alongside(
            scope="s", handled=[key], timers=[timer], inline=[("inline", 1)], effects=each
        )
        (position,) = await store.append([an_append(key)], alongside=alongside)
        assert await store.handled("s", [key, "other"]) == {key}
    assert await store.due_timers("p", until=due, limit=10) == [timer]
    assert await store.forget_handled("s", before=datetime.now(UTC)) == 2
    assert await store.wait(position - 1) >= position

    made = await checkpoints.prepare("view", version=1, partitions=2, rebuild=False, setup=nothing)
    made = await checkpoints.prepare("view", version=2, partitions=2, rebuild=False, setup=nothing)
    found = await checkpoints.attend(made, "worker", lease=60, held={})
    held = {lease.partition: lease.token for lease in found.leases}
    assert sorted(held) == [0, 1]
    await checkpoints.begin(made, held)
    event = (await store.read_all()).events[0]
    parked = ParkedEvent(
        name="view",
        generation=made.number,
        partition=1,
        position=event.position,
        event_id=event.event_id,
        event_type=event.event_type,
        aggregate_id=event.aggregate_id,
        version=event.version,
        attempts=1,
        error="broken",
    )
    document = Document(collection="things", key="k", partition=0, data='{"n": 1}')
    for work in (None, nothing):
        progress = Progress(
            generation=made,
            leases=held,
            position=position,
            handled={0: 1},
            lease=60,
            parked=[parked],
            documents=[document],
        )
        await checkpoints.advance(progress, work)
    assert await checkpoints.read_documents(made, "things", ["k"], 0) == {"k": '{"n": 1}'}
    assert len(await checkpoints.parked("view", made.number)) == 1
    await checkpoints.release(made, "worker", held, leave=True)
    assert await checkpoints.switch(made, side_effects=False, finish=nothing)
    assert await checkpoints.retry_parked("view", None, skip=True) == 1
    assert await checkpoints.pause("view", paused=False)
    (status,) = await checkpoints.status("view")
    assert (status.state, status.position) == ("active", position)
    assert await checkpoints.position("view") == position
    found_documents = await checkpoints.find_documents("view", "things", equal={"n": 1})
    assert found_documents == [document]
    assert await checkpoints.prepare("reset", version=1, partitions=1, rebuild=False, setup=nothing)
    assert await checkpoints.reset("reset", setup=nothing)
    return msgspec.structs.replace(made, state="active")


async def catalog(session: Any, schema: str) -> dict[str, list[tuple[str, ...]]]:
    """All that the server knows of a schema, its name and its oid aside."""
    oid = await session.fetchval("SELECT oid::int8 FROM pg_namespace WHERE nspname = $1", schema)
    forms = (quoted(schema).replace("'", "''"), quoted(schema), schema)
    found: dict[str, list[tuple[str, ...]]] = {}
    for kind, query in _CATALOG.items():
        rows = [tuple(map(str, row)) for row in await session.fetch(query, oid)]
        for form in forms:
            rows = [tuple(value.replace(form, "S") for value in row) for row in rows]
        found[kind] = rows
    return found
