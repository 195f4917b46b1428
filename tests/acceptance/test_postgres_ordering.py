"""A reader that resumes from its checkpoint is given every event once, in order."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import asyncpg
import pytest
from tests.acceptance.postgres_stores import opened
from tests.acceptance.postgres_writers import (
    PlainReader,
    Reader,
    Writer,
    XminReader,
    an_append,
    committed,
    writers,
)
from tests.servers import debian_bin_dir, start_cluster, wheel_bin_dir

from hitherto import EventStoreUnavailable
from hitherto.infrastructure.postgres import PostgresStore

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", params=[wheel_bin_dir, debian_bin_dir])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both servers, for these tests alone: any open transaction holds the xmin reader back."""
    bin_dir = request.param()
    if bin_dir is None:
        pytest.skip("no PostgreSQL below /usr/lib/postgresql nor on PATH: apt install postgresql")
    cluster = start_cluster(bin_dir)
    yield cluster.url()
    cluster.stop()


@pytest.fixture
async def store(url: str, postgres_schema: str) -> AsyncIterator[PostgresStore]:
    """An empty store."""
    store = PostgresStore(url, schema=postgres_schema, max_connections=4)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def sessions(
    url: str, store: PostgresStore, postgres_schema: str
) -> AsyncIterator[list[Writer]]:
    """Three sessions to append with."""
    async with writers(url, postgres_schema, 3) as found:
        yield found


async def test_an_append_held_open_holds_the_reader_back_and_loses_nothing(
    store: PostgresStore, sessions: list[Writer], postgres_schema: str
) -> None:
    """Position 1 becomes visible after position 2; the plain reader has passed it by then."""
    slow, quick, control = sessions
    reader, plain = Reader(store), PlainReader(control.session, postgres_schema)
    await slow("BEGIN")
    await slow.append("slow")
    await quick.append("quick")
    assert await reader.poll() == []
    assert await plain.poll() == [2]
    await slow("COMMIT")
    assert await reader.poll() == [1, 2]
    assert await plain.poll() == [], "the control should have lost position 1"
    assert reader.seen == await committed(control.session, postgres_schema)


async def test_a_transaction_that_wrote_something_else_first_inverts_only_the_xmin_reader(
    store: PostgresStore, sessions: list[Writer], postgres_schema: str
) -> None:
    """Version 2 of an aggregate has the lower transaction id, so the xmin reader gives it first."""
    early, quick, control = sessions
    reader, xmin = Reader(store), XminReader(control.session, postgres_schema)
    await early("BEGIN")
    await early("CREATE TEMP TABLE outbox (x int)")  # draws a transaction id
    await quick.append("a", 0)
    await early.append("a", 1)
    await early("COMMIT")
    assert await reader.poll() == [1, 2]
    for _ in range(200):  # Whatever transaction is open, such as of a vacuum, holds it back.
        if await xmin.poll():
            break
        await asyncio.sleep(0.01)
    assert xmin.seen == [2, 1], "the control should have inverted the stream"


async def test_a_writer_in_another_database_holds_only_the_xmin_reader_back(
    url: str, store: PostgresStore, sessions: list[Writer], postgres_schema: str
) -> None:
    """Transaction ids are the cluster's; the registry is the table's."""
    quick, _, control = sessions
    await control(f"CREATE DATABASE {postgres_schema}_other")
    other = await asyncpg.connect(url.rpartition("/")[0] + f"/{postgres_schema}_other")
    reader, xmin = Reader(store), XminReader(control.session, postgres_schema)
    await other.execute("BEGIN; CREATE TABLE t (x int)")
    await quick.append("a")
    assert await reader.poll() == [1]
    assert await xmin.poll() == [], "the control should have stalled"
    await other.close()
    await control(f"DROP DATABASE {postgres_schema}_other")


async def test_without_registration_the_same_reader_loses_events(
    store: PostgresStore, sessions: list[Writer], postgres_schema: str
) -> None:
    """The trigger is what the promise stands on: with it switched off, the promise breaks."""
    slow, quick, control = sessions
    await control(
        f"ALTER TABLE {postgres_schema}.event_store DISABLE TRIGGER event_store_registers_append"
    )
    reader = Reader(store)
    await slow("BEGIN")
    await slow.append("slow")
    await quick.append("quick")
    await reader.poll()
    await slow("COMMIT")
    await reader.poll()
    assert reader.seen != await committed(control.session, postgres_schema)


async def test_rolled_back_appends_leave_gaps_and_hold_nobody_back(
    store: PostgresStore, sessions: list[Writer]
) -> None:
    """A rollback releases the registration."""
    slow, quick, _ = sessions
    reader = Reader(store)
    await slow("BEGIN")
    await slow.append("a")
    await quick.append("b")
    await slow("ROLLBACK")
    assert await reader.poll() == [2]
    await quick.append("b", 1)
    assert await reader.poll() == [3]


