"""Rows of real tables that become aggregates, each once, and are compared with them."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.adopting import (
    BADGE,
    JOINED,
    KINDS,
    SqliteWorld,
    User,
    UserCreated,
    World,
    from_row,
    insert,
    made,
    opened,
    users_of,
)

from hitherto import Adoption, ConfigurationError, RecordedEvent
from hitherto.application.adopting import Row, adopt, compare, mapping_of
from hitherto.application.adopting import baseline as baselines
from hitherto.infrastructure.legacy import legacy_table
from hitherto.testing.store_contract.making import append_to

pytestmark = pytest.mark.integration


@pytest.fixture(params=KINDS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return await made(request.param, lambda: request.getfixturevalue("postgres_url"), tmp_path)


async def history(world: World, user_id: str) -> list[RecordedEvent[Any]]:
    async with opened(world) as mapped:
        return await users_of(mapped.store).history(user_id)


async def test_each_row_becomes_an_aggregate(world: World) -> None:
    """With values of Python's own types."""
    await insert(world, ["Ada", "Bob", "Cleo"])
    async with opened(world) as mapped:
        result = await adopt(mapped)
        assert (result.rows, result.written, result.skipped, result.refused) == (3, 3, 0, 0)
        bob = await users_of(mapped.store).load("user-2")
        assert (bob.email, bob.name, bob.active) == ("Bob@example.com", "Bob", True)
        assert (bob.credit, bob.joined, bob.badge) == (Decimal("2.25"), JOINED, BADGE)
        (event,) = await users_of(mapped.store).history("user-2")
        assert event.metadata.actor == f"adopt:{world.table_name}"
        compared = await compare(mapped)
        assert compared.equal
        assert (compared.rows, compared.aggregates) == (3, 3)


async def test_values_arrive_as_pythons(world: World) -> None:
    """Text is text, numbers are numbers, and times have their zone."""
    await insert(world, ["Ada"])
    found: list[Row] = []

    class Looking(Adoption[User]):
        prefix = "user-"

        def baseline(self, row: Row) -> UserCreated:
            found.append(row)
            return UserCreated(email=row["email"], name=row["name"], active=row["active"])

    async with opened(world, Looking()) as mapped:
        await adopt(mapped)
    assert found[0] == {
        "id": 1, "email": "Ada@example.com", "name": "Ada", "active": True,
        "credit": Decimal("1.25"), "joined": JOINED, "badge": BADGE, "settings": None,
        "last_seen": None,
    }  # fmt: skip
    assert [type(value) for value in found[0].values()][:5] == [int, str, str, bool, Decimal]


async def test_a_function_is_enough(world: World) -> None:
    """For those who want the rows once."""
    await insert(world, ["Ada"])
    async with opened(world, mapping_of(from_row)) as mapped:
        assert (await adopt(mapped)).written == 1
        assert (await users_of(mapped.store).load("1")).name == "Ada"
        with pytest.raises(ConfigurationError, match="has no row_of"):
            await compare(mapped)


