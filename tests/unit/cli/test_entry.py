"""Where the command starts, with and without its extra."""

import os
import runpy
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from hitherto.cli import entry

WITHOUT_EXTRA = """
import sys
sys.modules["cyclopts"] = sys.modules["rich"] = None
from hitherto.cli import main
sys.exit(main())
"""

# Cyclopts takes such a call, in a test, for a mistake.
reads_argv = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")


def without(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    """Let these packages not be installed."""
    monkeypatch.setattr(entry, "find_spec", lambda name: None if name in missing else object())


def ended(*command: str) -> subprocess.CompletedProcess[str]:
    """A process that has ended."""
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "TTY_COMPATIBLE": "0"},
    )  # fmt: skip


def test_without_the_extra_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, and with the status of a command line that cannot be run."""
    without(monkeypatch, "cyclopts", "rich")
    assert entry.main() == 2
    assert capsys.readouterr() == (
        "",
        "The command needs cyclopts and rich: pip install 'hitherto[cli]'\n",
    )


@pytest.mark.parametrize("name", ["cyclopts", "rich", "structlog"])
def test_only_what_is_missing_is_named(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others may be there."""
    without(monkeypatch, name)
    assert entry.main() == 2
    told = capsys.readouterr().err
    assert told == f"The command needs {name}: pip install 'hitherto[cli]'\n"


@reads_argv
def test_with_the_extra_the_words_of_the_process_are_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And its status is that of the process."""
    monkeypatch.setattr(sys, "argv", ["hitherto", "--version"])
    assert entry.main() == 0
    assert capsys.readouterr().out == f"{version('hitherto')}\n"
    monkeypatch.setattr(sys, "argv", ["hitherto", "bogus"])
    assert entry.main() == 2


@reads_argv
@pytest.mark.parametrize(("word", "status"), [("--version", 0), ("bogus", 2)])
def test_the_package_can_be_run_as_a_module(
    word: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status is passed on."""
    monkeypatch.setattr(sys, "argv", ["hitherto", word])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_module("hitherto.cli", run_name="__main__")
    assert exit_.value.code == status


@pytest.mark.integration
@pytest.mark.parametrize(
    "command",
    [[sys.executable, "-m", "hitherto.cli"], [str(Path(sys.executable).with_name("hitherto"))]],
    ids=["module", "script"],
)
def test_a_process_tells_its_version(command: list[str]) -> None:
    """Started as a module, or by the script that is installed."""
    process = ended(*command, "--version")
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout == f"{version('hitherto')}\n"


@pytest.mark.integration
def test_nothing_of_the_extra_is_imported_before_it_is_looked_for() -> None:
    """The message comes from a process that has none of it."""
    process = ended(sys.executable, "-c", WITHOUT_EXTRA)
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr == "The command needs cyclopts and rich: pip install 'hitherto[cli]'\n"
