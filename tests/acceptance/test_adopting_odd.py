"""Tables with odd names and odd values: taken over, kept in step, or refused with a word."""

from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.adopting import KINDS, PostgresWorld, World, made

from hitherto import (
    Adoption,
    Aggregate,
    ConfigurationError,
    Event,
    EventStoreError,
    HithertoError,
    InvalidAggregateState,
    InvalidInput,
    Repository,
    SchemaMismatch,
    connect,
)
from hitherto.application.adopting import InStep, Mapped, Row, adopt, baseline, capturing, compare
from hitherto.infrastructure.legacy import legacy_table

pytestmark = pytest.mark.integration


class Noted(Event):
    name: str


class Erased(Event):
    pass


class Note(Aggregate[Noted | Erased]):
    name: str = ""
    there: bool = False

    def write(self, name: str) -> None:
        self.record(Noted(name=name))

    def apply(self, event: Noted | Erased) -> None:
        self.there = isinstance(event, Noted)
        if isinstance(event, Noted):
            self.name = event.name


class Notes(Adoption[Note]):
    prefix = "note-"

    def __init__(self, column: str = "name", key: str = "id") -> None:
        self.column = column
        self.key = key

    def baseline(self, row: Row) -> Noted:
        return Noted(name=str(row[self.column]))

    def changed(self, before: Row, after: Row) -> list[Event]:
        return [self.baseline(after)]

    def deleted(self, row: Row) -> list[Event]:
        return [Erased()]

    def row_of(self, note: Note) -> Row | None:
        return {self.column: note.name} if note.there else None


@pytest.fixture(params=KINDS[:2])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return await made(request.param, lambda: request.getfixturevalue("postgres_url"), tmp_path)


@pytest.fixture
async def postgres(postgres_url: str, tmp_path: Path) -> World:
    return await made("postgres", lambda: postgres_url, tmp_path)


class Opened:
    """A table of notes beside that of users, and the store; both open."""

    def __init__(self, world: World, table: str, mapping: Adoption[Any] | None = None) -> None:
        schema, _, _ = world.table_name.rpartition("users")
        self._mapping = mapping or Notes()
        self._table = legacy_table(world.table_url, schema + table, key=self._mapping.key)
        self._store = connect(world.store_url, schema=world.schema)

    async def __aenter__(self) -> Mapped:
        await self._table.open()
        await self._store.open()
        return Mapped(self._store, Note, self._mapping, self._table)

    async def __aexit__(self, *_: object) -> None:
        await self._store.close()
        await self._table.close()


def place(world: World, name: str) -> str:
    """A table's name as SQL takes it."""
    return world.table_name.replace("users", f'"{name}"')


@pytest.mark.parametrize("name", ["{after}", "{before_columns}", "{key}", "it's", "a$1", "select"])
async def test_names_are_names_whatever_they_are(name: str, world: World) -> None:
    """Of tables, of keys and of columns: nothing is put in their place, nor ends a text."""
    table = place(world, name)
    key, column = f"{name} key", name
    await world.execute(
        f'CREATE TABLE {table} ("{key}" INTEGER PRIMARY KEY, "{column}" TEXT, "{{columns}}" TEXT)',
        f"INSERT INTO {table} VALUES (1, 'one', ''), (2, 'two', '')",
    )
    async with Opened(world, name, Notes(column, key)) as mapped:
        await mapped.table.install()
        assert (await adopt(mapped)).written == 2
        await world.execute(f"""UPDATE {table} SET "{column}" = 'eins' WHERE "{key}" = 1""")
        notes = Repository(mapped.store, Note)
        await notes.update("note-2", lambda note: note.write("zwei"))
        await InStep(mapped).catch_up()
        assert (await notes.load("note-1")).name == "eins"
        assert await world.fetch(f'SELECT "{column}" FROM {table} ORDER BY "{key}"') == [
            ("eins",),
            ("zwei",),
        ]
        await mapped.table.remove()


async def test_an_empty_text_is_a_key_like_any_other(world: World) -> None:
    """What new code does to its aggregate gets into the table."""
    table = place(world, "notes")
    await world.execute(
        f"CREATE TABLE {table} (id VARCHAR(9) NOT NULL UNIQUE, name TEXT)",
        f"INSERT INTO {table} VALUES ('', 'none')",
    )
    async with Opened(world, "notes") as mapped:
        await mapped.table.install()
        await adopt(mapped)
        await Repository(mapped.store, Note).update("note-", lambda note: note.write("nil"))
        assert (await compare(mapped)).counts["differs"] == 1
        await InStep(mapped).catch_up()
        assert await world.fetch(f"SELECT name FROM {table}") == [("nil",)]
        compared = await compare(mapped)
        assert (compared.rows, compared.aggregates, compared.equal) == (1, 1, True)


