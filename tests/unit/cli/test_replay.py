"""`hitherto replay`: what it mends, what it prints, and its exit status."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.acceptance.sound_store import AGGREGATES

from hitherto.cli.app import run

STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
FINE = "hitherto.examples.traffic_fines:Fine"
STATE = "UPDATE aggregate_snapshots SET snapshot_data = json_set(snapshot_data, '$.paid', '7')"
SPOILED = f"{STATE} WHERE aggregate_id IN ('A100', 'A10249')"
AHEAD = "UPDATE aggregate_snapshots SET version = 99 WHERE aggregate_id = 'A1009'"
CUT = """UPDATE aggregate_snapshots SET snapshot_data = substr(snapshot_data, 1, 20)
         WHERE aggregate_id = 'A10000'"""
FOREIGN = "UPDATE aggregate_snapshots SET fingerprint = 'other' WHERE aggregate_id = 'A1017'"
UNREADABLE = """UPDATE event_store SET event_data = '{}'
                WHERE aggregate_id = 'A10004' AND event_version = 1"""


@pytest.fixture
def url(fines_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DATABASE_URL", "sqlite:///fines.db")
    return fines_url


def execute(statement: str) -> list[Any]:
    """Change the file, unseen by its triggers, or look into it."""
    connection = apsw.Connection("fines.db")
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    rows = list(connection.execute(statement))
    assert rows or connection.changes()
    connection.close()
    return rows


def snapshots() -> dict[str, Any]:
    """What is kept, by id: version, fingerprint, and the state as JSON is read."""
    rows = execute(
        "SELECT aggregate_id, version, fingerprint, snapshot_data FROM aggregate_snapshots"
    )
    return {each: (version, code, _state(data)) for each, version, code, data in rows}


def _state(data: str) -> Any:
    try:
        state = json.loads(data)
    except ValueError:
        return data
    return {**state, "steps": sorted(state["steps"])}


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    """The status, and the lines on stdout; nothing is on stderr."""
    status = run(words)
    out, err = capsys.readouterr()
    assert err == ""
    return status, out.splitlines()


def test_snapshots_that_are_right_stay(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """All of them, of all aggregates."""
    before = snapshots()
    assert printed(capsys, "replay", FINE, "--url", url) == (
        0,
        [
            "Aggregates: 40",
            "Snapshots that equal the fold: 25",
            "Snapshots that are wrong: 0",
            "Snapshots of other code: 0",
            "Snapshots that are missing: 0",
            "Snapshots taken: 0",
        ],
    )
    assert snapshots() == before


def test_what_verify_finds_replay_mends(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every wrong one is named; in the end all are as they were."""
    before = snapshots()
    for damage in (SPOILED, AHEAD, CUT, FOREIGN):
        execute(damage)
    assert run(["verify", url, *AGGREGATES]) == 1
    capsys.readouterr()
    status, lines = printed(capsys, "replay", FINE, "--url", url)
    assert status == 0
    assert lines[:6] == [
        "Aggregates: 40",
        "Snapshots that equal the fold: 20",
        "Snapshots that are wrong: 4",
        "Snapshots of other code: 1",
        "Snapshots that are missing: 0",
        "Snapshots taken: 5",
    ]
    assert sorted(lines[6:]) == sorted([
        "",
        "snapshot-ahead: 1",
        "  the snapshot of 'A1009' is at version 99, but its events end at 5",
        "",
        "snapshot-undecodable: 1",
        "  the snapshot of 'A10000' at version 5 cannot be decoded: Input data was truncated",
        "",
        "snapshot-differs: 2",
        "  the snapshot of 'A100' at version 5 differs from its events: its field paid",
        "  the snapshot of 'A10249' at version 9 differs from its events: its field paid",
    ])  # fmt: skip
    assert snapshots() == before
    assert run(["verify", url, *AGGREGATES]) == 0


def test_a_dry_run_changes_nothing(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its status tells whether there was something wrong; other code's snapshots are not."""
    execute(FOREIGN)
    assert printed(capsys, "replay", FINE, "--dry-run")[0] == 0
    execute(SPOILED)
    before = snapshots()
    status, lines = printed(capsys, "replay", FINE, "--dry-run")
    assert (status, lines[0], lines[5]) == (1, "Aggregates: 40", "Snapshots taken: 0")
    assert snapshots() == before


def test_some_may_be_chosen(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By their ids."""
    execute(STATE)
    wrong = snapshots()
    status, lines = printed(capsys, "replay", FINE, "--id", "A100", "--id", "A1009", "--id", "A1")
    assert (status, lines[0], lines[5]) == (0, "Aggregates: 3", "Snapshots taken: 2")
    now = snapshots()
    assert {each for each in now if now[each] != wrong[each]} == {"A100", "A1009"}


def test_snapshots_that_were_lost_are_taken_again(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where there are as many events as the setting says."""
    before = snapshots()
    execute("DELETE FROM aggregate_snapshots")
    assert printed(capsys, "replay", FINE)[1][5] == "Snapshots taken: 0"
    monkeypatch.setenv("EVENT_STORE_SNAPSHOT_THRESHOLD", "6")
    status, lines = printed(capsys, "replay", FINE)
    assert (status, lines[0], lines[5]) == (0, "Aggregates: 40", "Snapshots taken: 10")
    assert snapshots() == {each: kept for each, kept in before.items() if kept[0] >= 6}


def test_an_aggregate_that_cannot_be_folded_is_told(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are mended; the status says that something is left."""
    execute(UNREADABLE)
    execute(SPOILED)
    status, lines = printed(capsys, "replay", FINE)
    assert (status, lines[0], lines[5]) == (1, "Aggregates: 40", "Snapshots taken: 2")
    told = next(line for line in lines if "cannot be folded" in line)
    assert told.startswith("  'A10004' cannot be folded: EventSerializationFailed: ")


def test_as_json_all_of_it_is_told(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With every id, up to a thousand."""
    execute(STATE)
    assert run(["replay", FINE, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    (finding,) = report.pop("findings")
    assert report == {
        "aggregate": FINE, "dry_run": False, "aggregates": 40, "equal": 0, "foreign": 0,
        "missing": 0, "wrong": 25, "unfoldable": 0, "taken": 25,
    }  # fmt: skip
    assert {place["aggregate_id"] for place in finding["places"]} == set(snapshots())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nothing:Fine"], "'nothing:Fine'"),
        (["hitherto.examples.traffic_fines"], "give MODULE:NAME"),
        ([FINE, "--url", "sqlite:///nothing.db"], "nothing.db"),
        ([FINE, "--id", "A2"], "there is no Fine with id 'A2'"),
        ([FINE, "--id", ""], "aggregate id is empty"),
    ],
)
def test_what_cannot_be_replayed_is_an_error(
    words: Sequence[str], told: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line on stderr; nothing is made."""
    assert run(["replay", *words]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("hitherto: ")
    assert told in err
    assert err.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == ["fines.db"]


def test_bars_are_shown_on_a_terminal(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, so that the result can be piped."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert run(["replay", FINE, "--id", "A100", "--id", "A1", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["aggregates"] == 2
    assert re.search(r"aggregates.* 2/2", STYLES.sub("", err))
