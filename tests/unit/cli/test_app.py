"""The command line: what is understood, and how errors are told."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from hitherto import ConfigurationError
from hitherto.cli.app import run


@pytest.fixture(autouse=True)
def _not_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """80 columns, no colours, whatever the surroundings say."""
    monkeypatch.setenv("TTY_COMPATIBLE", "0")
    monkeypatch.setenv("COLUMNS", "80")


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """That of the package, alone."""
    assert run(["--version"]) == 0
    assert capsys.readouterr() == (f"{version('hitherto')}\n", "")


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_names_the_commands(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Asked for, or where nothing was asked for."""
    assert run(words) == 0
    out, err = capsys.readouterr()
    assert "demo" in out
    assert "schema" in out
    assert err == ""


@pytest.mark.parametrize(
    ("command", "options"), [("demo", ["--url"]), ("schema", ["--schema", "--backend"])]
)
def test_help_names_the_options_of_a_command(
    command: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """In 80 columns."""
    assert run([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert all(option in out for option in options)
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["bogus"], 'Unknown command "bogus"'),
        (["demo", "file.db"], "file.db"),
        (["demo", "--url"], "--url"),
        (["schema", "shop"], "shop"),
        (["schema", "--bogus"], "--bogus"),
        (["schema", "--backend", "oracle"], "oracle"),
    ],
)
def test_a_wrong_command_line_has_a_status_of_its_own(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong is told, on stderr; nothing is run."""
    assert run(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "is no store's URL"),
        ("mysql://ada:secret@host/db", "'mysql://host/db' is no store's URL"),
        ("sqlite:////no/such/folder/x.db", "'/no/such/folder/x.db' cannot be opened"),
    ],
)
def test_an_error_is_one_line_on_stderr(
    url: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback, and no password."""
    assert run(["demo", "--url", url]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("hitherto: ")
    assert told in err
    assert err.count("\n") == 1
    assert "secret" not in err


def test_a_long_error_of_several_lines_is_told_in_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not wrapped, so that it can be searched for; neither markup nor a control counts in it."""

    def refuse() -> str:
        raise ConfigurationError("first\n    second [red] \x1b[2J\x9b" + "x" * 100)

    monkeypatch.setattr("hitherto.cli.schema.sqlite_sql", refuse)
    assert run(["schema", "--backend", "sqlite"]) == 1
    assert capsys.readouterr().err == rf"hitherto: first second [red] \x1b[2J\x9b{'x' * 100}" + "\n"


@pytest.mark.integration
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    ("sink", "told"), [("| true", ""), ("> /dev/full", "hitherto: [Errno 28]")]
)
def test_output_that_goes_nowhere_is_no_traceback(sink: str, told: str) -> None:
    """A pipe that is closed is a reader's choice; a full disk is told in a line."""
    command = f"for n in 1 2 3; do {sys.executable} -m hitherto.cli schema; done {sink}"
    ended = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in ended.stderr
    assert told in ended.stderr
