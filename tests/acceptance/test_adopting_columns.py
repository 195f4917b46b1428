"""What PostgreSQL keeps from a trigger, or tells it otherwise, is captured as it is."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from tests.servers import new_schema

from hitherto import Adoption, Aggregate, Event, Repository, connect
from hitherto.application.adopting import InStep, Mapped, adopt, compare
from hitherto.errors import ConfigurationError
from hitherto.infrastructure.legacy import legacy_table

pytestmark = pytest.mark.integration


class RowMade(Event):
    value: str | None


class RowGone(Event):
    pass


class Kept(Aggregate[RowMade | RowGone]):
    value: str | None = None
    gone: bool = False

    def apply(self, event: RowMade | RowGone) -> None:
        self.gone = isinstance(event, RowGone)
        if isinstance(event, RowMade):
            self.value = event.value

    def remove(self) -> None:
        self.record(RowGone())


class Rows(Adoption[Kept]):
    def __init__(self, prefix: str, column: str) -> None:
        self.prefix = prefix
        self.column = column

    def baseline(self, row: Mapping[str, Any]) -> RowMade:
        value = row[self.column]
        return RowMade(value=None if value is None else str(value))

    def changed(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Any]:
        del before
        return [self.baseline(after)]

    def deleted(self, row: Mapping[str, Any]) -> list[Any]:
        del row
        return [RowGone()]

    def row_of(self, aggregate: Kept) -> Mapping[str, Any] | None:
        return None if aggregate.gone else {self.column: _Text(aggregate.value)}


class _Text(str):
    """Equal to whatever is written so."""

    __slots__ = ()

    def __new__(cls, value: str | None) -> Any:
        return None if value is None else super().__new__(cls, value)

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, str(other))

    __hash__ = str.__hash__


@asynccontextmanager
async def adopted(url: str, schema: str, table: str, column: str) -> AsyncGenerator[Mapped]:
    rows = legacy_table(url, f"{schema}.{table}")
    async with connect(url, schema=schema) as store:
        await rows.open()
        try:
            await rows.install()
            mapped = Mapped(store, Kept, Rows(f"{table}-", column), rows)
            await adopt(mapped)
            yield mapped
        finally:
            await rows.close()


async def execute(url: str, *statements: str) -> None:
    connection: Any = await asyncpg.connect(url)
    try:
        for each in statements:
            await connection.execute(each)
    finally:
        await connection.close()


async def values(mapped: Mapped) -> list[str | None]:
    found = await Repository(mapped.store, Kept).load_many([f"items-{key}" for key in (1, 2)])
    return [found[each].value for each in sorted(found)]


async def test_a_virtual_column_is_told_as_a_query_gives_it(postgres_url: str) -> None:
    """A trigger is told NULL."""
    schema = new_schema()
    await execute(postgres_url, f"CREATE SCHEMA {schema}")
    try:
        await execute(
            postgres_url,
            f"CREATE TABLE {schema}.items (id int PRIMARY KEY, price int, qty int,"
            " total int GENERATED ALWAYS AS (price * 10 / (coalesce(qty, 0) + 0)) VIRTUAL)",
            f"INSERT INTO {schema}.items VALUES (1, 5, 2)",
        )
    except asyncpg.PostgresSyntaxError:
        pytest.skip("there are virtual columns from PostgreSQL 18 on")
    async with adopted(postgres_url, schema, "items", "total") as mapped:
        await execute(
            postgres_url,
            f"UPDATE {schema}.items SET qty = 1 WHERE id = 1",
            f"INSERT INTO {schema}.items VALUES (2, 7, 1)",
        )
        await InStep(mapped).catch_up()
        assert await values(mapped) == ["50", "70"]
        assert (await compare(mapped)).equal


async def test_a_type_that_casts_itself_to_json_is_read_back(postgres_url: str) -> None:
    """Such as hstore, which cannot read the JSON that it makes."""
    schema = new_schema()
    await execute(
        postgres_url,
        f"CREATE SCHEMA {schema}",
        f"CREATE EXTENSION hstore SCHEMA {schema}",
        f"CREATE TABLE {schema}.items (id int PRIMARY KEY, tags {schema}.hstore)",
        f"INSERT INTO {schema}.items VALUES (1, 'a=>1')",
    )
    try:
        async with adopted(postgres_url, schema, "items", "tags") as mapped:
            await execute(
                postgres_url,
                f"UPDATE {schema}.items SET tags = 'a=>2' WHERE id = 1",
                f"INSERT INTO {schema}.items VALUES (2, 'b=>NULL')",
            )
            await InStep(mapped).catch_up()
            assert await values(mapped) == ['"a"=>"2"', '"b"=>NULL']
            assert (await compare(mapped)).equal
    finally:
        await execute(postgres_url, "DROP EXTENSION hstore CASCADE")


async def test_what_a_row_that_is_written_back_sets_off_is_captured(postgres_url: str) -> None:
    """In another table, and in other rows of its own, as by ON DELETE CASCADE."""
    schema = new_schema()
    await execute(
        postgres_url,
        f"CREATE SCHEMA {schema}",
        f"CREATE TABLE {schema}.items (id int PRIMARY KEY, name text,"
        f" parent int REFERENCES {schema}.items ON DELETE CASCADE)",
        f"CREATE TABLE {schema}.parts (id int PRIMARY KEY, name text,"
        f" item int REFERENCES {schema}.items ON DELETE CASCADE)",
        f"INSERT INTO {schema}.items VALUES (1, 'one', NULL), (2, 'two', 1)",
        f"INSERT INTO {schema}.parts VALUES (10, 'ten', 1)",
    )
    async with (
        adopted(postgres_url, schema, "items", "name") as items,
        adopted(postgres_url, schema, "parts", "name") as parts,
    ):
        kept = Repository(items.store, Kept)
        await kept.update("items-1", Kept.remove)
        for mapped in (items, parts, items, parts):
            await InStep(mapped).catch_up()
        for each in ("items-2", "parts-10"):
            assert (await kept.load(each)).gone
        for mapped in (items, parts):
            assert await mapped.table.count() == 0
            assert (await compare(mapped)).equal


async def test_a_table_that_others_inherit_from_is_not_captured(postgres_url: str) -> None:
    """Its triggers tell nothing of their rows, which would be overwritten with what they were."""
    schema = new_schema()
    await execute(
        postgres_url,
        f"CREATE SCHEMA {schema}",
        f"CREATE TABLE {schema}.items (id int PRIMARY KEY, name text)",
        f"CREATE TABLE {schema}.more () INHERITS ({schema}.items)",
    )
    with pytest.raises(ConfigurationError, match="inherit from"):
        async with adopted(postgres_url, schema, "items", "name"):
            pass
