"""`hitherto forget`: what it prints, and its exit status."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest

from hitherto.cli.app import run
from hitherto.infrastructure.memory import MemoryStore

MODULE = """
from typing import Any

import msgspec

from hitherto import Aggregate, Documents, Event, Personal, ProjectionWorker, Repository, connect


class MemberJoined(Event):
    name: Personal[str]


class Member(Aggregate[MemberJoined]):
    name: str = ""

    def apply(self, event: MemberJoined) -> None:
        self.name = event.name


class Card(msgspec.Struct, frozen=True):
    name: str


class Cards(Documents[Card, MemberJoined], name="cards"):
    def evolve(self, document: Card | None, recorded: Any) -> Card:
        return Card(name=recorded.event.name)


async def fill(url: str, keys: Any = None) -> None:
    async with connect(url, keys=keys) as store:
        members = Repository(store, Member, snapshot_every=1)
        for id, name in (("m-1", "Ada Lovelace"), ("m-2", "Bob Cratchit")):
            member = Member(id)
            member.record(MemberJoined(name=name))
            await members.save(member)
        await ProjectionWorker(store, Cards()).catch_up()
"""
URL = "sqlite:///members.db"


@pytest.fixture(autouse=True)
def members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: Any) -> None:
    name = f"members_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", URL)
    module = __import__(name)
    asyncio.run(module.fill(URL))
    request.node.module_name = name


def forgotten(
    capsys: pytest.CaptureFixture[str], *words: str, status: int = 0
) -> tuple[dict[str, Any], str]:
    """What it tells as JSON."""
    assert run(["forget", "m-1", "--json", *words]) == status
    out, err = capsys.readouterr()
    return json.loads(out), err


def stored() -> str:
    """All that the tables hold."""
    connection = apsw.Connection("members.db")
    tables = [
        row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    ]
    return "\n".join(str(list(connection.execute(f"SELECT * FROM {each}"))) for each in tables)


def test_without_yes_it_only_tells(capsys: pytest.CaptureFixture[str]) -> None:
    """So that nobody is forgotten by mistake."""
    told, _ = forgotten(capsys)
    assert told["dry_run"]
    assert (told["keys"], told["events"], told["aggregates"]) == (0, 1, ["m-1"])
    assert {each["table"] for each in told["left"]} == {
        "aggregate_snapshots", "projection_documents",
    }  # fmt: skip
    assert stored().count("Ada Lovelace") == 2
    assert run(["show", "m-1", "--json"]) == 0
    assert "Ada Lovelace" in capsys.readouterr().out


def test_what_a_view_still_holds_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit status says so, too."""
    told, _ = forgotten(capsys, "--yes", status=1)
    assert (told["keys"], told["snapshots"], told["projections"]) == (1, 1, ["cards"])
    assert stored().count("Ada Lovelace") == 1


def test_nothing_is_left_where_the_views_are_rebuilt(
    capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    """No table holds the text; others are as they were."""
    cards = f"{request.node.module_name}:Cards"
    told, _ = forgotten(capsys, "--yes", "--projections", cards)
    assert (told["keys"], told["left"], told["searched"]) == (1, [], True)
    everything = stored()
    assert "Lovelace" not in everything
    assert everything.count("Bob Cratchit") == 2


def test_it_tells_people_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    """In lines."""
    assert run(["forget", "m-1", "--yes"]) == 1
    told = capsys.readouterr().out
    assert "Keys destroyed: 1" in told
    assert "projection_documents: cards m-1" in told
    assert "Rebuild these projections: cards." in told
    assert run(["forget", "m-1", "--yes"]) == 0
    assert "No text of theirs can be read" in capsys.readouterr().out
    assert run(["forget", "nobody", "--yes"]) == 0
    assert "Nothing is stored about anybody of this name" in capsys.readouterr().out


def test_keys_that_are_kept_elsewhere_are_told(
    capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    """They were not destroyed, so the fields can still be read: that is no success."""
    module = sys.modules[request.node.module_name]
    url = "sqlite:///elsewhere.db"
    asyncio.run(module.fill(url, MemoryStore().personal))
    assert run(["forget", "m-1", "--url", url, "--yes"]) == 1
    told = capsys.readouterr().out
    assert "Keys destroyed: 0" in told
    assert "Keys that were never in this store: 1." in told
    assert "Nobody" not in told


def test_a_subject_that_nobody_can_have_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is read."""
    assert run(["forget", "", "--yes"]) == 1
    assert "the subject" in capsys.readouterr().err
