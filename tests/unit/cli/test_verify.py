"""`hitherto verify`: what it prints, and its exit status."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import apsw
import pytest
from tests.acceptance.sound_store import AGGREGATES

from hitherto import connect
from hitherto.cli.app import run

STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LOST = "DELETE FROM event_store WHERE aggregate_id = 'A10249' AND event_version IN (2, 4, 6, 8)"
DIFFERS = "the snapshot of 'A100' at version 5 differs from its events"
SPOILED = """UPDATE aggregate_snapshots SET snapshot_data = json_set(snapshot_data, '$.paid', '7')
             WHERE aggregate_id = 'A100'"""


@pytest.fixture
def url(fines_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DATABASE_URL", "nonsense")
    return fines_url


def meddle(*statements: str) -> None:
    """Change the file, unseen by its triggers."""
    connection = apsw.Connection("fines.db")
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    for statement in statements:
        connection.execute(statement)
        assert connection.changes()
    connection.close()


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    """The status, and the lines on stdout; nothing is on stderr."""
    status = run(words)
    out, err = capsys.readouterr()
    assert err == ""
    return status, out.splitlines()


def test_a_sound_store_has_the_status_of_success(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And it is told how much was looked at."""
    assert printed(capsys, "verify", url, *AGGREGATES) == (
        0,
        [
            "sqlite:///fines.db is sound.",
            "Events read: 169",
            "Snapshots compared with them: 25",
            "Snapshots of other code, left out: 0",
        ],
    )


