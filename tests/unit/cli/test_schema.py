"""`hitherto schema`: SQL that makes the tables, and nothing else."""

import re
import sys
from pathlib import Path

import apsw
import asyncpg
import pytest

from hitherto import Repository, connect
from hitherto.cli.app import run
from hitherto.examples.traffic_fines import Fine, fine_of, sample_lines
from hitherto.infrastructure import postgres, sqlite
from hitherto.infrastructure.postgres.roles import roles_sql
from hitherto.infrastructure.sql import migrations

PACKAGE = "hitherto.infrastructure.postgres"
MIGRATIONS = migrations("hitherto.infrastructure.sqlite")


@pytest.fixture(autouse=True)
def _not_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrow, without colours, whatever the surroundings say."""
    monkeypatch.setenv("TTY_COMPATIBLE", "0")
    monkeypatch.setenv("COLUMNS", "40")


async def use(url: str, schema: str) -> int:
    """Save a fine and load it; returns its version."""
    async with connect(url, schema=schema) as store:
        fines = Repository(store, Fine)
        fine = fine_of(sample_lines()[0])
        await fines.save(fine)
        return (await fines.load(fine.id)).version


@pytest.mark.parametrize("schema", ["public", "shop", "it's", 'a "b" [c]', "ΕΛΛΆΔΑ"])
def test_the_sql_is_printed_as_it_is(schema: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No line is wrapped, no word taken for markup."""
    assert run(["schema", "--schema", schema]) == 0
    assert capsys.readouterr() == (postgres.schema_sql(schema) + "\n", "")


def test_postgresql_and_its_schema_public_are_meant_if_nothing_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As by `connect`."""
    assert run(["schema"]) == 0
    assert capsys.readouterr().out == postgres.schema_sql("public") + "\n"


async def test_the_tables_of_sqlite_can_be_made_by_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A store then uses the file, and finds nothing to migrate."""
    assert run(["schema", "--backend", "sqlite"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == (sqlite.schema_sql() + "\n", "")
    connection = apsw.Connection(str(tmp_path / "made.db"))
    connection.execute(out)
    applied = "SELECT version, applied_at FROM hitherto_migrations"
    before = connection.execute(applied).fetchall()
    assert await use(f"sqlite:///{tmp_path}/made.db", "public") == 2
    assert connection.execute(applied).fetchall() == before != []
    connection.close()


def objects_of(connection: apsw.Connection) -> list[str]:
    """The statements that made them, in the order in which they were made."""
    rows = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE sql NOTNULL ORDER BY rowid"
    )
    return [sql for name, sql in rows if name != "sqlite_sequence"]


@pytest.mark.parametrize("there", range(40))
async def test_the_sql_for_sqlite_makes_what_is_lacking(tmp_path: Path, there: int) -> None:
    """Of the objects that a store makes; run again, it changes nothing, and rows stay."""
    async with connect(f"sqlite:///{tmp_path}/whole.db"):
        made_by_store = apsw.Connection(str(tmp_path / "whole.db"))
        whole = objects_of(made_by_store)
        made_by_store.close()
    assert len(whole) == 39
    connection = apsw.Connection(str(tmp_path / "part.db"))
    for sql in whole[:there]:
        connection.execute(sql)
    for run_before in range(3):
        connection.execute(sqlite.schema_sql())
        assert sorted(objects_of(connection)) == sorted(whole)
        versions = connection.execute("SELECT version FROM hitherto_migrations ORDER BY 1")
        assert versions.fetchall() == [(number,) for number, _ in MIGRATIONS]
        assert connection.execute("SELECT count(*) FROM aggregate_snapshots").get == run_before
        connection.execute(
            "INSERT INTO aggregate_snapshots VALUES (?, 'T', 1, 'f', '{}', '')", (str(run_before),)
        )
    connection.close()


def test_what_migrates_sqlite_is_safe_to_run_again() -> None:
    """SQL alone cannot ask for the version: a step that does more than create needs another way."""
    for _, text in MIGRATIONS:
        statements = re.findall(r"^[A-Z]\w+(?: \w+)?", text, re.MULTILINE)
        outside = [each for each in statements if each not in {"BEGIN", "END"}]
        kinds = {"TABLE", "UNIQUE", "INDEX", "TRIGGER", "VIEW"}
        assert {*outside} <= {f"CREATE {kind}" for kind in kinds} | {"DROP TRIGGER"}
        assert text.count("DROP ") == text.count("DROP TRIGGER IF EXISTS ")


@pytest.mark.integration
async def test_the_tables_of_postgresql_can_be_made_by_it(
    postgres_url: str, postgres_schema: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A store then uses the schema, and finds nothing to migrate."""
    assert run(["schema", "--schema", postgres_schema]) == 0
    script = capsys.readouterr().out
    applied = f"SELECT version, applied_at FROM {postgres_schema}.hitherto_migrations"
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute(script)
        before = await connection.fetch(applied)
        assert await use(postgres_url, postgres_schema) == 2
        assert await connection.fetch(applied) == before != []
    finally:
        await connection.close()


@pytest.mark.parametrize("name", ["", "x" * 64, "é" * 32, "a$hitherto$b", "\udcff"])
def test_an_impossible_name_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line on stderr; nothing is printed that might be run."""
    assert run(["schema", "--schema", name]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("hitherto: schema=")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "schema", "prefix"),
    [
        ([], "public", "hitherto"),
        (["--schema", "it's"], "it's", "it's"),
        (["--schema", "shop", "--role-prefix", "till"], "shop", "till"),
        (["--schema", "{owner}", "--role-prefix", "p" * 56], "{owner}", "p" * 56),
    ],
)
def test_roles_follow_the_tables(
    arguments: list[str], schema: str, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Named after the schema, or as is said."""
    assert run(["schema", "--roles", *arguments]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == (f"{postgres.schema_sql(schema)}\n\n{roles_sql(schema, prefix)}\n", "")
    for role in ("owner", "writer", "reader"):
        assert f'CREATE ROLE "{prefix}_{role}" NOLOGIN;' in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--role-prefix", "shop"], "give --roles"),
        (["--roles", "--backend", "sqlite"], "SQLite knows no roles"),
        (["--roles", "--role-prefix", ""], "1 to 56 bytes"),
        (["--roles", "--schema", "x" * 57], "1 to 56 bytes"),
        (["--roles", "--role-prefix", "é" * 29], "1 to 56 bytes"),
        (["--roles", "--role-prefix", "pg"], "does not begin with pg_"),
        (["--roles", "--role-prefix", "pg_shop"], "does not begin with pg_"),
        (["--roles", "--role-prefix", "a$roles$b"], "a$roles$b"),
        (["--roles", "--role-prefix", "\0"], "1 to 56 bytes"),
        (["--roles", "--role-prefix", "\udcff"], "1 to 56 bytes"),
        (["--roles", "--schema", "", "--role-prefix", "shop"], "schema=''"),
    ],
)
def test_roles_that_cannot_be_are_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line on stderr; nothing is printed that might be run."""
    assert run(["schema", *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("hitherto: ")
    assert told in err
    assert err.count("\n") == 1


def test_a_missing_driver_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the extra that installs it; the tables of SQLite need none."""
    for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    assert run(["schema"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "hitherto: PostgreSQL needs its driver: pip install 'hitherto[postgres]'\n"
    assert run(["schema", "--backend", "sqlite"]) == 0
