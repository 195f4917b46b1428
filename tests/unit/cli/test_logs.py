"""The log on stderr, for people or as JSON."""

import json
import logging
import sys
from io import StringIO

import pytest

from hitherto.application.logging import log_event
from hitherto.cli import logs, schema
from hitherto.cli.app import run

LOGGER = logging.getLogger("hitherto")


@pytest.fixture(autouse=True)
def _not_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without colours, and with no wishes from the environment."""
    monkeypatch.setenv("TTY_COMPATIBLE", "0")
    monkeypatch.delenv("HITHERTO_LOG_FORMAT", raising=False)
    monkeypatch.delenv("HITHERTO_LOG_LEVEL", raising=False)


@pytest.fixture
def _logging_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """`hitherto schema --backend sqlite` logs, at two levels."""

    def sql() -> str:
        log_event(LOGGER, logging.INFO, "breaker_closed", failures=0)
        log_event(LOGGER, logging.WARNING, "call_retried", call="append", error="cut\n{here}")
        return "SELECT 1;"

    monkeypatch.setattr(schema, "sqlite_sql", sql)


COMMAND = ["schema", "--backend", "sqlite"]


@pytest.mark.usefixtures("_logging_command")
def test_people_get_a_line_for_each_event(capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr; the command's own output stays as it is."""
    assert run(COMMAND) == 0
    out, err = capsys.readouterr()
    assert out == "SELECT 1;\n"
    (line,) = err.splitlines()
    assert "[warning  ] call_retried" in line
    assert r"call='append' error='cut\n{here}'" in line
    assert "\x1b" not in line


@pytest.mark.usefixtures("_logging_command")
def test_programs_get_json(capsys: pytest.CaptureFixture[str]) -> None:
    """One object a line, with the values one by one."""
    assert run(["--log-format", "json", "--log-level", "info", *COMMAND]) == 0
    out, err = capsys.readouterr()
    assert out == "SELECT 1;\n"
    told = [json.loads(line) for line in err.splitlines()]
    assert all(one.pop("timestamp").endswith("Z") for one in told)
    assert told == [
        {"event": "breaker_closed", "failures": 0, "level": "info"},
        {"event": "call_retried", "call": "append", "error": "cut\n{here}", "level": "warning"},
    ]


@pytest.mark.usefixtures("_logging_command")
def test_the_options_may_stand_anywhere_and_in_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An option wins."""
    assert run([*COMMAND, "--log-level", "error"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("HITHERTO_LOG_FORMAT", "json")
    monkeypatch.setenv("HITHERTO_LOG_LEVEL", "error")
    assert run(COMMAND) == 0
    assert capsys.readouterr().err == ""
    assert run([*COMMAND, "--log-level=warning"]) == 0
    assert json.loads(capsys.readouterr().err)["event"] == "call_retried"


@pytest.mark.parametrize("words", [["--log-format", "xml"], ["--log-level", "loud"]])
def test_a_wrong_choice_is_a_wrong_command_line(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is run."""
    assert run([*COMMAND, *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words[1] in err


def test_the_logger_is_left_as_it_was() -> None:
    """Whoever calls `run` from a program has a log of his own."""
    before = (LOGGER.level, LOGGER.propagate, list(LOGGER.handlers))
    with pytest.raises(ZeroDivisionError), logs.shown("json", "debug"):
        assert not LOGGER.propagate
        raise ZeroDivisionError
    assert (LOGGER.level, LOGGER.propagate, LOGGER.handlers) == before


def test_a_progress_bar_may_take_stderr_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line then goes where it says, and does not tear the bar."""
    with logs.shown("json", "warning"):
        taken = StringIO()
        monkeypatch.setattr(sys, "stderr", taken)
        LOGGER.warning("happened")
    assert json.loads(taken.getvalue())["event"] == "happened"


def test_what_cannot_be_written_does_not_end_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The standard library tells of it, as for any handler."""

    class Unspeakable:
        def __repr__(self) -> str:
            raise ZeroDivisionError

    with logs.shown("json", "warning"):
        LOGGER.warning("happened", extra={"value": Unspeakable()})
    assert "--- Logging error ---" in capsys.readouterr().err


def test_on_a_terminal_it_has_colours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless somebody does not want any."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    with logs.shown("console", "warning"):
        LOGGER.warning("happened")
    assert "\x1b[" in capsys.readouterr().err
    monkeypatch.setenv("NO_COLOR", "1")
    with logs.shown("console", "warning"):
        LOGGER.warning("happened")
    assert "\x1b[" not in capsys.readouterr().err


@pytest.mark.parametrize("first_ends_first", [True, False])
def test_the_logger_is_as_it_was_when_nothing_is_shown_any_more(first_ends_first: bool) -> None:
    """Though commands overlap, as those of several threads."""
    before = (LOGGER.level, LOGGER.propagate, list(LOGGER.handlers))
    one, other = logs.shown("json", "error"), logs.shown("console", "debug")
    one.__enter__()
    other.__enter__()
    for each in (one, other) if first_ends_first else (other, one):
        assert not LOGGER.propagate
        each.__exit__(None, None, None)
    assert (LOGGER.level, LOGGER.propagate, LOGGER.handlers) == before
