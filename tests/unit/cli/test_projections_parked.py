"""`hitherto projections parked`, `retry` and `skip`."""

import json
from typing import Any

import pytest
from tests.unit.cli.projections_of_fines import (
    STEPS,
    _views,
    fold,
    listed,
    printed,
    projections,
    refused,
    view,
)

__all__ = ["_views"]

FINE = "A10249"  # It has nine events; the third is refused.


@pytest.fixture(autouse=True)
def _parked(
    _views: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One event is refused in all its attempts, and six wait behind it."""
    monkeypatch.setenv("REFUSED", f"{FINE}/FineNotified")
    caught_up()
    capsys.readouterr()


def caught_up() -> None:
    """Let a worker do what there is to do."""
    projections("--log-level", "error", "run", STEPS, "--until-caught-up")


def parked(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The events that are set aside, as the command tells programs."""
    report = json.loads(printed(capsys, "parked", "Steps", "--json"))
    assert report.pop("projection") == "Steps"
    found: list[dict[str, Any]] = report["parked"]
    return found


def test_what_is_parked_is_listed_with_what_it_waits_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In 80 columns, two lines for each, on which long errors are folded."""
    lines = printed(capsys, "parked", "Steps").splitlines()
    words = [line.split() for line in lines]
    assert words[0] == ["position", "event", "aggregate", "error"]
    assert words[1][:3] == ["60", "FineNotified", FINE]
    assert words[2][1:7] == ["s", "ago", "5", "attempts", "version", "3"]
    error = " ".join(words[1][3:] + words[2][7:])
    assert error == "ValueError: not this one, says the test"
    assert " ".join(words[3]) == f"61 PenaltyAdded {FINE} waits for an earlier one"
    assert words[4][1:] == ["s", "ago", "not", "tried", "version", "4"]
    assert len(lines) == 15
    assert max(map(len, lines)) <= 80
    assert view() == {**fold(), FINE: 2}


def test_who_lets_it_catch_up_is_told_that_something_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And by the exit status; until it is skipped."""
    words = ["run", STEPS, "--until-caught-up"]
    assert projections(*words) == 1
    assert capsys.readouterr().out.splitlines()[1:] == [
        "Steps: 0 events handled",
        "Steps: 7 set aside: see hitherto projections parked Steps",
    ]
    printed(capsys, "skip", "Steps", "--aggregate", FINE, "--yes")
    assert printed(capsys, *words).splitlines()[1:] == ["Steps: 6 events handled"]


def test_as_json_everything_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Of each event."""
    first, *waiting = parked(capsys)
    assert first.pop("event_id")
    assert first.pop("parked_at")
    assert first == {
        "name": "Steps", "generation": 1, "partition": 0, "position": 60,
        "event_type": "FineNotified", "aggregate_id": FINE, "version": 3, "attempts": 5,
        "error": "ValueError: not this one,\n says the test", "retry": False,
    }  # fmt: skip
    assert [each["version"] for each in waiting] == [4, 5, 6, 7, 8, 9]
    assert {(each["attempts"], each["error"]) for each in waiting} == {(0, None)}
    assert listed(capsys)[0]["parked"] == 7


def test_events_are_tried_again_when_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the next worker, in order; what fails again stays, and so does what waits."""
    told = printed(capsys, "retry", "Steps", "--all")
    assert told == "7 events of Steps will be tried again.\n"
    assert printed(capsys, "parked", "Steps").count("again)") == 7
    caught_up()
    assert (len(parked(capsys)), parked(capsys)[0]["attempts"]) == (7, 6)
    assert "again)" not in printed(capsys, "parked", "Steps")
    monkeypatch.delenv("REFUSED")
    caught_up()
    assert len(parked(capsys)) == 7
    printed(capsys, "retry", "Steps", "--aggregate", FINE)
    caught_up()
    assert printed(capsys, "parked", "Steps") == "Steps has no event set aside.\n"
    assert view() == fold()


def test_what_failed_can_be_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    """What waits behind it is handled; the view lacks what was skipped."""
    assert "say --yes" in refused(capsys, "skip", "Steps", "--aggregate", FINE)
    assert len(parked(capsys)) == 7
    told = printed(capsys, "skip", "Steps", "--aggregate", FINE, "--yes")
    assert told == "7 events of Steps: what failed is dropped, the others will be tried.\n"
    caught_up()
    assert parked(capsys) == []
    assert view() == {**fold(), FINE: 8}


@pytest.mark.parametrize("words", [["retry", "Steps"], ["skip", "Steps", "--yes"]])
def test_an_aggregate_without_parked_events_is_an_error(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It is mostly a slip of the pen."""
    told = refused(capsys, *words, "--aggregate", "A100")
    assert "'Steps' has no event of 'A100' set aside: hitherto projections parked Steps" in told


@pytest.mark.parametrize("words", [[], ["--all", "--aggregate", FINE]])
def test_what_is_to_be_tried_must_be_said(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """One aggregate, or all of them."""
    assert "give --aggregate ID, or --all" in refused(capsys, "retry", "Steps", *words)


def test_to_try_all_of_nothing_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    """So that it can be done now and then, by a machine."""
    printed(capsys, "skip", "Steps", "--aggregate", FINE, "--yes")
    caught_up()
    told = printed(capsys, "retry", "Steps", "--all")
    assert told == "0 events of Steps will be tried again.\n"
