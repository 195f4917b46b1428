"""`hitherto projections`: what is listed, filled, paused, begun anew and rebuilt."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.unit.cli.projections_of_fines import (
    LETTERS,
    NEWER,
    STEPS,
    _views,
    fold,
    listed,
    printed,
    projections,
    refused,
    view,
)

from hitherto.cli.projections.telling import age

__all__ = ["_views"]

pytestmark = pytest.mark.usefixtures("_views")

STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
CAUGHT_UP = "--until-caught-up"


def test_a_store_without_projections_has_none_to_list(capsys: pytest.CaptureFixture[str]) -> None:
    """And the command says so, for people and for programs."""
    assert printed(capsys, "list") == "No projection has run on sqlite:///fines.db yet.\n"
    assert listed(capsys) == []


def test_what_is_run_until_it_has_caught_up_shows_everything(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Several projections in one process; it tells how much each has handled."""
    assert printed(capsys, "run", STEPS, LETTERS, CAUGHT_UP).splitlines() == [
        "Working on Steps, letters.",
        *["writing"] * 40,
        "Steps: 169 events handled",
        "letters: 40 events handled",
    ]
    assert view() == fold()
    assert printed(capsys, "run", STEPS, CAUGHT_UP).endswith("Steps: 0 events handled\n")


