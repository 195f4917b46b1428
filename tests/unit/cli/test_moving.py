"""`hitherto export`, `import` and `branch`: what they print, and what they refuse."""

import asyncio
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.acceptance.sound_store import AGGREGATES

from hitherto import Repository, connect
from hitherto.application.records import StoredEvent
from hitherto.cli.app import run
from hitherto.examples.traffic_fines import Fine
from hitherto.testing.store_contract.making import append_to, whole_log

EVENTS = 169
STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def url(fines_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DATABASE_URL", "nonsense")
    return fines_url


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """The lines on stdout of a command that does it; nothing is on stderr."""
    assert run(words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out.splitlines()


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The line on stderr of a command that fails; nothing is on stdout."""
    assert run(words) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def log(url: str) -> list[StoredEvent]:
    async def read() -> list[StoredEvent]:
        async with connect(url, migrate=False) as store:
            return await whole_log(store.backend)

    return asyncio.run(read())


def test_a_store_is_moved_by_two_commands(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And the new one gives the same file again."""
    lines = printed(capsys, "export", url, "--to", "fines.jsonl")
    sha256 = json.loads(Path("fines.jsonl").read_text().splitlines()[-1])["sha256"]
    assert lines == [
        "169 events are in fines.jsonl.",
        f"SHA-256 of all its lines but the last: {sha256}",
    ]
    assert printed(capsys, "import", "fines.jsonl", "sqlite:///other.db") == [
        "sqlite:///other.db has all 169 events of the file, each as it tells.",
        "Stored now: 169",
        "Stored before: 0",
    ]
    printed(capsys, "export", "sqlite:///other.db", "--to", "again.jsonl")
    assert Path("again.jsonl").read_bytes() == Path("fines.jsonl").read_bytes()
    assert printed(capsys, "verify", "sqlite:///other.db", *AGGREGATES)[:2] == [
        "sqlite:///other.db is sound.",
        "Events read: 169",
    ]


def test_an_export_may_go_through_a_pipe(
    url: str, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There it is all that stdout has; stdin is checked whole before it is stored, too."""
    assert run(["export", url, "--to", "-"]) == 0
    out, err = capfdbinary.readouterr()
    assert err == b""
    assert run(["export", url, "--to", "fines.jsonl"]) == 0
    assert Path("fines.jsonl").read_bytes() == out
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(out)))
    assert run(["import", "-", "sqlite:///other.db"]) == 0
    assert len(log("sqlite:///other.db")) == EVENTS
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(out[:-9])))
    capfdbinary.readouterr()
    assert run(["import", "-", "sqlite:///third.db"]) == 1
    assert b"stdin: line 171 does not tell" in capfdbinary.readouterr().err
    assert not Path("third.db").exists()


@pytest.mark.parametrize("kind", ["jsonl.gz", "parquet"])
def test_the_name_of_a_file_tells_its_kind(
    kind: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Packed, or Parquet."""
    printed(capsys, "export", url, "--to", f"fines.{kind}")
    assert Path(f"fines.{kind}").read_bytes()[:2] == (b"\x1f\x8b" if kind == "jsonl.gz" else b"PA")
    printed(capsys, "import", f"fines.{kind}", "sqlite:///other.db")
    assert [each.event_id for each in log("sqlite:///other.db")] == [
        each.event_id for each in log(url)
    ]


def test_an_import_is_told_as_json(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run again, it finds all stored."""
    printed(capsys, "export", url, "--to", "fines.jsonl")
    for written in (EVENTS, 0):
        lines = printed(capsys, "import", "fines.jsonl", "sqlite:///other.db", "--json")
        assert json.loads("".join(lines)) == {
            "store": "sqlite:///other.db",
            "events": EVENTS, "written": written, "skipped": EVENTS - written,
        }  # fmt: skip


def exported(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    """The lines of an export, the first and the last one left out."""
    path = Path("part.jsonl")
    path.unlink(missing_ok=True)
    printed(capsys, "export", *words, "--to", str(path))
    return [json.loads(line) for line in path.read_bytes().splitlines()][1:-1]


def test_a_part_of_a_store_may_be_exported(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By types, ids and positions, all of which must fit."""
    whole = log(url)
    lines = exported(capsys, url, "--type", "PaymentReceived", "--type", "FineSent", "--positions")
    assert [line["position"] for line in lines] == [
        each.position for each in whole if each.event_type in {"PaymentReceived", "FineSent"}
    ]
    assert exported(capsys, url, "--aggregate-type", "Order") == []
    assert len(exported(capsys, url, "--aggregate-type", "Fine")) == EVENTS
    assert {
        line["aggregate_id"] for line in exported(capsys, url, "--id", "A1", "--id", "A100")
    } == {
        "A1",
        "A100",
    }
    lines = exported(capsys, url, "--after", "10", "--until", "30", "--type", "FineSent")
    assert [line["event_id"] for line in lines] == [
        str(each.event_id) for each in whole[10:30] if each.event_type == "FineSent"
    ]
    middle = whole[80].stored_at.isoformat()
    before, after = (exported(capsys, url, word, middle) for word in ("--until", "--after"))
    assert len(before) > 80
    assert [line["event_id"] for line in before + after] == [str(each.event_id) for each in whole]


def test_a_changed_file_is_refused_with_its_line(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is made."""
    printed(capsys, "export", url, "--to", "fines.jsonl")
    path = Path("fines.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"amount":"3', b'"amount":"4', 1))
    err = refused(capsys, "import", "fines.jsonl", "sqlite:///other.db")
    assert err.startswith("hitherto: fines.jsonl: line 2 is not what was written there")
    assert sorted(each.name for each in Path().iterdir()) == ["fines.db", "fines.jsonl"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["export", "sqlite:///fines.db", "--to", "fines.db"], "fines.db exists already"),
        (["export", "sqlite:///none.db", "--to", "x.jsonl"], "none.db"),
        (["export", "sqlite:///fines.db", "--to", "x.jsonl", "--after", "-1"], "-1"),
        (["export", "sqlite:///fines.db", "--to", "x.jsonl", "--until", "noon"], "'noon'"),
        (["export", "sqlite:///fines.db", "--to", "x.jsonl", "--id", ""], "aggregate id is empty"),
        (["export", "sqlite:///fines.db", "--to", "no/x.jsonl"], "no/x.jsonl"),
        (["export", "mysql://ada:secret@host/db", "--to", "x.jsonl"], "is no store's URL"),
        (["import", "none.jsonl", "sqlite:///x.db"], "none.jsonl"),
        (["import", "fines.db", "sqlite:///x.db"], "fines.db is no export"),
        (["import", ".", "sqlite:///x.db"], "directory"),
        (["branch", "sqlite:///fines.db", "fines.db"], "fines.db exists already"),
        (["branch", "sqlite:///none.db", "x.db"], "none.db"),
        (["branch", "sqlite:///fines.db", "x.db", "--until", "2024-01-01"], "2024-01-01"),
        (["branch", "postgresql://ada:secret@127.0.0.1:1/db", "x.db"], "cannot be reached"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_an_error(
    words: Sequence[str], told: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line on stderr, without the password; nothing is made."""
    err = refused(capsys, *words)
    assert err.startswith("hitherto: ")
    assert told in err
    assert "secret" not in err
    assert [path.name for path in Path().iterdir()] == ["fines.db"]


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("export", ["URL", "--to", "--type", "--aggregate-type", "--id", "--after", "--until",
                    "--positions", "--schema"]),
        ("import", ["FILE", "URL", "--schema", "--json"]),
        ("branch", ["URL", "FILE", "--until", "--schema"]),
    ],
)  # fmt: skip
def test_help_names_the_options(
    command: str, options: list[str], url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In 80 columns, with an example in one line."""
    lines = printed(capsys, command, "--help")
    assert all(any(option in line for line in lines) for option in options)
    assert any(line.strip().startswith(f"hitherto {command} ") for line in lines)
    assert max(map(len, lines)) <= 80


def test_bars_are_shown_on_a_terminal(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, so that an export can be piped."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert run(["export", url, "--to", "fines.jsonl"]) == 0
    assert run(["import", "fines.jsonl", "sqlite:///other.db"]) == 0
    assert run(["branch", url, "bug.db"]) == 0
    err = STYLES.sub("", capsys.readouterr().err)
    for step in ("exporting", "importing", "verifying", "copying"):
        assert re.search(rf"{step}.* 169/169", err), step
    assert re.search(r"checking.* 169/\?", err)


def test_a_branch_is_the_store_as_it_was(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Events with their positions; snapshots are made again, and the log goes on behind."""
    whole = log(url)
    assert printed(capsys, "branch", url, "bug.db", "--until", "100") == [
        "sqlite:///bug.db has 100 events, each at its position."
    ]
    assert log("sqlite:///bug.db") == whole[:100]
    assert printed(capsys, "verify", "sqlite:///bug.db", *AGGREGATES)[:3] == [
        "sqlite:///bug.db is sound.",
        "Events read: 100",
        "Snapshots compared with them: 0",
    ]
    assert [path.name for path in Path().glob("bug*")] == ["bug.db"]

    async def go_on() -> int:
        async with connect("sqlite:///bug.db") as store:
            assert (await Repository(store, Fine).load("A1")).version > 0
            return (await store.backend.append([append_to("new")]))[0]

    assert asyncio.run(go_on()) == 101


def test_a_branch_keeps_the_gaps_of_positions(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A position tells the same event here and there."""
    connection = apsw.Connection("fines.db")
    connection.execute("UPDATE sqlite_sequence SET seq = 1000 WHERE name = 'event_store'")
    connection.close()

    async def append() -> None:
        async with connect(url) as store:
            await store.backend.append([append_to("new", 2)])

    asyncio.run(append())
    printed(capsys, "branch", url, "bug.db")
    assert [each.position for each in log("sqlite:///bug.db")][-3:] == [169, 1001, 1002]
    assert log("sqlite:///bug.db") == log(url)


def test_a_branch_may_end_at_a_time(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """That of storing, which is the beginning of a transaction."""
    whole = log(url)
    moment = whole[99].stored_at
    count = max(each.position for each in whole if each.stored_at <= moment)
    printed(capsys, "branch", url, "bug.db", "--until", moment.isoformat())
    assert log("sqlite:///bug.db") == whole[:count]
    early = (whole[0].stored_at - timedelta(days=1)).astimezone(UTC).isoformat()
    (line,) = printed(capsys, "branch", url, "100%41.db", "--until", early)
    assert log(line.split()[0]) == []
    assert Path("100%41.db").exists()
    assert datetime.fromisoformat(early) < moment


def test_what_a_killed_branch_has_left_does_not_matter(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file has its name when it is whole."""

    async def leave() -> None:
        async with connect("sqlite:///left.db") as store:
            await store.backend.append([append_to("left", 1000)])
            for rest in ("", "-wal", "-shm"):
                shutil.copy(f"left.db{rest}", f"bug.db.partial{rest}")

    asyncio.run(leave())
    assert Path("bug.db.partial-wal").stat().st_size > 100_000
    printed(capsys, "branch", url, "bug.db")
    assert log("sqlite:///bug.db") == log(url)
    assert sorted(path.name for path in Path().glob("bug*")) == ["bug.db"]


@pytest.mark.integration
def test_a_killed_import_goes_on(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """However it ended: what is stored is whole chunks, and the rest is added."""
    asyncio.run(_enlarge(url))
    printed(capsys, "export", url, "--to", "fines.jsonl")
    command = [sys.executable, "-m", "hitherto.cli", "import", "fines.jsonl", "sqlite:///other.db"]
    kills = 0
    for number in range(1, 4):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and _stored("other.db") < number * 4000:
            time.sleep(0.005)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills == 3
    stored = _stored("other.db")
    assert 15_000 <= stored < 30_169
    lines = printed(capsys, "import", "fines.jsonl", "sqlite:///other.db", "--json")
    done = json.loads("".join(lines))
    assert done["events"] == 30_169
    assert 15_000 <= done["skipped"] < 30_169
    printed(capsys, "export", "sqlite:///other.db", "--to", "again.jsonl")
    assert Path("again.jsonl").read_bytes() == Path("fines.jsonl").read_bytes()


async def _enlarge(url: str) -> None:
    async with connect(url) as store:
        for number in range(30):
            await store.backend.append([append_to(f"large-{number}", 1000)])


def _stored(path: str) -> int:
    if not Path(path).exists():
        return 0
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        rows: Any = connection.execute("SELECT count(*) FROM event_store")
        return int(rows.get)
    except apsw.Error:  # its tables are not there yet, or it is locked
        return 0
    finally:
        connection.close()
