"""A table and its aggregates in step: each change of either side gets to the other one, once."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.acceptance.adopting import (
    BADGE,
    JOINED,
    KINDS,
    EmailChanged,
    PostgresWorld,
    User,
    UserCreated,
    UserRemoved,
    UserRenamed,
    Users,
    World,
    insert,
    made,
    opened,
    users_of,
)

from hitherto import (
    Adoption,
    Aggregate,
    AggregateLocked,
    ConfigurationError,
    Event,
    EventStoreUnavailable,
    ProjectionWorker,
    Repository,
)
from hitherto.application.adopting import (
    AdoptedTable,
    Capture,
    InStep,
    Mapped,
    Row,
    adopt,
    capturing,
    compare,
)
from hitherto.infrastructure.legacy import legacy_table

pytestmark = pytest.mark.integration


@pytest.fixture(params=KINDS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return await made(request.param, lambda: request.getfixturevalue("postgres_url"), tmp_path)


@pytest.fixture
async def mapped(world: World) -> AsyncIterator[Mapped]:
    """Ada, Bob and Cleo, with the capture installed, and taken over."""
    await insert(world, ["Ada", "Bob", "Cleo"])
    async with opened(world) as mapped:
        await mapped.table.install()
        await adopt(mapped)
        yield mapped


async def told(mapped: Mapped, user_id: str) -> list[Any]:
    """The events of a user."""
    return [each.event for each in await users_of(mapped.store).history(user_id)]


async def in_step(mapped: Mapped) -> None:
    """Let all that was there get to the other side."""
    await InStep(mapped).catch_up()


async def waiting(world: World) -> int:
    """How many changes wait."""
    outbox = world.table_name.replace("users", "hitherto_outbox_users")
    ((count,),) = await world.fetch(f"SELECT count(*) FROM {outbox}")
    return int(count)


async def test_a_programs_write_becomes_an_event(world: World, mapped: Mapped) -> None:
    """New rows, changes, deletions, and a row that is there again."""
    table = world.table_name
    await insert(world, {4: "Dora"})
    await world.execute(f"UPDATE {table} SET name = 'Adele', email = 'a@b.c' WHERE id = 1")
    await world.execute(f"DELETE FROM {table} WHERE id = 2")
    await world.execute(f"DELETE FROM {table} WHERE id = 3")
    await insert(world, {3: "Chloe"})
    await in_step(mapped)
    assert (await told(mapped, "user-1"))[1:] == [
        UserRenamed(name="Adele"),
        EmailChanged(email="a@b.c"),
    ]
    assert (await told(mapped, "user-2"))[1:] == [UserRemoved()]
    removed, again = (await told(mapped, "user-3"))[1:]
    assert (removed, again.name) == (UserRemoved(), "Chloe")
    (created,) = await told(mapped, "user-4")
    assert created == UserCreated(
        email="Dora@example.com", name="Dora", active=True, credit=Decimal("4.25"),
        joined=JOINED, badge=BADGE,
    )  # fmt: skip
    assert (await compare(mapped)).equal
    assert await waiting(world) == 0


async def test_what_the_baseline_contains_is_not_applied_again(world: World) -> None:
    """Changes that were captured before a row was taken over lead to nothing."""
    await insert(world, ["Ada"])
    async with opened(world) as mapped:
        await mapped.table.install()
        for name in ("Adele", "Adelheid", "Ada II"):
            await world.execute(f"UPDATE {world.table_name} SET name = '{name}' WHERE id = 1")
        assert await waiting(world) == 3
        await adopt(mapped)
        await in_step(mapped)
        (created,) = await told(mapped, "user-1")
        assert created.name == "Ada II"
        assert await waiting(world) == 0


async def test_what_was_rolled_back_was_not(world: World, mapped: Mapped) -> None:
    """It is captured in the program's own transaction."""
    with pytest.raises(Exception, match=r"NULL|null"):
        await world.execute(
            f"UPDATE {world.table_name} SET name = 'Adele' WHERE id = 1",
            f"UPDATE {world.table_name} SET name = NULL WHERE id = 2",
        )
    assert await waiting(world) == 0