async def test_a_savepoint_rolled_back_and_appended_again_is_seen_once(
    store: PostgresStore, sessions: list[Writer]
) -> None:
    """Rolling back a savepoint releases its registration; the next append registers anew."""
    slow, quick, _ = sessions
    reader = Reader(store)
    await slow("BEGIN; SAVEPOINT s")
    await slow.append("a")
    await slow("ROLLBACK TO s")
    await quick.append("b")
    assert await reader.poll() == [2]
    await slow.append("a")
    await quick.append("b", 1)
    assert await reader.poll() == []
    await slow("COMMIT")
    assert await reader.poll() == [3, 4]


async def test_a_transaction_of_many_inserts_registers_once(
    store: PostgresStore, sessions: list[Writer]
) -> None:
    """Else it would use up the locks of the whole server."""
    slow, quick, _ = sessions
    reader = Reader(store)
    await slow("BEGIN")
    for version in range(1, 6):
        await slow.insert("a", version)
        await slow("SAVEPOINT s")
        await slow.append("b", version - 1)
        await slow("RELEASE s")
        await quick.append("c", version - 1)
    count = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    assert await slow.session.fetchval(count) == 1
    assert await reader.poll() == []
    await slow("COMMIT")
    assert await reader.poll() == list(range(1, 16))


async def test_a_prepared_transaction_holds_the_reader_back_until_it_ends(
    store: PostgresStore, sessions: list[Writer], postgres_schema: str
) -> None:
    """The registration outlives the session, as the prepared rows do."""
    slow, quick, _ = sessions
    reader = Reader(store)
    await slow("BEGIN")
    await slow.append("a")
    await slow(f"PREPARE TRANSACTION '{postgres_schema}'")
    await quick.append("b")
    assert await reader.poll() == []
    health = await store.health_check()
    assert health.watermark_lag == 2
    await quick(f"COMMIT PREPARED '{postgres_schema}'")
    assert await reader.poll() == [1, 2]


async def test_copy_and_plain_inserts_by_other_tools_register_too(
    store: PostgresStore, sessions: list[Writer]
) -> None:
    """The trigger fires before the first position is drawn, whoever inserts."""
    copying, inserting, quick = sessions
    reader = Reader(store)
    await copying("BEGIN")
    await copying.copy("a", "b")
    await quick.append("c")
    await inserting("BEGIN")
    await inserting.insert("d")
    await quick.append("c", 1)
    assert await reader.poll() == []
    await copying("COMMIT")
    assert await reader.poll() == [1, 2, 3]
    await inserting("COMMIT")
    assert await reader.poll() == [4, 5]


@pytest.mark.parametrize("offset", [-2, -1, 0, 1])
@pytest.mark.parametrize("edge", [2**31, 2**32, 2**33 + 2**31, 2**40])
async def test_positions_beyond_32_bits_keep_their_order(
    store: PostgresStore, sessions: list[Writer], postgres_schema: str, edge: int, offset: int
) -> None:
    """A tag keeps the low 32 bits alone; around each edge it must be lifted rightly."""
    slow, quick, control = sessions
    start = edge + offset
    await control(f"SELECT setval('{postgres_schema}.event_store_global_position_seq', {start})")
    reader = Reader(store, checkpoint=start)
    await slow("BEGIN")
    await slow.append("slow", 0, 2)
    await quick.append("quick")
    assert await reader.poll() == []
    await slow("COMMIT")
    assert await reader.poll() == [start + 1, start + 2, start + 3]


async def test_stores_of_two_schemas_at_far_positions_do_not_hold_each_other_back(
    url: str, store: PostgresStore, sessions: list[Writer], postgres_schema: str
) -> None:
    """Locks are tagged with the table, too."""
    slow, quick, control = sessions
    far = PostgresStore(url, schema=f"{postgres_schema}_far", max_connections=2)
    await far.open()
    await control(
        f"SELECT setval('{postgres_schema}_far.event_store_global_position_seq', {2**33})"
    )
    near_reader, far_reader = Reader(store), Reader(far)
    await slow("BEGIN")
    await slow.append("a")
    await far.append([an_append("a")])
    assert await far_reader.poll() == [2**33 + 1]
    await slow("ROLLBACK")
    await quick("BEGIN")
    await Writer(quick.session, f"{postgres_schema}_far").append("b")
    await control.append("c")
    assert await near_reader.poll() == [2]
    await quick("COMMIT")
    assert await far_reader.poll() == [2**33 + 2]
    await far.close()


async def test_a_filtered_reader_moves_on_past_what_does_not_match(
    store: PostgresStore, sessions: list[Writer]
) -> None:
    """Its checkpoint is the watermark, but never beyond an append in flight."""
    slow, quick, _ = sessions
    await quick.append("a")
    await slow("BEGIN")
    await slow.append("b")
    await quick.append("a", 1)
    page = await store.read_all(event_types=["Nothing"])
    assert (list(page.events), page.checkpoint) == ([], 1)
    await slow("COMMIT")
    page = await store.read_all(event_types=["Nothing"], after=page.checkpoint)
    assert page.checkpoint == 3