def test_without_aggregates_it_says_what_it_has_not_looked_at(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And how it would."""
    meddle(SPOILED)
    assert printed(capsys, "verify", url) == (
        0,
        [
            "sqlite:///fines.db is sound.",
            "Only its structure was checked: name its aggregates, with --aggregates.",
        ],
    )


def test_damage_is_told_with_places_and_remedies(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of many places the first."""
    meddle(LOST, "DELETE FROM event_store WHERE aggregate_id = 'A1' AND event_version = 1")
    meddle("DELETE FROM event_store WHERE aggregate_id = 'A10005' AND event_version = 1")
    assert printed(capsys, "verify", url) == (
        1,
        [
            "sqlite:///fines.db is damaged.",
            "Only its structure was checked: name its aggregates, with --aggregates.",
            "",
            "version-gap: 6",
            "  version 2 of 'A1' follows 0",
            "  version 2 of 'A10005' follows 0",
            "  version 3 of 'A10249' follows 1",
            "  version 5 of 'A10249' follows 3",
            "  version 7 of 'A10249' follows 5",
            "  … and 1 more",
            "  Remedy: stop the writers, and restore the events from a backup.",
        ],
    )


def test_what_the_code_does_not_know_is_no_damage(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One aggregate was left out, perhaps; but it is not sound either, for all that is known."""
    status, lines = printed(
        capsys, "verify", url, "--aggregates", "tests.unit.domain.account:Account"
    )
    assert status == 1
    assert lines[0] == "sqlite:///fines.db holds what the code that was given does not know."
    assert any(line.startswith("aggregate-type-unknown") for line in lines)


def test_what_could_not_be_read_is_told(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """There may be more to find."""
    meddle("UPDATE event_store SET event_id = 'one' WHERE global_position = 1")
    status, lines = printed(capsys, "verify", url, *AGGREGATES)
    assert status == 1
    assert lines[:2] == [
        "sqlite:///fines.db is damaged.",
        "Its events and snapshots were not read: first mend what cannot be read.",
    ]


def test_as_json_all_of_it_is_told(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the same status."""
    meddle(SPOILED)
    assert run(["verify", url, *AGGREGATES, "--json"]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    report = json.loads(out)
    (finding,) = report.pop("findings")
    assert report == {
        "store": url, "sound": False, "aggregate_types": ["Fine"],
        "events": 169, "snapshots": 25, "foreign": 0, "unread": False,
        "chained": 0, "unchained": 0, "erasures": 0, "sealed_position": None,
    }  # fmt: skip
    assert finding == {
        "kind": "snapshot-differs",
        "count": 1,
        "remedy": "`hitherto replay` puts a new one in its place",
        "places": [
            {
                "what": f"{DIFFERS}: its field paid",
                "aggregate_id": "A100", "version": 5, "position": None,
            }
        ],
    }  # fmt: skip


def test_a_sample_may_be_compared(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of each kind so many."""
    status, lines = printed(capsys, "verify", url, *AGGREGATES, "--sample", "7")
    assert status == 0
    assert "Snapshots compared with them: 7" in lines


@pytest.mark.parametrize("named", ["variable", "default"])
def test_the_url_may_be_left_out(
    named: str, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Then it is that of the environment, or the usual file."""
    if named == "variable":
        monkeypatch.setenv("DATABASE_URL", url)
    else:
        monkeypatch.delenv("DATABASE_URL")
        Path("fines.db").rename("hitherto.db")
    status, lines = printed(capsys, "verify", *AGGREGATES)
    assert status == 0
    assert lines[0] == f"sqlite:///{'fines' if named == 'variable' else 'hitherto'}.db is sound."


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["sqlite:///nothing.db"], "nothing.db"),
        (["postgresql://ada:secret@127.0.0.1:1/db"], "127.0.0.1:1/db cannot be reached"),
        (["mysql://ada:secret@host/db"], "is no store's URL"),
        (["sqlite:///fines.db", "--sample", "0", *AGGREGATES], "sample=0"),
        (["sqlite:///fines.db", "--aggregates", "nothing:Fine"], "'nothing:Fine'"),
    ],
)
def test_what_cannot_be_looked_at_is_an_error(
    words: Sequence[str], told: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line on stderr, without the password; nothing is made."""
    assert run(["verify", *words]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("hitherto: ")
    assert told in err
    assert "secret" not in err
    assert err.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == ["fines.db"]


def test_nothing_is_changed(url: str) -> None:
    """A store that is damaged is a piece of evidence."""
    meddle(SPOILED)
    before = _dump()
    assert run(["verify", url, *AGGREGATES]) == 1
    assert _dump() == before


def test_bars_are_shown_on_a_terminal(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, so that the result can be piped."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert run(["verify", url, *AGGREGATES, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["sound"] is True
    err = STYLES.sub("", err)
    for step, end in (("structure", "1/1"), ("events", "169/169"), ("snapshots", "25/?")):
        assert re.search(rf"{step}.* {re.escape(end)}", err), step


def test_a_store_in_memory_is_sound(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And empty."""
    status, lines = printed(capsys, "verify", "memory:", *AGGREGATES)
    assert (status, lines[0]) == (0, "memory: is sound.")


@pytest.mark.integration
def test_the_status_is_that_of_the_process(url: str) -> None:
    """As a script sees it."""
    command = [sys.executable, "-m", "hitherto.cli", "verify", url]
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    meddle(LOST)
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 1


def _dump() -> list[object]:
    connection = apsw.Connection("fines.db")
    try:
        tables = ("event_store", "aggregate_snapshots", "sqlite_master", "sqlite_sequence")
        return [list(connection.execute(f"SELECT * FROM {table}")) for table in tables]
    finally:
        connection.close()


async def _empty(url: str) -> None:
    async with connect(url):
        pass


def test_an_empty_store_is_sound(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to find."""
    asyncio.run(_empty("sqlite:///empty.db"))
    status, lines = printed(capsys, "verify", "sqlite:///empty.db", *AGGREGATES)
    assert (status, lines[0]) == (0, "sqlite:///empty.db is sound.")


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("verify", ["URL", "--aggregates", "--schema", "--sample", "--json"]),
        ("replay", ["AGGREGATE", "--url", "--id", "--schema", "--dry-run", "--json"]),
    ],
)
def test_help_names_the_options(
    command: str, options: list[str], url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In 80 columns."""
    status, lines = printed(capsys, command, "--help")
    assert status == 0
    assert all(any(option in line for line in lines) for option in options)
    assert max(map(len, lines)) <= 80
