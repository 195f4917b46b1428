"""What an append's transaction writes besides events, in PostgreSQL: all or nothing, and once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec
import pytest
from tests.acceptance.postgres_stores import opened
from tests.acceptance.postgres_writers import an_append, writers
from tests.servers import new_schema

from hitherto import (
    AggregateLocked,
    AggregateVersionConflict,
    EventStoreUnavailable,
    HandlerFailed,
)
from hitherto.application.alongside import Alongside, Timer
from hitherto.application.checkpoints import Progress
from hitherto.application.records import Append, StoredEvent
from hitherto.errors import AlreadyHandled, ProjectionSuperseded
from hitherto.infrastructure.postgres import PostgresStore, appending

pytestmark = pytest.mark.integration

DUE = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class World:
    """Two stores on one schema, as of two processes, and who looks at it from behind."""

    one: PostgresStore
    other: PostgresStore
    admin: Any
    schema: str
    url: str
    seen: list[Sequence[StoredEvent]] = field(default_factory=list)

    async def effects(self, events: Sequence[StoredEvent], connection: Any) -> None:
        """Notes what it is given, and writes a row."""
        self.seen.append(events)
        await connection.execute(f"INSERT INTO {self.schema}.effects VALUES (1)")

    def alongside(self, *handled: str, effects: Any = None) -> Alongside:
        """A message, a timer, and effects."""
        return Alongside(
            scope="s", handled=handled, timers=[timer()], effects=effects or self.effects
        )

    async def written(self) -> tuple[int, int, int, int]:
        """How many events, marks, timers and effects there are."""
        tables = ("event_store", "handled_messages", "process_timers", "effects")
        counts = [await self.admin.fetchval(f"SELECT count(*) FROM {self.schema}.{each}")
                  for each in tables]  # fmt: skip
        return counts[0], counts[1], counts[2], counts[3]


def timer(name: str = "late", due: datetime | None = DUE) -> Timer:
    return Timer(process="p", aggregate_id="a", name=name, due=due)


@pytest.fixture(params=["postgres_url", "debian_postgres_url"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """On the newest server, and on an older one."""
    url: str = request.getfixturevalue(request.param)
    schema = new_schema()
    admin = await asyncpg.connect(url)
    async with opened(url, schema) as one, opened(url, schema) as other:
        await admin.execute(f"CREATE TABLE {schema}.effects (n int)")
        yield World(one, other, admin, schema, url)
    await admin.close()


async def test_the_effects_see_the_events_as_they_are_read(world: World) -> None:
    """Of all appends, in the order of the log."""
    appends = [an_append("b", 0, 2), an_append("a", 0, 300)]
    positions = await world.one.append(appends, alongside=world.alongside("m"))
    (seen,) = world.seen
    assert seen == (await world.one.read_all()).events
    assert sorted(positions) == [301, 302]
    assert await world.written() == (302, 1, 1, 1)


async def _raise(_events: Any, _connection: Any) -> None:
    raise OSError("no disk")


async def _swallow(_events: Any, connection: Any) -> None:
    with pytest.raises(asyncpg.PostgresError):
        await connection.execute("SELECT 1 / 0")


async def _end(_events: Any, connection: Any) -> None:
    await connection.execute("ROLLBACK")


@pytest.mark.parametrize("effects", [_raise, _swallow, _end])
async def test_effects_that_fail_leave_nothing(world: World, effects: Any) -> None:
    """However they do."""
    with pytest.raises(HandlerFailed, match="to be done with the append failed"):
        await world.one.append([an_append("a")], alongside=world.alongside("m", effects=effects))
    assert await world.written() == (0, 0, 0, 0)


async def test_a_connection_that_breaks_under_the_effects_leaves_nothing(world: World) -> None:
    """That is an outage; the same append can be sent again."""
    cut = True

    async def effects(events: Sequence[StoredEvent], connection: Any) -> None:
        process = await connection.fetchval("SELECT pg_backend_pid()")
        if cut:
            await world.admin.execute("SELECT pg_terminate_backend($1)", process)
        await world.effects(events, connection)

    append, alongside = an_append("a"), world.alongside("m", effects=effects)
    with pytest.raises(EventStoreUnavailable) as outage:
        await world.one.append([append], alongside=alongside)
    assert outage.value.transient
    assert await world.written() == (0, 0, 0, 0)
    cut = False
    await world.one.append([append], alongside=alongside)
    assert await world.written() == (1, 1, 1, 1)


async def test_a_connection_that_breaks_under_a_statement_of_long_effects_is_an_outage(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction was not idle, however long they have taken."""
    monkeypatch.setattr(appending, "_PATIENCE", 0.8)

    async def effects(_events: Sequence[StoredEvent], connection: Any) -> None:
        await connection.execute("SELECT pg_sleep(0.9)")
        await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(EventStoreUnavailable) as outage:
        await world.one.append([an_append("a")], alongside=world.alongside("m", effects=effects))
    assert outage.value.transient
    assert await world.written() == (0, 0, 0, 0)


