"""`hitherto demo` on PostgreSQL: in a schema of its own, and again under new ids."""

import asyncio
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from tests.servers import wheel_bin_dir

from hitherto.cli.app import run

pytestmark = pytest.mark.integration

# The sample, two payments of the two clerks, and the fine that is paid in instalments.
LEFT = 8033 + 2 + 5000
TABLES = "SELECT schemaname FROM pg_tables WHERE tablename = 'event_store'"


def query(url: str, sql: str) -> list[Any]:
    """The first column of the rows that a server answers with."""

    async def ask() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return [row[0] for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    return asyncio.run(ask())


@pytest.fixture
def database_url(postgres_url: str, postgres_schema: str) -> Iterator[str]:
    """A database of its own, so that the demo's schema is nobody else's."""
    query(postgres_url, f"CREATE DATABASE {postgres_schema}")
    yield urlunsplit(urlsplit(postgres_url)._replace(path=f"/{postgres_schema}"))
    query(postgres_url, f"DROP DATABASE {postgres_schema} WITH (FORCE)")


def test_two_runs_live_side_by_side_in_a_schema_of_the_demo(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each counts what it has stored itself; and what each suggests can be run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TTY_COMPATIBLE", "0")
    monkeypatch.setenv("COLUMNS", "80")
    for number, prefix in enumerate(["", "run2-"], 1):
        assert run(["demo", "--url", database_url]) == 0
        told, err = capsys.readouterr()
        assert err == ""
        assert "2,000 fines with 8,033 events in " in told
        assert re.search(r"^ +Payment +1,183 ", told, re.MULTILINE)
        assert f"The history of fine {prefix}C16950 " in told
        assert f"aggregate '{prefix}C16950' is at version 13, not at the expected" in told
        assert "The two states are the same in every field." in told
        assert re.search(r" all +2,000 +164,436\.51 +107,610\.33 ", told)
        stored = query(database_url, "SELECT count(*) FROM hitherto_demo.event_store")
        assert stored == [number * LEFT]
        _run_suggestions(told, database_url)
    assert query(database_url, TABLES) == ["hitherto_demo"]
    assert list(tmp_path.iterdir()) == []


def _run_suggestions(told: str, url: str) -> None:
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "PATH": f"{os.environ['PATH']}:{wheel_bin_dir()}",
    }
    answers = [
        subprocess.run(
            command, shell=True, env=environment,
            capture_output=True, text=True, check=True, timeout=60,
        )
        for command in re.findall(r"^\$ (.*)$", told, re.MULTILINE)
    ]  # fmt: skip
    counts, shown, loaded, schema = (answer.stdout for answer in answers)
    assert re.search(r"PenaltyAdded +\| +(1103|2206)\n", counts)
    assert "C16950, version 3 of 14\n" in shown
    assert loaded == "137.55\n"
    assert 'CREATE SCHEMA IF NOT EXISTS "hitherto_demo"' in schema


def test_a_server_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """With the status of an error, and no password."""
    assert run(["demo", "--url", "postgresql://ada:secret@127.0.0.1:1/db"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("hitherto: postgresql://127.0.0.1:1/db cannot be reached")
    assert err.count("\n") == 1
