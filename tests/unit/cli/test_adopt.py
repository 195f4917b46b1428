"""`hitherto adopt`: what it prints, and what it refuses."""

import json
import re
from pathlib import Path

import apsw
import pytest

from hitherto.cli.app import run

MODULE = """
from hitherto import Adoption, Aggregate, Event


class UserCreated(Event):
    email: str
    name: str


class UserRenamed(Event):
    name: str


class User(Aggregate[UserCreated | UserRenamed]):
    email: str = ""
    name: str = ""

    def apply(self, event):
        if isinstance(event, UserCreated):
            self.email = event.email
        self.name = event.name


class Users(Adoption[User]):
    prefix = "user-"

    def baseline(self, row):
        if "@" not in row["email"]:
            raise ValueError(f"{row['email']!r} is no address")
        return UserCreated(email=row["email"], name=row["name"])

    def changed(self, before, after):
        return [UserRenamed(name=after["name"])]

    def deleted(self, row):
        raise ValueError("users stay")

    def row_of(self, user):
        return {"email": user.email, "name": user.name}


class Needy(Users):
    def __init__(self, what):
        self.what = what


def from_row(row):
    return UserCreated(email=row["email"], name=row["name"])
"""
WORDS = ("adopt", "users", "--aggregate", "people:User", "--url", "sqlite:///shop.db")
MAPPED = (*WORDS, "--mapping", "people:Users")


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of three users, in the file that the store is to be in."""
    monkeypatch.setenv("TTY_COMPATIBLE", "0")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("DATABASE_URL", "nonsense")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "people", raising=False)
    Path("people.py").write_text(MODULE)
    execute(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, name TEXT)",
        "INSERT INTO users VALUES (1, 'ada@b.c', 'Ada'), (2, 'bob@b.c', 'Bob'), (3, '', 'Cleo')",
    )


def execute(*statements: str) -> None:
    connection = apsw.Connection("shop.db")
    for each in statements:
        connection.execute(each)
    connection.close()


def printed(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> list[str]:
    """The lines on stdout of a command; nothing is on stderr."""
    assert run(words) == status
    out, err = capsys.readouterr()
    assert err == ""
    return out.splitlines()


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The line on stderr of a command that fails; nothing is on stdout."""
    assert run(words) == 1
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_it_tells_what_was_taken_over(capsys: pytest.CaptureFixture[str]) -> None:
    """And who was refused, until the mapping or the row is mended."""
    assert printed(capsys, *MAPPED, status=1) == [
        "users: 1 of 3 rows were refused.",
        "Taken over now: 2",
        "Taken over before: 0",
        "  3: ValueError: '' is no address",
    ]
    execute("UPDATE users SET email = 'cleo@b.c' WHERE id = 3")
    assert printed(capsys, *MAPPED) == [
        "users: all 3 rows are aggregates.",
        "Taken over now: 1",
        "Taken over before: 2",
    ]


def test_of_many_refused_rows_the_first_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """As many as is asked for."""
    execute("UPDATE users SET email = ''")
    assert printed(capsys, *MAPPED, "--show", "1", status=1)[-2:] == [
        "  1: ValueError: '' is no address",
        "  … and 2 more",
    ]


def test_it_tells_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    """Row by row, and column by column."""
    execute("DELETE FROM users WHERE id = 3")
    printed(capsys, *MAPPED)
    assert printed(capsys, *MAPPED, "--compare") == [
        "users is what its aggregates say.",
        "Rows: 2",
        "Aggregates: 2",
    ]
    execute("UPDATE users SET name = 'Bert' WHERE id = 2", "DELETE FROM users WHERE id = 1",
            "INSERT INTO users VALUES (4, 'd@b.c', 'Dora')")  # fmt: skip
    assert printed(capsys, *MAPPED, "--compare", status=1) == [
        "users is not what its aggregates say.",
        "Rows: 2",
        "Aggregates: 2",
        "Rows that differ: 1",
        "Rows without an aggregate: 1",
        "Aggregates without a row: 1",
        "  2: name is 'Bert' in the row, 'Bob' in user-2",
        "  4: there is a row, but user-4 has none",
        "  1: there is no row, but user-1 has one",
    ]
    (told,) = [json.loads("\n".join(printed(capsys, *MAPPED, "--compare", "--json", status=1)))]
    assert told["counts"] == {"differs": 1, "missing": 1, "extra": 1, "unreadable": 0}
    assert told["differences"][0]["columns"] == {"name": ["'Bert'", "'Bob'"]}


