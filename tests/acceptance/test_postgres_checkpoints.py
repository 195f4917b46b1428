"""Checkpoints in PostgreSQL: races, fencing, and transactions that other people's code shares."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import msgspec
import pytest
from tests.acceptance.postgres_stores import opened
from tests.acceptance.postgres_writers import an_append
from tests.servers import new_schema

from hitherto import EventStoreUnavailable, HandlerFailed, LeaseLost
from hitherto.application.checkpoints import Document, Generation, ParkedEvent, Progress
from hitherto.infrastructure.postgres import PostgresStore
from hitherto.infrastructure.postgres.checkpoints import PostgresCheckpoints

pytestmark = pytest.mark.integration

LEASE = 60.0


@dataclass
class World:
    """Two stores on one schema, as of two processes, and who looks at it from behind."""

    one: PostgresStore
    other: PostgresStore
    admin: Any
    schema: str
    url: str
    generations: list[Generation] = field(default_factory=list)

    async def made(self, version: int = 1, partitions: int = 1) -> Generation:
        """A generation for code of this version."""
        return await self.one.checkpoints.prepare(
            "view", version=version, partitions=partitions, rebuild=False, setup=nothing
        )

    async def take(
        self, generation: Generation, worker: str = "one", lease: float = LEASE
    ) -> dict[int, int]:
        """What this worker holds after it has attended."""
        found = await self.one.checkpoints.attend(generation, worker, lease=lease, held={})
        return {each.partition: each.token for each in found.leases}

    async def expire(self) -> None:
        """Let all leases end, as if they had."""
        await self.admin.execute(
            f"UPDATE {self.schema}.projection_checkpoints SET leased_until = '-infinity';"
            f"UPDATE {self.schema}.projection_workers SET alive_until = '-infinity'"
        )

    async def effects(self) -> int:
        """How many rows handlers have written."""
        count: int = await self.admin.fetchval(f"SELECT count(*) FROM {self.schema}.effects")
        return count

    async def write(self, connection: Any) -> None:
        """An effect."""
        await connection.execute(f"INSERT INTO {self.schema}.effects VALUES (1)")


async def nothing(*_: Any) -> None:
    """Changes no table."""


@pytest.fixture(params=["postgres_url", "debian_postgres_url"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """On the newest server, and on an older one; with one event, and a table for effects."""
    url: str = request.getfixturevalue(request.param)
    schema = new_schema()
    admin = await asyncpg.connect(url)
    async with opened(url, schema) as one, opened(url, schema) as other:
        await one.append([an_append("a")])
        await admin.execute(f"CREATE TABLE {schema}.effects (n int)")
        yield World(one, other, admin, schema, url)
    await admin.close()


def step(generation: Generation, held: dict[int, int], **values: Any) -> Progress:
    """Progress to the first event."""
    return Progress(
        **{
            "generation": generation,
            "leases": held,
            "position": 1,
            "handled": {},
            "lease": LEASE,
            **values,
        }
    )


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """Wait until it holds; what it then gives."""
    async with asyncio.timeout(20):
        while not (found := await condition()):
            await asyncio.sleep(0.02)
    return found


# ---- who works ----


async def test_of_many_that_claim_at_once_each_partition_has_one(world: World) -> None:
    """However they race, none is given to two; once all know of each other, none is left over."""
    generation = await world.made(partitions=64)
    stores = [world.one, world.other]

    async def attend(number: int, held: dict[int, int]) -> dict[int, int]:
        found = await stores[number % 2].checkpoints.attend(
            generation, f"w{number}", lease=LEASE, held=held
        )
        assert found.share >= 8
        spare = sorted(each.partition for each in found.leases)[found.share :]
        tokens = {each.partition: each.token for each in found.leases}
        given_up = {each: tokens.pop(each) for each in spare}
        await world.one.checkpoints.release(generation, f"w{number}", given_up, leave=False)
        return tokens

    held: list[dict[int, int]] = [{} for _ in range(8)]
    for _ in range(3):
        held = await asyncio.gather(*(attend(number, own) for number, own in enumerate(held)))
        owned = [each for own in held for each in own]
        assert len(owned) == len(set(owned))
    assert [len(own) for own in held] == [8] * 8


async def test_workers_that_come_back_together_do_not_hinder_each_other(world: World) -> None:
    """After an outage each is stale to all of the others."""
    generation = await world.made(partitions=64)
    async with opened(world.url, world.schema, max_connections=12) as many:
        attend = many.checkpoints.attend
        for _ in range(30):
            await asyncio.gather(
                *(attend(generation, f"w{n}", lease=LEASE, held={}) for n in range(12))
            )
            await world.expire()
    assert len(await world.take(generation)) == 64


async def test_the_shortest_lease_makes_a_share(world: World) -> None:
    """Though nobody is alive any more when they are counted."""
    generation = await world.made(partitions=2)
    found = await world.one.checkpoints.attend(generation, "one", lease=1e-9, held={})
    assert found.share == 2


async def test_a_lease_that_has_ended_is_taken_over_with_the_attempts_that_were_begun(
    world: World,
) -> None:
    """By the store's clock; before that nobody gets it."""
    generation = await world.made()
    held = await world.take(generation)
    await world.one.checkpoints.begin(generation, held)
    assert await world.take(generation, "two") == {}
    await world.one.checkpoints.attend(generation, "one", lease=0.3, held=held)

    async def taken() -> Any:
        found = await world.other.checkpoints.attend(generation, "two", lease=LEASE, held={})
        return found.leases

    (lease,) = await until(taken)
    assert (lease.token, lease.attempts) == (held[0] + 1, 1)


