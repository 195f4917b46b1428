"""What the demo suggests to try: short where it can be, and safe to copy."""

import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from hitherto.cli.demo import advice
from hitherto.examples.traffic_fines import Fine
from hitherto.sync import Repository, connect

FINE = "A1"


@pytest.fixture(autouse=True)
def _nothing_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither sqlite3 nor an environment's programs, and a folder of its own."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.chdir(tmp_path)


def environment_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the programs of this environment be in a folder, so that they can be found there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("python", "hitherto"):
        (folder / name).touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    return folder


def paid_twice() -> Fine:
    """A fine with three events, after which 33 euros are outstanding."""
    at = datetime(2006, 1, 1, tzinfo=UTC)
    fine = Fine(FINE)
    fine.create(Decimal("35.00"), at=at, article=7, vehicle_class="A", resource="0")
    fine.pay(Decimal("1.00"), at=at)
    fine.pay(Decimal("1.00"), at=at)
    return fine


def output(command: str) -> str:
    """What a shell's command prints."""
    return subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, text=True, check=True, timeout=60
    ).stdout


class TestWhereTheEventsAre:
    @pytest.mark.parametrize(
        ("url", "told"),
        [
            ("sqlite:///here.db", "The events are in the file here.db."),
            ("sqlite:////there/a%20b.db", "The events are in the file /there/a b.db."),
            ("memory:", "The events were in memory, and are gone."),
        ],
    )
    def test_a_file_is_named(self, url: str, told: str) -> None:
        """As the system names it."""
        assert advice.left_by(url, "public") == told

    def test_a_database_is_named_without_the_password(self) -> None:
        """The commands take the URL from a variable."""
        told = advice.left_by("postgresql://ada:secret@host/db", "shop")
        assert told.startswith("The events are in postgresql://host/db, schema shop. Set DATABASE_")
        commands = list(advice.commands_for("postgresql://ada:secret@host/db", "shop", FINE))
        assert "secret" not in "".join([told, *commands])


class TestCommands:
    def test_a_database_is_asked_by_psql(self) -> None:
        """In its schema."""
        count, show, load, schema = advice.commands_for("postgres://host/db", "shop", FINE)
        assert shlex.split(count) == [
            "psql", "$DATABASE_URL", "-c",
            "SELECT event_type, count(*) FROM shop.event_store GROUP BY event_type",
        ]  # fmt: skip
        assert show.endswith("--at 3 --schema shop")
        assert 'connect(schema="shop")' in load
        assert schema.endswith("hitherto schema --schema shop")

    def test_after_memory_there_is_only_the_demo_itself(self) -> None:
        """Which leaves a file."""
        (command,) = advice.commands_for("memory:", "public", FINE)
        assert command.endswith("hitherto demo")

    def test_a_file_is_asked_by_sqlite3_where_it_is_found(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On the path."""
        monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
        count, show, load, schema = advice.commands_for("sqlite:///a%20b.db", "public", FINE)
        assert shlex.split(count) == [
            "sqlite3", "a b.db", "SELECT event_type, count(*) FROM event_store GROUP BY event_type"
        ]  # fmt: skip
        assert show.endswith("--at 3 --url sqlite:///a%20b.db")
        assert 'connect(url="sqlite:///a%20b.db")' in load
        assert schema.endswith("hitherto schema --backend sqlite")

    @pytest.mark.integration
    @pytest.mark.parametrize("name", ["fines.db", 'it\'s "a b".db', "$HOME `x` 🦉.db"])
    def test_without_sqlite3_python_asks(self, name: str, tmp_path: Path) -> None:
        """Whatever the file is called."""
        url = f"sqlite:///{name}"
        with connect(url) as store:
            Repository(store, Fine).save(paid_twice())
        count, show, load, _ = advice.commands_for(url, "public", FINE)
        assert "sqlite3.connect(" in count
        assert output(count) == "('FineCreated', 1)\n('PaymentReceived', 2)\n"
        assert output(show).startswith(f"Fine {FINE}, version 3\n")
        assert output(load) == "33.00\n"


class TestPrograms:
    def test_a_program_on_the_path_needs_no_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An environment that is active."""
        folder = environment_in(tmp_path / "env/bin", monkeypatch)
        monkeypatch.setenv("PATH", str(folder))
        assert list(advice.commands_for("memory:", "public", FINE)) == ["hitherto demo"]

    def test_a_program_of_the_same_name_elsewhere_on_the_path_is_not_taken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may be of another environment."""
        other = environment_in(tmp_path / "other/bin", monkeypatch)
        environment_in(tmp_path / "env/bin", monkeypatch)
        monkeypatch.setenv("PATH", str(other))
        assert list(advice.commands_for("memory:", "public", FINE)) == ["env/bin/hitherto demo"]

    def test_a_program_below_this_folder_is_named_from_here(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As short as can be; a blank is quoted."""
        environment_in(tmp_path / "my env/bin", monkeypatch)
        assert list(advice.commands_for("memory:", "public", FINE)) == [
            "'my env/bin/hitherto' demo"
        ]

    def test_a_program_in_this_folder_is_not_looked_for_on_the_path(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A bare name would be."""
        environment_in(tmp_path, monkeypatch)
        assert list(advice.commands_for("memory:", "public", FINE)) == ["./hitherto demo"]

    def test_a_program_elsewhere_is_named_in_full(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It works from any folder."""
        folder = environment_in(tmp_path / "env/bin", monkeypatch)
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        assert list(advice.commands_for("memory:", "public", FINE)) == [f"{folder}/hitherto demo"]