async def test_effects_that_meet_in_a_deadlock_are_done_again(world: World) -> None:
    """Of appends in two processes that write the same rows in another order; none fails."""
    await world.admin.execute(f"INSERT INTO {world.schema}.effects VALUES (10), (20)")
    met = asyncio.Barrier(2)

    def adding(*rows: int, meet: list[int]) -> Any:
        async def effects(_events: Any, connection: Any) -> None:
            for row in rows:
                await connection.execute(
                    f"UPDATE {world.schema}.effects SET n = n + 1 WHERE n / 10 = $1", row
                )
                if meet:
                    meet.pop()
                    await met.wait()

        return Alongside(effects=effects)

    await asyncio.gather(
        world.one.append([an_append("a")], alongside=adding(1, 2, meet=[1])),
        world.other.append([an_append("b")], alongside=adding(2, 1, meet=[1])),
    )
    rows = await world.admin.fetch(f"SELECT n FROM {world.schema}.effects ORDER BY n")
    assert [row["n"] for row in rows] == [12, 22]
    assert (await world.written())[0] == 2


@pytest.mark.parametrize("state", ["55P03", "40P01", "40001"])
async def test_effects_that_always_meet_a_lock_leave_nothing(world: World, state: str) -> None:
    """That is no failure of theirs; the same append can be sent again."""
    calls: list[Any] = []

    async def effects(events: Sequence[StoredEvent], connection: Any) -> None:
        await world.effects(events, connection)
        calls.append(events)
        if len(calls) <= 5:
            raise_it = f"RAISE EXCEPTION 'as told' USING ERRCODE = '{state}'"
            await connection.execute(f"DO $$ BEGIN {raise_it}; END $$")

    append, alongside = an_append("a"), world.alongside("m", effects=effects)
    with pytest.raises(AggregateLocked, match="as told"):
        await world.one.append([append], alongside=alongside)
    assert (len(calls), await world.written()) == (5, (0, 0, 0, 0))
    await world.one.append([append], alongside=alongside)
    assert await world.written() == (1, 1, 1, 1)


async def test_a_message_is_handled_once(world: World) -> None:
    """An append of another aggregate that handles it again writes nothing."""
    await world.one.append([an_append("a")], alongside=world.alongside("m1", "m2"))
    for handled in (["m2"], ["m0", "m1"]):
        for appends in ([an_append("b")], [an_append("b"), an_append("c")], []):
            with pytest.raises(
                AlreadyHandled, match=f"'s' has handled the message '{handled[-1]}'"
            ):
                await world.other.append(appends, alongside=world.alongside(*handled))
    assert await world.written() == (1, 2, 1, 1)
    other = msgspec.structs.replace(world.alongside("m1"), scope="another")
    assert await world.other.append([], alongside=other) == ()
    assert await world.written() == (1, 3, 1, 2)