async def test_the_health_check_names_who_holds_the_readers_back(
    store: PostgresStore, sessions: list[Writer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An open transaction that has appended is found by its process id."""
    monkeypatch.setattr("hitherto.infrastructure.postgres.health._HELD_TOO_LONG", 0.0)
    slow, quick, _ = sessions
    await slow("BEGIN")
    await slow.append("a")
    await quick.append("b")
    health = await store.health_check()
    assert health.watermark_lag == 2
    assert any(str(slow.session.get_server_pid()) in problem for problem in health.problems)
    await slow("ROLLBACK")


async def test_a_storm_of_writers_loses_and_inverts_nothing(
    url: str, store: PostgresStore, postgres_schema: str
) -> None:
    """Rollbacks, savepoints, prepared transactions, COPY, holds and early ids, all at once."""
    seconds = float(os.environ.get("ORDERING_SECONDS", "3"))
    seed = int(os.environ.get("ORDERING_SEED", "1"))
    stop = asyncio.Event()
    reader = Reader(store)

    async def read() -> None:
        while not stop.is_set():
            await reader.poll()
            await asyncio.sleep(0.001)

    async with writers(url, postgres_schema, 9) as found:
        control = found.pop()
        plain = PlainReader(control.session, postgres_schema)
        storms = [asyncio.create_task(_storm(w, seed + n, stop)) for n, w in enumerate(found)]
        reading = asyncio.create_task(read())
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            await plain.poll()
            await asyncio.sleep(0.001)
        stop.set()
        await asyncio.gather(reading, *storms)
        await reader.poll()
        await plain.poll()
        everything = await committed(control.session, postgres_schema)
    print(f"{len(everything)} events, the plain reader lost {len(everything) - len(plain.seen)}")
    assert len(everything) > 100
    assert reader.seen == everything
    assert len(plain.seen) < len(everything), "the control should have lost events"


async def _storm(writer: Writer, seed: int, stop: asyncio.Event) -> None:
    """Append to aggregates of this writer's own, in every way there is."""
    dice = random.Random(seed)
    number = 0
    while not stop.is_set():
        number += 1
        name = f"w{seed}-{number}"
        await writer("BEGIN")
        if dice.random() < 0.3:
            await writer("SELECT pg_current_xact_id()")
        if dice.random() < 0.2:
            await writer("SAVEPOINT s")
            await writer.insert(f"{name}-undone")
            await writer("ROLLBACK TO s")
        way = dice.choice(["append", "append", "insert", "copy"])
        if way == "append":
            await writer.append(name, 0, dice.randint(1, 3))
        elif way == "insert":
            await writer.insert(name)
        else:
            await writer.copy(f"{name}-x", f"{name}-y")
        await asyncio.sleep(dice.random() * 0.02)
        end = dice.random()
        if end < 0.15:
            await writer("ROLLBACK")
        elif end < 0.3:
            await writer(f"PREPARE TRANSACTION '{writer.schema}-{name}'")
            await asyncio.sleep(dice.random() * 0.01)
            await writer(f"COMMIT PREPARED '{writer.schema}-{name}'")
        else:
            await writer("COMMIT")


async def test_a_checkpoint_is_never_a_position_that_a_crash_gives_out_again() -> None:
    """One that was drawn and rolled back; the sequence forgets it with the server."""
    cluster = start_cluster(durable=True)
    try:
        cluster.run(
            "psql", "-Xqd", cluster.url(), "-c", "ALTER SYSTEM SET wal_writer_delay = '10s'",
            "-c", "SELECT pg_reload_conf()",
        )  # fmt: skip
        async with opened(cluster.url()) as store:
            async with writers(cluster.url(), "public", 1) as (other,):
                query = "SELECT log_cnt FROM event_store_global_position_seq"
                number = 0
                while await other.session.fetchval(query) or not number:
                    await store.append([an_append(f"a{number}")])
                    number += 1
                await other("BEGIN")
                await other.append("rolled back")
                await other("ROLLBACK")
            pages = [
                await store.read_all(),
                await store.read_all(event_types=["Unheard"]),
                await store.read_all(aggregate_types=["Unheard"]),
            ]
            checkpoints = {*(page.checkpoint for page in pages), await store.watermark()}
            await asyncio.to_thread(cluster.kill)
            await asyncio.to_thread(cluster.start)
            with suppress(EventStoreUnavailable):  # on a connection that was cut
                await store.read("a")
            append = an_append("later")
            await store.append([append])
            for checkpoint in checkpoints:
                (event,) = (await store.read_all(after=checkpoint)).events
                assert event.event_id == append.events[0].event_id
    finally:
        cluster.stop()