def test_a_capture_is_installed_run_and_removed(capsys: pytest.CaptureFixture[str]) -> None:
    """What was refused is told, and waits."""
    execute("DELETE FROM users WHERE id = 3")
    capture = (*MAPPED, "--capture")
    assert printed(capsys, *capture, "install") == ["Each write to users is captured from now on."]
    printed(capsys, *MAPPED)
    execute("UPDATE users SET name = 'Bert' WHERE id = 2", "DELETE FROM users WHERE id = 1")
    assert run([*capture, "run", "--until-caught-up"]) == 1
    out, err = capsys.readouterr()
    assert re.search(r"change_refused +error='ValueError: users stay' key='1' table='users'", err)
    assert out.splitlines() == [
        "Keeping users and its aggregates in step.",
        "Changes taken over: 1",
        "Rows written back: 0",
        "Changes that were refused, and wait: 1",
        "  1: ValueError: users stay",
    ]
    assert "1 changes of users are not taken over" in refused(capsys, *capture, "remove")
    assert printed(capsys, *capture, "remove", "--yes") == ["Writes to users are captured no more."]


def test_a_capture_is_told_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """That it is there, and that it is not."""
    for word, captured in (("install", True), ("remove", False)):
        lines = printed(capsys, *MAPPED, "--capture", word, "--json")
        assert json.loads("".join(lines)) == {"table": "users", "captured": captured}


def test_the_table_may_be_in_another_database(capsys: pytest.CaptureFixture[str]) -> None:
    """Than the store."""
    words = ["--from", "sqlite:///shop.db", "--url", "sqlite:///events.db"]
    printed(capsys, *WORDS[:4], *words, "--mapping", "people:from_row", "--json")
    assert Path("events.db").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--mapping", "people:User"],
            "is no mapping: give a class derived from hitherto.Adoption",
        ),
        (["--mapping", "nowhere:Users"], "give MODULE:NAME, such as shop.users:Users"),
        (["--mapping", "people:Needy"], "Needy cannot be made without arguments"),
        (["--mapping", "people:Missing"], "has no 'Missing'; it has Needy, Users"),
        (["--mapping", "people:from_row", "--compare"], "OfFunction has no row_of"),
        (["--mapping", "people:Users", "--from", "memory:"], "memory: has no tables to adopt"),
        (["--mapping", "people:Users", "--from", "sqlite:///no.db"], "there is no file 'no.db'"),
        (["--mapping", "people:Users", "--capture", "run"], "not captured: run `hitherto adopt`"),
        (["--mapping", "people:Users", "--compare", "--capture", "run"], "two commands"),
        (["--mapping", "people:Users", "--until-caught-up"], "is for --capture run"),
        (["--mapping", "people:Users", "--capture", "run", "--yes"], "is for --capture remove"),
        (["--mapping", "people:Users", "--show", "-1"], "--show -1: give at least 0"),
    ],
)
def test_what_it_cannot_do_is_told(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a line that says what to do."""
    if "--compare" in words or "--capture" in words:  # There the store is not made.
        assert run([*WORDS, "--mapping", "people:from_row"]) == 0
        capsys.readouterr()
    line = refused(capsys, *WORDS, *words)
    assert told in line
    assert line.count("\n") == 1