async def test_of_two_that_race_for_a_message_one_wins(world: World) -> None:
    """The other one has written nothing, though its events were in before."""
    results = await asyncio.gather(
        *(
            store.append([an_append(f"a{n}")], alongside=world.alongside("m"))
            for n, store in enumerate([world.one, world.other] * 5)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(each, AlreadyHandled) for each in results) == 9, results
    assert await world.written() == (1, 1, 1, 1)


@pytest.mark.parametrize("effects", [True, False])
async def test_an_append_that_is_sent_again_is_written_once(world: World, effects: bool) -> None:
    """One after the other or at once, whole groups or one: the answer is the same."""
    alongside = world.alongside("m")
    if not effects:
        alongside = msgspec.structs.replace(alongside, effects=None)
    appends = [an_append("a", 0, 2), an_append("b")]
    stores = [world.one, world.other] * 4
    found = await asyncio.gather(*(store.append(appends, alongside=alongside) for store in stores))
    again = await world.one.append(appends, alongside=alongside)
    assert {*found, again} == {again}
    assert await world.written() == (3, 1, 1, int(effects))


async def test_what_stands_only_in_part_is_completed(world: World) -> None:
    """Then the rest of the transaction was not written with it, and is; effects see that."""
    whole = an_append("a", 0, 3)
    first = Append(
        aggregate_id="a", aggregate_type="Thing", expected_version=0, events=whole.events[:1]
    )
    await world.one.append([first])
    other = an_append("b")
    await world.one.append([other])
    await world.one.append([whole, other, an_append("c")], alongside=world.alongside("m"))
    (seen,) = world.seen
    assert list(seen) == (await world.one.read_all(after=2)).events
    assert await world.written() == (5, 1, 1, 1)


async def test_an_append_that_has_lost_writes_nothing(world: World) -> None:
    """Of a group neither the others."""
    await world.one.append([an_append("a")])
    for appends in ([an_append("a")], [an_append("b"), an_append("a")]):
        with pytest.raises(AggregateVersionConflict):
            await world.one.append(appends, alongside=world.alongside("m"))
    assert await world.written() == (1, 0, 0, 0)
    assert world.seen == []


async def test_an_aggregate_that_is_held_for_a_moment_is_waited_for(world: World) -> None:
    """As without anything alongside; the effects are run once."""
    async with writers(world.url, world.schema, 1) as (holder,):
        await holder("BEGIN")
        await holder.append("a")
        append = asyncio.create_task(
            world.one.append([an_append("a")], alongside=world.alongside("m"))
        )
        await asyncio.sleep(0.15)
        await holder("ROLLBACK")
        await append
    assert len(world.seen) == 1
    assert await world.written() == (1, 1, 1, 1)


async def test_timers_are_set_moved_and_cancelled(world: World) -> None:
    """Of several for one name in a transaction the last one counts."""
    later = DUE + timedelta(days=1)

    async def write(*timers: Timer) -> list[tuple[str, datetime | None]]:
        await world.one.append([], alongside=Alongside(timers=timers))
        found = await world.one.due_timers("p", until=later, limit=10)
        return [(each.name, each.due) for each in found]

    assert await write(timer("x", later), timer("y")) == [("y", DUE), ("x", later)]
    assert await write(timer("x"), timer("y", None), timer("z")) == [("x", DUE), ("z", DUE)]
    assert await write(timer("x", None), timer("x", later)) == [("z", DUE), ("x", later)]
    assert len(await world.one.due_timers("p", until=later, limit=1)) == 1
    assert await world.one.due_timers("other", until=later, limit=1) == []


async def test_an_inline_append_and_a_switch_do_not_pass_each_other(world: World) -> None:
    """The switch waits for one, and finds that the new view lacks its event; the next one waits."""
    checkpoints = world.one.checkpoints
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def slow(_events: Sequence[StoredEvent], _connection: Any) -> None:
        begun.set()
        await may_end.wait()

    inline = Alongside(inline=[("view", 1)], effects=slow)
    assert await checkpoints.take_inline("view", version=1, setup=_nothing)
    new = await checkpoints.prepare("view", version=2, partitions=1, rebuild=False, setup=_nothing)
    held = await checkpoints.attend(new, "worker", lease=60, held={})
    append = asyncio.create_task(world.other.append([an_append("a")], alongside=inline))
    await begun.wait()
    switch = asyncio.create_task(checkpoints.switch(new, side_effects=False, finish=_nothing))
    await _somebody_waits(world.admin)
    may_end.set()
    (position,) = await append
    assert await switch is False

    (lease,) = held.leases
    await checkpoints.advance(
        Progress(generation=new, leases={0: lease.token}, position=position, handled={}, lease=60)
    )
    late: list[asyncio.Task[Any]] = []

    async def finish(*_: Any) -> None:
        late.append(asyncio.create_task(world.other.append([an_append("b")], alongside=inline)))
        await _somebody_waits(world.admin)

    assert await checkpoints.switch(new, side_effects=False, finish=finish)
    with pytest.raises(ProjectionSuperseded, match="version 1 of 'view'"):
        await late[0]
    assert (await world.written())[0] == 1


async def test_a_view_is_not_taken_inline_while_an_append_is_in_flight(world: World) -> None:
    """For nobody would tell it of that event."""
    async with writers(world.url, world.schema, 1) as (writer,):
        await writer("BEGIN")
        await writer.append("a")
        assert not await world.one.checkpoints.take_inline("view", version=1, setup=_nothing)
        await writer("ROLLBACK")
    assert await world.one.checkpoints.take_inline("view", version=1, setup=_nothing)


async def _nothing(*_: Any) -> None:
    pass


async def _somebody_waits(admin: Any) -> None:
    async with asyncio.timeout(20):
        while not await admin.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)


async def test_effects_may_read_the_store_though_more_of_them_are_at_work_than_connections(
    world: World,
) -> None:
    """Each holds one and needs another: one is left for that."""
    store = PostgresStore(world.url, schema=world.schema, max_connections=3)

    async def look(_events: Sequence[StoredEvent], _connection: Any) -> None:
        await store.read("other")

    await store.open()
    appends = [
        store.append([an_append(f"a-{n}")], alongside=Alongside(effects=look)) for n in range(9)
    ]
    assert len(await asyncio.gather(*appends)) == 9
    await store.close()
