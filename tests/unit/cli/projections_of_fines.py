"""Views of the fines in the current folder, and the commands that are run on them."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from hitherto.cli.app import run

VIEWS = """
import asyncio
import os
import time

from hitherto import Context, Event, Projection, on
from hitherto.examples.traffic_fines import Fine, FineCreated, FineEvent, PaymentReceived


class Steps(Projection, tables=["steps"]):
    def setup(self, connection, batch):
        connection.execute(
            f"CREATE TABLE {batch.table('steps')} (fine TEXT PRIMARY KEY, steps INTEGER)"
        )

    @on
    def step(self, event: FineEvent, context: Context):
        time.sleep(float(os.environ.get("PAUSE", "0")))
        fine = context.recorded.aggregate_id
        if os.environ.get("REFUSED") == f"{fine}/{context.recorded.event_type}":
            raise ValueError("not this one,\\n says the test")
        context.connection.execute(
            f"INSERT INTO {context.table('steps')} VALUES (?, 1)"
            " ON CONFLICT (fine) DO UPDATE SET steps = steps + 1",
            (fine,),
        )


class Newer(Steps, name="Steps", version=2, tables=["steps"]):
    pass


class Letters(Projection, name="letters", elsewhere=True):
    @on
    async def letter(self, event: FineCreated, context: Context):
        print("writing", flush=True)
        await asyncio.sleep(float(os.environ.get("PAUSE", "0")))


class Everything(Projection, name="everything"):
    def handle(self, events, batch):
        pass
"""
STEPS, NEWER, LETTERS = (f"views_of_fines:{each}" for each in ("Steps", "Newer", "Letters"))


def projections(*words: str) -> int:
    """Run a command; returns the exit status."""
    return run(["projections", *words])


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command prints that ends well, and tells nothing on stderr."""
    capsys.readouterr()
    assert projections(*words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The error in which a command ends."""
    capsys.readouterr()
    assert projections(*words) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("hitherto: ")
    assert err.count("\n") == 1
    return err


def listed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The projections, as the command lists them for programs."""
    found: list[dict[str, Any]] = json.loads(printed(capsys, "list", "--json"))["projections"]
    return found


def rows(query: str) -> list[Any]:
    """What is in the file."""
    connection = apsw.Connection("fines.db", flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(5000)
    found = list(connection.execute(query))
    connection.close()
    return found


def view() -> dict[str, int]:
    """What the view `Steps` shows."""
    return dict(rows("SELECT fine, steps FROM steps"))


def fold() -> dict[str, int]:
    """What it is to show."""
    return dict(rows("SELECT aggregate_id, count(*) FROM event_store GROUP BY 1"))


@pytest.fixture
def _views(fines_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The store and the views are in the current folder, and found without being named."""
    monkeypatch.setenv("DATABASE_URL", fines_url)
    (tmp_path / "views_of_fines.py").write_text(VIEWS)
    path = list(sys.path)
    yield
    sys.modules.pop("views_of_fines", None)
    sys.path[:] = path