async def test_what_new_code_does_gets_into_the_table(world: World, mapped: Mapped) -> None:
    """And is not captured there, to come back."""
    users = users_of(mapped.store)
    await users.update("user-1", lambda user: user.rename("Adele"))
    await users.update("user-2", lambda user: user.remove())
    await users.save(User.create("user-9", "i@j.k", "Ida"))
    before = await mapped.store.watermark()
    await in_step(mapped)
    assert await mapped.store.watermark() == before
    assert await waiting(world) == 0
    query = f"SELECT id, name, email FROM {world.table_name} ORDER BY id"
    assert await world.fetch(query) == [
        (1, "Adele", "Ada@example.com"),
        (3, "Cleo", "Cleo@example.com"),
        (9, "Ida", "i@j.k"),
    ]
    assert (await compare(mapped)).equal


async def test_columns_that_each_side_changed_alone_are_both_kept(
    world: World, mapped: Mapped
) -> None:
    """Whoever comes first."""
    await users_of(mapped.store).update("user-1", lambda user: user.change_email("new@b.c"))
    await world.execute(f"UPDATE {world.table_name} SET name = 'Adele' WHERE id = 1")
    await in_step(mapped)
    query = f"SELECT name, email FROM {world.table_name} WHERE id = 1"
    assert await world.fetch(query) == [("Adele", "new@b.c")]
    assert (await compare(mapped)).equal


async def test_of_one_column_the_table_wins(world: World, mapped: Mapped) -> None:
    """Its change takes its place in the log when it is taken over."""
    await world.execute(f"UPDATE {world.table_name} SET name = 'Table' WHERE id = 1")
    await users_of(mapped.store).update("user-1", lambda user: user.rename("Code"))
    await in_step(mapped)
    assert await world.fetch(f"SELECT name FROM {world.table_name} WHERE id = 1") == [("Table",)]
    assert (await compare(mapped)).equal


async def test_columns_that_are_not_mapped_stay(world: World, mapped: Mapped) -> None:
    """Neither side takes notice of them."""
    table = world.table_name
    await world.execute(f"UPDATE {table} SET last_seen = '2026-01-01 00:00:00+00' WHERE id = 1")
    await users_of(mapped.store).update("user-1", lambda user: user.rename("Adele"))
    await in_step(mapped)
    query = f"SELECT name FROM {table} WHERE last_seen IS NOT NULL"
    assert await world.fetch(query) == [("Adele",)]
    assert len(await told(mapped, "user-1")) == 2


async def test_another_key_is_another_aggregate(world: World, mapped: Mapped) -> None:
    """The one of before is told to be gone."""
    always = "OVERRIDING" if isinstance(world, PostgresWorld) else ""
    if always:
        await world.execute(f"ALTER TABLE {world.table_name} ALTER id SET GENERATED BY DEFAULT")
    await world.execute(f"UPDATE {world.table_name} SET id = 7 WHERE id = 1")
    await in_step(mapped)
    assert (await told(mapped, "user-1"))[1:] == [UserRemoved()]
    (created,) = await told(mapped, "user-7")
    assert created.name == "Ada"
    assert (await compare(mapped)).equal


async def test_truncate_is_refused(postgres_url: str, tmp_path: Path) -> None:
    """No row would tell of it."""
    world = await made("postgres", lambda: postgres_url, tmp_path)
    async with opened(world) as mapped:
        await mapped.table.install()
        with pytest.raises(Exception, match="which TRUNCATE would elude"):
            await world.execute(f"TRUNCATE {world.table_name}")
        await mapped.table.remove()
        await world.execute(f"TRUNCATE {world.table_name}")


async def test_a_refused_change_waits_and_keeps_nobody_else(world: World, mapped: Mapped) -> None:
    """But those of its key that follow; it is tried again when it is run again."""
    table = world.table_name
    await world.execute(f"UPDATE {table} SET name = 'refused' WHERE id = 1")
    await world.execute(f"UPDATE {table} SET email = 'later@b.c' WHERE id = 1")
    await world.execute(f"UPDATE {table} SET name = 'Bert' WHERE id = 2")
    await in_step(mapped)
    assert (await told(mapped, "user-2"))[1:] == [UserRenamed(name="Bert")]
    assert len(await told(mapped, "user-1")) == 1
    count, (refused,) = await mapped.table.refused(10)
    assert (count, refused.key, refused.reason) == (1, "1", "ValueError: nobody is called so")
    assert await waiting(world) == 2

    class Mended(Users):
        def changed(self, before: Any, after: Any) -> Any:
            return (
                [UserRenamed(name=after["name"])]
                if before["name"] != after["name"]
                else (super().changed(before, after))
            )

    async with opened(world, Mended()) as mended:
        await in_step(mended)
        assert (await told(mended, "user-1"))[1:] == [
            UserRenamed(name="refused"),
            EmailChanged(email="later@b.c"),
        ]
        assert (await compare(mended)).equal