def test_a_projection_of_every_event_is_told_the_aggregates(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without them it cannot decode the first event."""
    words = ["run", "views_of_fines:Everything", CAUGHT_UP]
    assert projections(*words) == 1
    assert "aggregate type 'Fine'" in capsys.readouterr().err
    found = printed(capsys, *words, "--aggregates", "hitherto.examples.traffic_fines")
    assert found.endswith("everything: 169 events handled\n")


def test_the_list_tells_where_each_one_is(capsys: pytest.CaptureFixture[str]) -> None:
    """In 80 columns, with long names too."""
    projections("run", LETTERS, STEPS, CAUGHT_UP)
    lines = printed(capsys, "list").splitlines()
    words = [line.split() for line in lines]
    assert words[0] == [
        "projection",
        "state",
        "position",
        "behind",
        "events/s",
        "parked",
        "workers",
    ]
    assert words[1] == ["Steps", "active", "169", "0", "0", "0", "0"]
    assert words[2][:4] == ["generation", "1", "version", "1"]
    assert words[2][5:] == ["s", "ago", "0.0", "s"]
    assert words[3][0] == "letters"
    assert max(map(len, lines)) <= 80


def test_the_list_as_json_has_every_number(capsys: pytest.CaptureFixture[str]) -> None:
    """The metric that alerts use among them: the lag in seconds."""
    projections("run", STEPS, CAUGHT_UP, "--spread")
    (steps,) = listed(capsys)
    assert steps.pop("updated_at")
    assert steps == {
        "name": "Steps", "generation": 1, "version": 1, "state": "active", "paused": False,
        "partitions": 64, "position": 169, "handled": 169, "lag_events": 0, "lag_seconds": 0,
        "parked": 0, "owners": {}, "rate": 0,
    }  # fmt: skip


def test_a_paused_projection_is_listed_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    """Until it is resumed."""
    projections("run", STEPS, CAUGHT_UP)
    assert printed(capsys, "pause", "Steps") == "Steps is paused.\n"
    assert listed(capsys)[0]["paused"]
    assert " paused " in printed(capsys, "list")
    assert printed(capsys, "resume", "Steps") == "Steps goes on.\n"
    assert not listed(capsys)[0]["paused"]


def test_a_reset_is_done_when_it_is_said_to_be_meant(capsys: pytest.CaptureFixture[str]) -> None:
    """The view is empty then, and filled again by the next worker."""
    projections("run", STEPS, CAUGHT_UP)
    assert "say --yes" in refused(capsys, "reset", STEPS)
    assert view() == fold()
    assert printed(capsys, "reset", STEPS, "--yes") == "Steps begins anew.\n"
    assert view() == {}
    (steps,) = listed(capsys)
    assert (steps["position"], steps["generation"], steps["lag_events"]) == (0, 1, 169)
    projections("run", STEPS, CAUGHT_UP)
    assert view() == fold()


def test_a_reset_by_code_for_another_store_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything: its tables would be gone."""
    elsewhere = "postgresql://127.0.0.1:1/none"
    told = refused(capsys, "reset", STEPS, "--yes", "--url", elsewhere)
    assert "Steps.setup is a plain function" in told


def test_a_reset_by_code_of_another_version_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Its tables are not those that are there."""
    projections("run", STEPS, CAUGHT_UP)
    told = refused(capsys, "reset", NEWER, "--yes")
    assert "'Steps' is of version 1, but this code has 2: rebuild it" in told
    assert view() == fold()


def test_a_rebuild_puts_a_new_view_in_place(capsys: pytest.CaptureFixture[str]) -> None:
    """It tells its number, how many events that took, and how fast they were."""
    projections("run", STEPS, CAUGHT_UP)
    first, second = printed(capsys, "rebuild", STEPS).splitlines()
    assert first == "Steps: generation 2 is in place"
    assert re.fullmatch(r"169 events in \d+\.\d s, [\d,]+ a second", second)
    assert view() == fold()
    (steps,) = listed(capsys)
    assert (steps["generation"], steps["state"], steps["position"]) == (2, "active", 169)


def test_a_rebuild_reports_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With the rate; here of the first view, for nothing was there before."""
    report = json.loads(printed(capsys, "rebuild", STEPS, "--json"))
    assert report.pop("rate") == pytest.approx(169 / report.pop("seconds"))
    assert report == {
        "projection": "Steps", "version": 1, "generation": 1, "in_place": True,
        "position": 169, "events": 169,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("before", "option", "partitions"),
    [
        (["--spread"], [], 64),
        ([], [], 1),
        ([], ["--spread"], 64),
        (["--spread"], ["--no-spread"], 1),
    ],
)
def test_a_rebuild_is_spread_as_the_view_was(
    before: list[str], option: list[str], partitions: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """If nothing else is asked for."""
    projections("run", STEPS, CAUGHT_UP, *before)
    projections("rebuild", STEPS, *option)
    (steps,) = listed(capsys)
    assert (steps["generation"], steps["partitions"]) == (2, partitions)


def test_a_newer_version_takes_the_place_of_the_older(capsys: pytest.CaptureFixture[str]) -> None:
    """Whose code is then refused; a rebuild by it is a way back."""
    projections("run", STEPS, CAUGHT_UP)
    projections("run", NEWER, CAUGHT_UP)
    (steps,) = listed(capsys)
    assert (steps["generation"], steps["version"]) == (2, 2)
    assert projections("run", STEPS, CAUGHT_UP) == 1
    assert "hitherto projections rebuild" in capsys.readouterr().err
    printed(capsys, "rebuild", STEPS)
    (steps,) = listed(capsys)
    assert (steps["generation"], steps["version"]) == (3, 1)


def test_a_paused_projection_is_not_rebuilt(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody may work on it; the error says what to do."""
    projections("run", STEPS, CAUGHT_UP)
    projections("pause", "Steps")
    assert "hitherto projections resume Steps" in refused(capsys, "rebuild", STEPS)


def test_a_rebuild_may_be_broken_off_before_it_has_begun(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Then there is nothing to go on with, and nothing to complain of."""

    async def stopped(*_: object, **__: object) -> str:
        return "stopped"

    monkeypatch.setattr("hitherto.cli.projections.rebuilding.work", stopped)
    assert projections("rebuild", STEPS) == 1
    assert "broken off at position 0" in capsys.readouterr().out


def test_a_bar_is_shown_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the rate and the time that is left, on stderr, so that the result can be piped."""
    # So it first looks before there is anything.
    monkeypatch.setattr("hitherto.cli.projections.rebuilding._LOOKS_EVERY", 0.001)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("PAUSE", "0.01")
    assert projections("rebuild", STEPS, "--batch", "5", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["events"] == 169
    assert re.search(r"Steps .* \d+/169 .* \d+/s, 0:00:0\d left", STYLES.sub("", err))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "nothing:Steps"], "'nothing:Steps'"),
        (["run", "views_of_fines"], "give MODULE:NAME"),
        (["run", STEPS, STEPS], "name each once"),
        (["run", STEPS, "--batch", "0"], "batch=0"),
        (["run", STEPS, "--lease", "0"], "lease=0"),
        (["run", STEPS, "--url", "sqlite:///nothing.db"], "nothing.db"),
        (["rebuild", STEPS, "--url", "sqlite:///nothing.db"], "nothing.db"),
        (["rebuild", STEPS, "--batch", "0"], "batch=0"),
        (["list", "sqlite:///nothing.db"], "nothing.db"),
        (["pause", "Steps"], "the store has no projection 'Steps'; none has run on it yet"),
        (["resume", "Steps"], "the store has no projection 'Steps'"),
        (["reset", STEPS, "--yes"], "the store has no projection 'Steps'"),
        (["parked", "Steps"], "the store has no projection 'Steps'"),
        (["retry", "Steps", "--all"], "the store has no projection 'Steps'"),
        (["skip", "Steps", "--aggregate", "A1", "--yes"], "the store has no projection 'Steps'"),
        (["pause", ""], "the projection's name is empty"),
    ],
)
def test_what_cannot_be_done_is_an_error(
    words: Sequence[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line on stderr; nothing is made."""
    assert projections(*words) == 1
    err = capsys.readouterr().err
    assert err.startswith("hitherto: ")
    assert told in err
    assert err.count("\n") == 1
    names = {path.name for path in Path().iterdir()} - {"__pycache__"}
    assert names <= {"fines.db", "fines.db-wal", "fines.db-shm", "views_of_fines.py"}


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (90, "90 s"),
        (121, "2 min"),
        (7300, "2 h"),
        (180_000, "2 d"),
        (1e8, "1,157 d"),
    ],
)
def test_a_time_is_told_in_the_unit_that_fits(seconds: float, told: str) -> None:
    """In few letters, for there are many columns."""
    assert age(seconds) == told


def test_an_unknown_name_is_answered_with_those_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The stored names, which need not be those of the classes."""
    projections("run", LETTERS, STEPS, CAUGHT_UP)
    told = refused(capsys, "pause", "Letters")
    assert "the store has no projection 'Letters'; it has Steps, letters" in told