async def test_a_worker_that_was_taken_over_cannot_commit(world: World) -> None:
    """Neither its checkpoint nor its effects, though its transaction began before."""
    generation = await world.made()
    held = await world.take(generation)

    async def slow(connection: Any) -> None:
        await world.write(connection)
        await world.expire()
        assert await world.take(generation, "two") == {0: held[0] + 1}

    with pytest.raises(LeaseLost, match="'view'"):
        await world.one.checkpoints.advance(step(generation, held), slow)
    assert await world.effects() == 0
    assert await world.one.checkpoints.position("view") == 0
    for write in (
        world.one.checkpoints.advance(step(generation, held)),
        world.one.checkpoints.begin(generation, held),
    ):
        with pytest.raises(LeaseLost):
            await write
    await world.one.checkpoints.advance(step(generation, {0: held[0] + 1}), world.write)
    assert await world.effects() == 1


@pytest.mark.parametrize("work", [None, nothing])
async def test_where_one_of_several_partitions_was_lost_none_moves(world: World, work: Any) -> None:
    """All or nothing, and so for the count of attempts."""
    generation = await world.made(partitions=3)
    held = await world.take(generation)
    stale = {**held, 1: held[1] - 1}
    checkpoints = world.one.checkpoints
    with pytest.raises(LeaseLost):
        await checkpoints.advance(step(generation, stale, handled={0: 5}), work)
    with pytest.raises(LeaseLost):
        await checkpoints.begin(generation, stale)
    rows = await world.admin.fetch(
        f"SELECT DISTINCT position, handled, attempts FROM {world.schema}.projection_checkpoints"
    )
    assert [tuple(row) for row in rows] == [(0, 0, 0)]


@pytest.mark.parametrize("goes_on", [False, True])
async def test_a_frozen_transaction_is_ended_by_the_server(world: World, goes_on: bool) -> None:
    """Whoever takes over does not wait for its locks, and it is told when it wakes."""
    await world.write(world.admin)
    generation = await world.made()
    held = await world.take(generation)
    frozen, thawed = asyncio.Event(), asyncio.Event()

    async def change(connection: Any) -> None:
        await connection.execute(f"UPDATE {world.schema}.effects SET n = n + 1")

    async def freeze(connection: Any) -> None:
        await change(connection)
        frozen.set()
        await thawed.wait()
        if goes_on:
            await change(connection)

    first = asyncio.create_task(
        world.one.checkpoints.advance(step(generation, held, lease=0.6), freeze)
    )
    async with asyncio.timeout(20):
        await frozen.wait()
    await world.expire()
    found = await world.other.checkpoints.attend(generation, "two", lease=LEASE, held={})
    (lease,) = found.leases
    async with asyncio.timeout(20):
        await world.other.checkpoints.advance(step(generation, {0: lease.token}), change)
    thawed.set()
    with pytest.raises(HandlerFailed, match=r"idle for 0\.6 s"):
        await first
    assert await world.admin.fetchval(f"SELECT n FROM {world.schema}.effects") == 2