async def test_a_change_is_applied_once_though_its_worker_dies(
    world: World, mapped: Mapped, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its events are stored, and before it is dropped; new code goes on meanwhile."""
    await world.execute(f"UPDATE {world.table_name} SET name = 'Adele' WHERE id = 1")

    async def die(*_: Any, **__: Any) -> None:
        raise EventStoreUnavailable("killed")

    with monkeypatch.context() as patch:
        patch.setattr(capturing, "settle", die)
        with pytest.raises(EventStoreUnavailable):
            await Capture(mapped).take()
    await users_of(mapped.store).update("user-1", lambda user: user.rename("Code"))
    await in_step(mapped)
    assert (await told(mapped, "user-1"))[1:] == [
        UserRenamed(name="Adele"),
        UserRenamed(name="Code"),
    ]
    assert await world.fetch(f"SELECT name FROM {world.table_name} WHERE id = 1") == [("Code",)]


async def test_workers_that_race_apply_nothing_twice(world: World, mapped: Mapped) -> None:
    """Each change leads to its one event, in order."""
    for number in range(60):
        await world.execute(
            f"UPDATE {world.table_name} SET name = 'N{number}' WHERE id = {number % 3 + 1}"
        )
    async with opened(world) as other, opened(world) as third:
        captures = [Capture(each) for each in (mapped, other, third)]
        await asyncio.gather(*(each.catch_up() for each in captures))
    assert await waiting(world) == 0
    for number in (1, 2, 3):
        names = [each.name for each in (await told(mapped, f"user-{number}"))[1:]]
        assert names == [f"N{each}" for each in range(60) if each % 3 + 1 == number]


async def test_a_capture_is_removed_with_all_that_was_made_for_it(world: World) -> None:
    """Unless changes wait; the table is as it was."""
    async with opened(world) as mapped:
        await mapped.table.install()
        await mapped.table.install()
        await insert(world, ["Ada"])
        with pytest.raises(ConfigurationError, match=r"1 changes of .* are not taken over"):
            await mapped.table.remove()
        assert await mapped.table.is_captured()
        await mapped.table.remove(force=True)
        assert not await mapped.table.is_captured()
        with pytest.raises(ConfigurationError, match="are not captured: run"):
            await in_step(mapped)
        await insert(world, {2: "Bob"})
    schema = world.table_name.rpartition(".")[0]
    query = (
        f"SELECT relname FROM pg_class WHERE relname LIKE '%hitherto_outbox%' "
        f"AND relnamespace = '{schema}'::regnamespace"
        if schema
        else "SELECT name FROM sqlite_schema WHERE name LIKE '%hitherto_outbox_%' "
        "OR name = 'hitherto_adopting'"
    )
    assert await world.fetch(query) == []


async def test_what_has_to_be_mapped_is_told(world: World) -> None:
    """Before anything is done."""

    async with opened(world) as mapped:

        class Baseline(Adoption[User]):
            def baseline(self, row: Any) -> UserCreated:
                return UserCreated(email="", name="", active=True)

        with pytest.raises(ConfigurationError, match="Baseline has no changed"):
            InStep(Mapped(mapped.store, User, Baseline(), mapped.table))


async def test_a_program_that_holds_a_row_keeps_only_its_own_change(
    postgres_url: str, tmp_path: Path
) -> None:
    """Others are taken over; it is never in a deadlock with hitherto."""
    world = await made("postgres", lambda: postgres_url, tmp_path)
    await insert(world, ["Ada", "Bob"])
    async with opened(world) as mapped:
        await mapped.table.install()
        await adopt(mapped)
        users = users_of(mapped.store)
        connection = await asyncpg.connect(postgres_url)
        async with connection.transaction():
            await connection.execute(f"UPDATE {world.table_name} SET email = 'x' WHERE id = 1")
            for user_id in ("user-1", "user-2"):
                await users.update(user_id, lambda user: user.rename("New"))
            running = asyncio.create_task(in_step(mapped))
            async with asyncio.timeout(60):
                query = f"SELECT name FROM {world.table_name} WHERE id = 2"
                while await world.fetch(query) != [("New",)]:
                    await asyncio.sleep(0.05)
            assert not running.done()
        await connection.close()
        await running
        await in_step(mapped)
        query = f"SELECT name, email FROM {world.table_name} WHERE id = 1"
        assert await world.fetch(query) == [("New", "x")]
        assert (await compare(mapped)).equal


async def test_what_the_table_refuses_is_set_aside(world: World, mapped: Mapped) -> None:
    """As an event that a projection cannot handle; others get there."""
    users = users_of(mapped.store)
    await users.save(User.create("user-nobody", "x@y.z", "Nobody"))
    await users.update("user-2", lambda user: user.rename("Bert"))
    await in_step(mapped)
    (parked,) = await mapped.store.backend.checkpoints.parked(mapped.scope)
    assert parked.aggregate_id == "user-nobody"
    assert "'nobody' is no key of the table" in (parked.error or "")
    assert await world.fetch(f"SELECT name FROM {world.table_name} WHERE id = 2") == [("Bert",)]


async def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """And none is made."""
    with pytest.raises(ConfigurationError, match="there is no file"):
        await legacy_table(f"sqlite:///{tmp_path}/none.db", "users").open()
    assert not (tmp_path / "none.db").exists()


async def test_a_row_of_which_a_change_waits_is_left_to_who_takes_it_over(
    world: World, mapped: Mapped
) -> None:
    """What a program wrote is not undone meanwhile, nor is what new code did forgotten."""
    await world.execute(f"UPDATE {world.table_name} SET name = 'Adele' WHERE id = 1")
    await users_of(mapped.store).update("user-1", lambda user: user.change_email("new@b.c"))
    query = f"SELECT name, email FROM {world.table_name} WHERE id = 1"
    await ProjectionWorker(mapped.store, AdoptedTable(mapped)).catch_up()
    assert await world.fetch(query) == [("Adele", "Ada@example.com")]
    await Capture(mapped).catch_up()
    assert await world.fetch(query) == [("Adele", "new@b.c")]


async def test_one_at_a_time_writes_back(postgres_url: str, tmp_path: Path) -> None:
    """Else a fold that is older than another could be written after it."""
    world = await made("postgres", lambda: postgres_url, tmp_path)
    async with opened(world) as one, opened(world) as other:
        async with one.table.settling():
            with pytest.raises(AggregateLocked):
                async with other.table.settling():
                    pass
        async with other.table.settling():
            pass


async def test_json_goes_both_ways(postgres_url: str, tmp_path: Path) -> None:
    """As what it stands for."""
    world = await made("postgres", lambda: postgres_url, tmp_path)

    class Set(Event):
        settings: Mapping[str, Any]

    class Preferences(Aggregate[Set]):
        settings: Mapping[str, Any] | None = None

        def apply(self, event: Set) -> None:
            self.settings = event.settings

    class Rows(Adoption[Preferences]):
        def baseline(self, row: Row) -> Set:
            return Set(settings=row["settings"])

        def changed(self, before: Row, after: Row) -> list[Set]:
            return [Set(settings=after["settings"])]

        def deleted(self, row: Row) -> list[Set]:
            return []

        def row_of(self, aggregate: Preferences) -> Row:
            return {"settings": aggregate.settings}

    await insert(world, ["Ada"])
    change = f"UPDATE {world.table_name} SET settings = "
    await world.execute(f"""{change}'{{"dark": true, "sizes": [1, 2.5]}}'""")
    async with opened(world) as opened_one:
        mapped = Mapped(opened_one.store, Preferences, Rows(), opened_one.table)
        await mapped.table.install()
        await adopt(mapped)
        await world.execute(f"""{change}'{{"dark": false}}'""")
        await in_step(mapped)
        preferences = Repository(mapped.store, Preferences)
        assert (await preferences.load("1")).settings == {"dark": False}
        await preferences.update("1", lambda it: it.record(Set(settings={"light": None})))
        await in_step(mapped)
        query = f"SELECT settings->'light' = 'null'::jsonb FROM {world.table_name}"
        assert await world.fetch(query) == [(True,)]
        assert (await compare(mapped)).equal


async def test_a_table_that_has_got_a_column_is_captured_anew(world: World, mapped: Mapped) -> None:
    """What waits is kept."""
    table = world.table_name
    await world.execute(f"UPDATE {table} SET name = 'Adele' WHERE id = 1")
    await world.execute(f"ALTER TABLE {table} ADD COLUMN phone text")
    await world.execute(f"UPDATE {table} SET phone = '1' WHERE id = 2")
    async with opened(world) as anew:
        await anew.table.install()
        await world.execute(f"UPDATE {table} SET phone = '2' WHERE id = 3")
        changes = await anew.table.changes(10)
        assert [each.key for each in changes] == ["1", "2", "3"]
        assert [(each.after or {})["phone"] for each in changes][2] == "2"
        await in_step(anew)
        assert (await compare(anew)).equal
