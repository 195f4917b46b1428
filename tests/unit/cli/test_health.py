"""`hitherto health`: the report, for people and programs, and the status of the process."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from hitherto import Health, connect
from hitherto.application.health import PoolUse
from hitherto.cli import health as module
from hitherto.cli.app import run
from hitherto.infrastructure.sqlite import SqliteStore


@pytest.fixture(autouse=True)
def _not_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrow, without colours, whatever the surroundings say."""
    monkeypatch.setenv("TTY_COMPATIBLE", "0")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.delenv("DATABASE_URL", raising=False)


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any]]]:
    """The status and the JSON that a command line gives; nothing is on stderr."""

    def reported(*words: str) -> tuple[int, dict[str, Any]]:
        status = run(["health", *words, "--json"])
        out, err = capsys.readouterr()
        assert err == ""
        return status, json.loads(out)

    return reported


Report = Callable[..., tuple[int, dict[str, Any]]]


def make_store(url: str, schema: str = "public") -> None:
    async def make() -> None:
        async with connect(url, schema=schema):
            pass

    asyncio.run(make())


def test_a_store_that_serves_is_healthy(tmp_path: Path, report: Report) -> None:
    """Status 0, and all of the typed report."""
    url = f"sqlite:///{tmp_path}/store.db"
    make_store(url)
    status, told = report(url)
    assert status == 0
    assert set(told) == {"store", *Health.__struct_fields__}
    assert told["store"] == url
    assert (told["status"], told["backend"], told["problems"]) == ("healthy", "sqlite", [])
    assert told["latency"] > 0


def test_people_get_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line each, in words."""
    url = f"sqlite:///{tmp_path}/store.db"
    make_store(url)
    assert run(["health", url]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    verdict, *lines = out.splitlines()
    assert verdict == f"{url} is healthy."
    assert lines[0] == "backend          sqlite"
    assert [line[:15].rstrip() for line in lines] == [
        "backend", "round trip", "tables", "connections", "circuit breaker", "readers",
    ]  # fmt: skip


def test_what_is_wrong_is_told_in_a_line_each(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one piece, with no markup read into it. Degraded, a store still serves."""
    problem = "fsync is off: [red]an acknowledged append\n can be lost in a crash" + "!" * 40

    async def check(_url: str | None, _schema: str) -> Health:
        return Health(
            status="degraded",
            backend="postgresql",
            latency=0.0123,
            schema_version=3,
            pool=PoolUse(size=5, idle=2, limit=30),
            breaker="half-open",
            watermark_lag=1234,
            problems=(problem, "second"),
        )

    monkeypatch.setattr(module, "_check", check)
    assert run(["health", "memory:"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "memory: is degraded.",
        "backend          postgresql",
        "round trip       12.3 ms",
        "tables           version 3",
        "connections      5 open, 2 idle, 30 at most",
        "circuit breaker  half-open",
        "readers          1,234 positions behind",
        f"- {' '.join(problem.split())}",
        "- second",
    ]


def test_a_store_that_is_not_there_is_unhealthy_and_is_not_made(
    tmp_path: Path, report: Report
) -> None:
    """Status 1."""
    status, told = report(f"sqlite:///{tmp_path}/none.db")
    assert status == 1
    assert (told["status"], told["backend"]) == ("unhealthy", "sqlite")
    assert len(told["problems"]) == 1
    assert list(tmp_path.iterdir()) == []


def test_tables_that_are_missing_are_reported(tmp_path: Path, report: Report) -> None:
    """And are not made."""
    path = tmp_path / "empty.db"
    apsw.Connection(str(path)).execute("CREATE TABLE other (id)")
    status, told = report(f"sqlite:///{path}")
    assert (status, told["status"]) == (1, "unhealthy")
    assert "tables" in told["problems"][0]
    tables = apsw.Connection(str(path)).execute("SELECT name FROM sqlite_schema").fetchall()
    assert tables == [("other",)]


def test_a_server_that_does_not_answer_is_reported_without_its_password(report: Report) -> None:
    """As a report, not as an error."""
    status, told = report("postgresql://ada:secret@127.0.0.1:1/shop")
    assert (status, told["status"], told["backend"]) == (1, "unhealthy", "postgresql")
    assert "cannot be reached" in told["problems"][0]
    assert "secret" not in str(told)


def test_a_store_that_stops_serving_is_unhealthy(
    tmp_path: Path, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it could be opened."""
    url = f"sqlite:///{tmp_path}/store.db"
    make_store(url)

    async def unhealthy(_self: SqliteStore) -> Health:
        return Health(status="unhealthy", backend="sqlite", problems=("the disk is gone",))

    monkeypatch.setattr(SqliteStore, "health_check", unhealthy)
    status, told = report(url)
    assert (status, told["problems"]) == (1, ["the disk is gone"])


def test_the_store_of_the_environment_is_meant_if_nothing_is_said(
    tmp_path: Path, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by `connect`."""
    url = f"sqlite:///{tmp_path}/store.db"
    make_store(url)
    monkeypatch.setenv("DATABASE_URL", url)
    assert report()[1]["store"] == url


def test_a_url_that_is_none_is_an_error_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """There is no store to report on."""
    assert run(["health", "mysql://ada:secret@host/db"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("hitherto: ")
    assert "secret" not in err


@pytest.mark.integration
def test_a_schema_without_tables_is_reported(
    postgres_url: str, postgres_schema: str, report: Report
) -> None:
    """With tables, it is healthy or says what is at risk."""
    status, told = report(postgres_url, "--schema", postgres_schema)
    assert (status, told["status"]) == (1, "unhealthy")
    assert postgres_schema in told["problems"][0]
    make_store(postgres_url, postgres_schema)
    status, told = report(postgres_url, "--schema", postgres_schema)
    assert status == 0
    assert told["schema_version"] >= 3