_DYING = """
import asyncio, os, signal, sys
from hitherto.application.checkpoints import Generation
from hitherto.infrastructure.postgres import PostgresStore

async def main(url, schema):
    store = PostgresStore(url, schema=schema)
    await store.open()
    made = Generation(name="view", number=1, version=1, state="active", partitions=1)
    found = await store.checkpoints.attend(made, "dying", lease=0.2, held={})
    await store.checkpoints.begin(made, {each.partition: each.token for each in found.leases})
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_an_attempt_that_kills_its_process_was_counted(world: World) -> None:
    """For it was committed before it was made."""
    generation = await world.made()
    command = [sys.executable, "-W", "ignore", "-c", _DYING, world.url, world.schema]
    process = await asyncio.create_subprocess_exec(*command, env=dict(os.environ))
    assert await process.wait() == -signal.SIGKILL

    async def taken() -> Any:
        found = await world.one.checkpoints.attend(generation, "heir", lease=LEASE, held={})
        return found.leases

    (lease,) = await until(taken)
    assert lease.attempts == 1


async def test_the_locks_of_a_batch_are_held_only_while_it_commits(world: World) -> None:
    """A worker can say that it lives while its handler takes its time."""
    generation = await world.made()
    held = await world.take(generation)

    async def slow(connection: Any) -> None:
        await world.write(connection)
        found = await world.one.checkpoints.attend(generation, "one", lease=LEASE, held=held)
        assert [each.token for each in found.leases] == [held[0]]

    await world.one.checkpoints.advance(step(generation, held), slow)


async def test_what_was_let_go_is_not_renewed_by_an_attendance_under_way(world: World) -> None:
    """Or else nobody could take it until that lease ends."""
    generation = await world.made()
    held = await world.take(generation)
    await world.one.checkpoints.release(generation, "one", held, leave=False)
    found = await world.one.checkpoints.attend(generation, "one", lease=LEASE, held=held)
    (lease,) = found.leases
    assert lease.token == held[0] + 1


async def test_a_reset_finds_its_way_past_a_busy_worker(world: World) -> None:
    """It waits for the batch that is under way, which is lost or counts."""
    generation = await world.made()
    table = f"{world.schema}.effects"

    async def write(connection: Any) -> None:
        await world.write(connection)
        await asyncio.sleep(0.3)

    async def work() -> None:
        held = await world.take(generation)
        while True:
            try:
                await world.other.checkpoints.advance(step(generation, held), write)
            except LeaseLost:
                held = await world.take(generation)

    async def anew(connection: Any, *_: Any) -> None:
        await connection.execute(f"DROP TABLE {table}")
        await connection.execute(f"CREATE TABLE {table} (n int)")

    busy = asyncio.create_task(work())
    try:
        await until(world.effects)
        for _ in range(3):
            assert await world.one.checkpoints.reset("view", setup=anew)
            await asyncio.sleep(0.1)
        assert not busy.done()
    finally:
        busy.cancel()
        await asyncio.wait([busy])


# ---- other people's code ----


def _raise(error: Exception) -> Any:
    async def work(_connection: Any) -> None:
        raise error

    return work


async def _swallow(connection: Any) -> None:
    """Leaves the transaction aborted, and thinks that all is well."""
    with pytest.raises(asyncpg.PostgresError):
        await connection.execute("SELECT 1 / 0")


async def _end(connection: Any) -> None:
    await connection.execute("COMMIT")


async def _defer(connection: Any) -> None:
    """Breaks a constraint that is checked at the end."""
    await connection.execute(
        "CREATE TEMP TABLE later (n int UNIQUE DEFERRABLE INITIALLY DEFERRED) ON COMMIT DROP;"
        "INSERT INTO later VALUES (1), (1)"
    )


async def _leave_a_query(connection: Any) -> None:
    """Does not wait for what it has begun, which the server goes on with all the same."""
    left = asyncio.create_task(connection.execute("SELECT pg_sleep(1)"))
    await asyncio.sleep(0.05)
    left.add_done_callback(lambda task: task.cancelled() or task.exception())
    raise RuntimeError("gave up")


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (_raise(ValueError("a")), "'view' failed: ValueError: a"),
        (_raise(ConnectionResetError("elsewhere")), "ConnectionResetError: elsewhere"),
        (_raise(TimeoutError()), "TimeoutError"),
        (_raise(asyncpg.InterfaceError("odd")), "InterfaceError: odd"),
        (_swallow, "current transaction is aborted"),
        (_end, "ended its transaction"),
        (_defer, "duplicate key"),
        (_leave_a_query, "RuntimeError: gave up"),
    ],
)
async def test_whatever_a_handler_does_wrong_is_its_failure(
    world: World, work: Any, told: str
) -> None:
    """And not the store's, which serves on; nothing of the batch is committed."""
    generation = await world.made()
    held = await world.take(generation)

    async def written(connection: Any) -> None:
        await world.write(connection) if work is not _end else None
        await work(connection)

    with pytest.raises(HandlerFailed, match=told) as failure:
        await world.one.checkpoints.advance(step(generation, held), written)
    assert work is _end or failure.value.__cause__ is not None
    assert await world.effects() == 0
    assert await world.one.checkpoints.position("view") == 0
    await world.one.checkpoints.advance(step(generation, held), world.write)
    assert await world.effects() == 1