async def test_many_rows_go_page_by_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is left out where one page ends and the next one begins."""
    monkeypatch.setattr(baselines, "PAGE", 7)
    await insert(world, [f"User{number}" for number in range(1, 101)])
    async with opened(world) as mapped:
        assert (await adopt(mapped)).written == 100
        assert (await compare(mapped)).equal


async def test_an_adoption_may_be_run_again(world: World) -> None:
    """What is an aggregate stays as it is, though its row has changed."""
    await insert(world, {1: "Ada", 3: "Cleo"})
    async with opened(world) as mapped:
        await adopt(mapped)
    await insert(world, {2: "Bob"})
    await world.execute(f"UPDATE {world.table_name} SET name = 'Adele' WHERE id = 1")
    async with opened(world) as mapped:
        result = await adopt(mapped)
        assert (result.rows, result.written, result.skipped) == (3, 1, 2)
        assert (await users_of(mapped.store).load("user-1")).name == "Ada"


async def test_rows_that_are_refused_are_told(world: World) -> None:
    """The others go on; who was refused is taken once the mapping takes it."""
    await insert(world, ["Ada", "Bob", "Cleo"])
    await world.execute(f"UPDATE {world.table_name} SET email = '' WHERE id = 2")
    async with opened(world) as mapped:
        result = await adopt(mapped)
        assert (result.written, result.refused) == (2, 1)
        (refusal,) = result.refusals
        assert (refusal.key, refusal.reason) == ("2", "ValueError: a user without an email")
        compared = await compare(mapped)
        assert compared.counts == {"differs": 0, "missing": 1, "extra": 0, "unreadable": 0}


async def test_a_mapping_that_forgets_a_column_is_refused(world: World) -> None:
    """The two would part without a word."""
    await insert(world, ["Ada"])

    class Forgetful(Adoption[User]):
        def baseline(self, row: Row) -> UserCreated:
            return UserCreated(email=row["email"], name="", active=True)

        def row_of(self, aggregate: User) -> Row:
            return {"email": aggregate.email, "name": aggregate.name}

    async with opened(world, Forgetful()) as mapped:
        (refusal,) = (await adopt(mapped)).refusals
    assert refusal.reason == "after these events row_of gives name='', but the row has 'Ada'"


async def test_a_row_whose_id_belongs_to_another_kind_is_refused(world: World) -> None:
    """And the rows of its page are taken."""
    await insert(world, ["Ada", "Bob"])
    async with opened(world) as mapped:
        await mapped.store.backend.append([append_to("user-1")])
        result = await adopt(mapped)
    assert (result.written, result.refused) == (1, 1)
    assert "an id belongs to one type of aggregate" in result.refusals[0].reason


async def test_a_comparison_finds_what_differs(world: World) -> None:
    """A value, a row that no aggregate has, an aggregate that no row has."""
    await insert(world, ["Ada", "Bob", "Cleo"])
    async with opened(world) as mapped:
        await adopt(mapped)
        await world.execute(
            f"UPDATE {world.table_name} SET name = 'Bert', credit = 9.75 WHERE id = 2",
            f"DELETE FROM {world.table_name} WHERE id = 3",
        )
        await insert(world, {4: "Dora"})
        compared = await compare(mapped)
    assert compared.counts == {"differs": 1, "missing": 1, "extra": 1, "unreadable": 0}
    found = {each.key: each for each in compared.differences}
    assert found["2"].columns == {
        "name": ("'Bert'", "'Bob'"),
        "credit": ("Decimal('9.75')", "Decimal('2.25')"),
    }
    assert (found["4"].kind, found["4"].aggregate_id) == ("missing", "user-4")
    assert (found["3"].kind, found["3"].aggregate_id) == ("extra", "user-3")


async def test_texts_are_keys_in_any_order_of_the_table(tmp_path: Path) -> None:
    """Page by page, though the collation is not that of the store's ids."""
    world = SqliteWorld(tmp_path / "shop.db", tmp_path / "events.db")
    keys = [f"{letter}{number}" for letter in "aBäZ_-'" for number in range(1, 41)]
    quoted = [key.replace("'", "''") for key in keys]
    await world.execute(
        """CREATE TABLE users (
            id VARCHAR(20) COLLATE NOCASE NOT NULL UNIQUE,
            email TEXT, name TEXT, active BOOLEAN)""",
        *(f"INSERT INTO users VALUES ('{key}', 'e', '{key}', 1)" for key in quoted),
    )

    class Named(Adoption[User]):
        def baseline(self, row: Row) -> UserCreated:
            return UserCreated(email=row["email"], name=row["name"], active=row["active"])

        def row_of(self, aggregate: User) -> Row:
            return {"name": aggregate.name, "active": aggregate.active}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "PAGE", 7)
        async with opened(world, Named()) as mapped:
            assert (await adopt(mapped)).written == len(keys)
            assert (await compare(mapped)).equal


@pytest.mark.parametrize(
    ("table", "key", "told"),
    [
        ("customers", "id", "has no table .*customers'"),
        ("users", "number", "has no column 'number'; it has id, email"),
        ("users", "email", "email does not tell rows apart"),
        ("users", "credit", "can be no key"),
        ("", "id", "table='' is no name"),
        ("u" * 41, "id", "too long a name"),
        ("ü" * 21, "id", "too long a name"),
        ("a$function$", "id", "is no name"),
    ],
)
async def test_a_table_that_cannot_be_adopted_is_refused(
    table: str, key: str, told: str, world: World
) -> None:
    """Before anything is written."""
    place = world.table_name.replace("users", table) if table else ""
    with pytest.raises(ConfigurationError, match=told):
        await legacy_table(world.table_url, place, key=key).open()


@pytest.mark.parametrize("url", ["memory:", "oracle://scott:tiger@localhost/shop"])
def test_a_database_that_has_no_tables_to_adopt_is_refused(url: str) -> None:
    """And nothing of a password is told."""
    with pytest.raises(ConfigurationError, match="has no tables to adopt") as error:
        legacy_table(url, "users")
    assert "tiger" not in str(error.value)