async def test_a_program_may_write_what_it_could_before(postgres: World) -> None:
    """JSON that JSONB would refuse is captured too."""
    table = place(postgres, "notes")
    await postgres.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, name text, about json)")
    async with Opened(postgres, "notes") as mapped:
        await mapped.table.install()
        await postgres.execute(f"INSERT INTO {table} VALUES (1, 'one', '[1e400000]')")
        (change,) = await mapped.table.changes(9)
        assert change.after == {"id": 1, "name": "one", "about": [float("inf")]}
        await postgres.execute(f"UPDATE {table} SET about = '\"\\u0000\"'")
        with pytest.raises(EventStoreError, match="notes holds a value that cannot be read"):
            await mapped.table.changes(9)


async def test_values_are_captured_in_full(postgres: World) -> None:
    """Whatever the program's session has set for what it prints."""
    assert isinstance(postgres, PostgresWorld)
    table = place(postgres, "notes")
    await postgres.execute(
        f"CREATE TABLE {table} (id int PRIMARY KEY, name text, size float8, age interval)"
    )
    async with Opened(postgres, "notes") as mapped:
        await mapped.table.install()
        await postgres.execute(
            "SET LOCAL extra_float_digits = -3",
            "SET LOCAL intervalstyle = 'sql_standard'",
            f"INSERT INTO {table} VALUES (1, 'one', 0.1::float8 + 0.2::float8, '-1 days -02:00')",
        )
        (change,) = await mapped.table.changes(9)
        row = (await mapped.table.rows(["1"]))["1"]
        assert change.after == row
        assert row["size"] == 0.1 + 0.2


@pytest.mark.parametrize("value", ["0044-03-15 BC", "12026-01-01"])
async def test_a_date_that_python_does_not_know_is_told(value: str, postgres: World) -> None:
    """With the table's name and what to do, wherever it is met."""
    table = place(postgres, "notes")
    await postgres.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, name text, at timestamptz)")
    async with Opened(postgres, "notes") as mapped:
        await mapped.table.install()
        await postgres.execute(f"INSERT INTO {table} VALUES (1, 'one', '{value}')")
        for read in (adopt(mapped), mapped.table.rows(["1"]), mapped.table.changes(9)):
            with pytest.raises(EventStoreError, match=r"notes holds a value .* set it right"):
                await read


@pytest.mark.parametrize(
    ("error", "ends"), [(SchemaMismatch("old"), True), (InvalidAggregateState("closed"), False)]
)
async def test_what_concerns_no_row_alone_refuses_none(
    error: HithertoError, ends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends there, and is tried again when that is mended; others are told row by row."""
    sqlite = await made("sqlite", str, tmp_path)
    await sqlite.execute(
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, name TEXT)",
        "INSERT INTO notes VALUES (1, 'one'), (2, 'two')",
    )

    async def fail(*_: Any) -> None:
        raise error

    async with Opened(sqlite, "notes") as mapped:
        await mapped.table.install()
        with monkeypatch.context() as patch:
            patch.setattr(baseline, "append", fail)
            patch.setattr(capturing, "append", fail)
            await sqlite.execute("UPDATE notes SET name = 'eins' WHERE id = 1")
            if ends:
                for work in (adopt(mapped), InStep(mapped).catch_up()):
                    with pytest.raises(SchemaMismatch):
                        await work
            else:
                assert (await adopt(mapped)).refused == 2
                await InStep(mapped).catch_up()
        assert (await mapped.table.refused(9))[0] == (0 if ends else 1)
        assert (await adopt(mapped)).written == 2
        await InStep(mapped).catch_up()
        assert (await compare(mapped)).equal


@pytest.mark.parametrize("change", ["DROP TABLE {outbox}", "ALTER TABLE {table} DROP name"])
async def test_what_is_lacking_is_not_taken_for_the_stores(change: str, postgres: World) -> None:
    """The error tells of the table, and of its capture."""
    table, outbox = place(postgres, "notes"), place(postgres, "hitherto_outbox_notes")
    await postgres.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, name text)")
    async with Opened(postgres, "notes") as mapped:
        await mapped.table.install()
        await postgres.execute(change.format(table=table, outbox=outbox))
        with pytest.raises(ConfigurationError, match=r"does not exist: .*--capture install"):
            await mapped.table.changes(9)


async def test_a_text_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    """SQLite keeps any bytes as a text."""
    sqlite = await made("sqlite", str, tmp_path)
    await sqlite.execute(
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, name TEXT)",
        "INSERT INTO notes VALUES (1, CAST(x'4dfc6c6c6572' AS TEXT))",
    )
    async with Opened(sqlite, "notes") as mapped:
        with pytest.raises(EventStoreError, match=r"notes holds a text that is not UTF-8 .*0xfc"):
            await adopt(mapped)


async def test_a_row_that_is_no_json_is_refused(postgres: World) -> None:
    """As a column of that type needs it; nothing is written."""
    table = place(postgres, "notes")
    await postgres.execute(
        f"CREATE TABLE {table} (id int PRIMARY KEY, name jsonb)",
        f"INSERT INTO {table} VALUES (1, '1')",
    )
    async with Opened(postgres, "notes") as mapped, mapped.table.settling() as turn:
        with pytest.raises(InvalidInput, match=r"name of .*notes is of type jsonb"):
            await turn.update("1", {"name": {1, 2}})
    assert await postgres.fetch(f"SELECT name::text FROM {table}") == [("1",)]