@pytest.mark.parametrize("data", ['{"text": "\\u0000"}', "{", '{"a": "\ud800"}'])
async def test_a_document_that_cannot_be_stored_is_its_handlers_failure(
    world: World, data: str
) -> None:
    """The worker would try it again for ever, if it took that for an outage."""
    generation = await world.made()
    held = await world.take(generation)
    documents: list[Document] = []

    async def work(_connection: Any) -> None:
        documents.append(Document(collection="c", key="k", partition=0, data=data))

    with pytest.raises(HandlerFailed):
        await world.one.checkpoints.advance(step(generation, held, documents=documents), work)
    assert await world.one.checkpoints.position("view") == 0


async def test_a_handler_may_use_savepoints(world: World) -> None:
    """As it is used to, with the driver's own transactions."""
    generation = await world.made()
    held = await world.take(generation)

    async def work(connection: Any) -> None:
        await world.write(connection)
        with pytest.raises(asyncpg.PostgresError):
            async with connection.transaction():
                await world.write(connection)
                await connection.execute("SELECT 1 / 0")

    await world.one.checkpoints.advance(step(generation, held), work)
    assert await world.effects() == 1


async def test_a_connection_that_breaks_under_a_handler_is_an_outage(world: World) -> None:
    """It is no attempt of the handler's that has failed."""
    generation = await world.made()
    held = await world.take(generation)

    async def work(connection: Any) -> None:
        process = await connection.fetchval("SELECT pg_backend_pid()")
        await world.admin.execute("SELECT pg_terminate_backend($1)", process)
        await world.write(connection)

    with pytest.raises(EventStoreUnavailable) as outage:
        await world.one.checkpoints.advance(step(generation, held), work)
    assert outage.value.transient
    await world.one.checkpoints.advance(step(generation, held), world.write)
    assert await world.effects() == 1


async def test_a_worker_that_is_cancelled_leaves_nothing(world: World) -> None:
    """Its cancellation passes, and its transaction is gone."""
    generation = await world.made()
    held = await world.take(generation)
    begun = asyncio.Event()

    async def work(connection: Any) -> None:
        await world.write(connection)
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(world.one.checkpoints.advance(step(generation, held), work))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await world.one.checkpoints.advance(step(generation, held), world.write)
    assert await world.effects() == 1


async def test_an_error_of_any_text_can_be_kept(world: World) -> None:
    """Also one that the server could not store as it is."""
    generation = await world.made()
    held = await world.take(generation)
    (event,) = (await world.one.read_all()).events
    parked = ParkedEvent(
        name="view",
        generation=generation.number,
        partition=0,
        position=event.position,
        event_id=event.event_id,
        event_type=event.event_type,
        aggregate_id=event.aggregate_id,
        version=event.version,
        attempts=5,
        error="a \0 and half a \ud83d",
    )
    await world.one.checkpoints.advance(step(generation, held, parked=[parked]))
    (found,) = await world.one.checkpoints.parked("view")
    assert found.parked_at is not None
    expected = msgspec.structs.replace(parked, error="a � and half a ?", parked_at=found.parked_at)
    assert found == expected


# ---- generations ----


async def test_many_that_prepare_at_once_make_one_generation(world: World) -> None:
    """Its tables are set up once, by one of them."""
    set_up: list[int] = []

    async def setup(connection: Any, made: Generation, _old: Generation | None) -> None:
        set_up.append(made.number)
        await connection.execute(f"CREATE TABLE {world.schema}.mine (n int)")

    found = await asyncio.gather(
        *(
            each.checkpoints.prepare("new", version=3, partitions=2, rebuild=False, setup=setup)
            for each in [world.one, world.other] * 4
        )
    )
    assert set_up == [1]
    assert {each.number for each in found} == {1}


@pytest.mark.parametrize("failing", [_raise(OSError("no disk")), _swallow])
async def test_a_setup_that_fails_leaves_no_generation(world: World, failing: Any) -> None:
    """It is tried again as if nothing had been."""

    async def setup(connection: Any, *_: Any) -> None:
        await connection.execute(f"CREATE TABLE {world.schema}.mine (n int)")
        await failing(connection)

    checkpoints = world.one.checkpoints
    with pytest.raises(HandlerFailed):
        await checkpoints.prepare("new", version=1, partitions=2, rebuild=False, setup=setup)
    assert await checkpoints.status("new") == []
    made = await checkpoints.prepare("new", version=1, partitions=2, rebuild=False, setup=nothing)
    assert made.number == 1


async def test_a_switch_waits_for_nobody_who_reads_the_view(world: World) -> None:
    """A lock on the view's table makes it fail for now, with nothing changed; then it is done."""
    old = await world.made()
    new = await world.made(version=2)
    old_held, new_held = await world.take(old), await world.take(new, "two")

    async def finish(connection: Any, made: Generation, gone: Generation | None) -> None:
        assert (made.number, made.state) == (2, "filling")
        assert gone is not None
        assert (gone.number, gone.state) == (1, "active")
        await connection.execute(f"ALTER TABLE {world.schema}.effects RENAME TO renamed")

    async with world.admin.transaction():
        await world.admin.execute(f"SELECT * FROM {world.schema}.effects")
        with pytest.raises(EventStoreUnavailable, match="lock timeout"):
            await world.one.checkpoints.switch(new, side_effects=False, finish=finish)
    assert {each.state for each in await world.one.checkpoints.status()} == {"active", "filling"}
    await world.one.checkpoints.advance(step(old, old_held))
    await world.one.checkpoints.advance(step(new, new_held))

    assert await world.one.checkpoints.switch(new, side_effects=False, finish=finish)
    (status,) = await world.one.checkpoints.status()
    assert (status.generation, status.state, status.position) == (2, "active", 1)
    assert not await world.one.checkpoints.switch(new, side_effects=False, finish=finish)


async def test_a_switch_leaves_the_workers_of_both_without_leases(world: World) -> None:
    """Those of the old one are told that it is retired, those of the new one look again."""
    old = await world.made()
    new = await world.made(version=2)
    old_held, new_held = await world.take(old), await world.take(new, "two")
    assert await world.one.checkpoints.switch(new, side_effects=True, finish=nothing)
    for generation, held in ((old, old_held), (new, new_held)):
        with pytest.raises(LeaseLost):
            await world.one.checkpoints.advance(step(generation, held), world.write)
    assert await world.effects() == 0
    gone = await world.one.checkpoints.attend(old, "one", lease=LEASE, held=old_held)
    assert (gone.state, gone.leases) == ("retired", ())
    found = await world.one.checkpoints.attend(new, "two", lease=LEASE, held=new_held)
    assert found.state == "active"
    assert [each.token for each in found.leases] == [new_held[0] + 2]


@pytest.mark.parametrize("side_effects", [True, False])
async def test_a_step_of_the_old_generation_during_a_switch_counts(
    world: World, side_effects: bool
) -> None:
    """Its side effects are not done again; without any, the new view now lacks its event."""
    old = await world.made()
    new = await world.made(version=2)
    held = await world.take(old)

    async def finish(connection: Any, *_: Any) -> None:
        await connection.execute(f"CREATE TABLE {world.schema}.finished (n int)")
        await world.other.checkpoints.advance(step(old, held), world.write)

    switched = await world.one.checkpoints.switch(new, side_effects=side_effects, finish=finish)
    assert switched is side_effects
    assert await world.effects() == 1
    finished = await world.admin.fetchval("SELECT to_regclass($1)", f"{world.schema}.finished")
    assert (finished is not None) is side_effects
    (lease,) = (await world.one.checkpoints.attend(new, "two", lease=LEASE, held={})).leases
    assert lease.silent_until == int(side_effects)


async def test_a_switch_knows_of_the_last_step_of_the_old_generation(world: World) -> None:
    """One that is being committed is waited for, so that its side effects are not done again."""
    await world.made()
    new = await world.made(version=2)

    async def switched() -> bool:
        table = f"{world.schema}.projection_checkpoints"
        async with world.admin.transaction():
            await world.admin.execute(f"UPDATE {table} SET position = 1 WHERE generation = 1")
            switch = asyncio.create_task(
                world.one.checkpoints.switch(new, side_effects=True, finish=nothing)
            )
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            await until(lambda: _either(switch, world.admin.fetchval(waits)))
        try:
            return await switch
        except EventStoreUnavailable:  # It does not wait for long.
            return False

    await until(switched)
    (lease,) = (await world.one.checkpoints.attend(new, "two", lease=LEASE, held={})).leases
    assert lease.silent_until == 1


async def _either(task: "asyncio.Task[Any]", found: Awaitable[Any]) -> bool:
    return bool(await found) or task.done()


# ---- connections ----

_READS: list[Callable[[PostgresCheckpoints, Generation], Awaitable[Any]]] = [
    lambda checkpoints, made: checkpoints.position("view"),
    lambda checkpoints, made: checkpoints.parked("view"),
    lambda checkpoints, made: checkpoints.status(),
    lambda checkpoints, made: checkpoints.find_documents("view", "c"),
    lambda checkpoints, made: checkpoints.read_documents(made, "c", ["k"], None),
    lambda checkpoints, made: checkpoints.attend(made, "one", lease=1, held={}),
    lambda checkpoints, made: checkpoints.release(made, "one", {}, leave=True),
    lambda checkpoints, made: checkpoints.pause("view", paused=False),
    lambda checkpoints, made: checkpoints.prepare(
        "view", version=1, partitions=1, rebuild=False, setup=nothing
    ),
]


@pytest.mark.parametrize("read", _READS)
async def test_a_connection_that_was_cut_while_idle_is_not_noticed(
    world: World, read: Callable[[PostgresCheckpoints, Generation], Awaitable[Any]]
) -> None:
    """A read is tried once more, on a fresh one."""
    generation = await world.made()
    await read(world.one.checkpoints, generation)
    next_one = world.one._connections._hot[-1]
    next_one._con._transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
    await read(world.one.checkpoints, generation)
