"""`hitherto erase` and `hitherto erasures`: what they print, and their exit status."""

import json
from pathlib import Path

import pytest

from hitherto.cli.app import run

FINE = "hitherto.examples.traffic_fines:Fine"


def erase(id: str, *words: str) -> list[str]:
    given = ["erase", FINE, id, "1", "--reason", "court order 12/34", "--by", "ada"]
    return [*given, "--url", "sqlite:///fines.db", *words]


@pytest.fixture
def fine(fines_url: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The id of a fine."""
    assert run(["log", "--url", fines_url, "--limit", "1", "--json"]) == 0
    return str(json.loads(capsys.readouterr().out.splitlines()[0])["aggregate_id"])


def test_it_is_done_with_yes_alone_and_told_of_for_good(
    fine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without, it tells what would be done."""
    words = ["--set", "article=0"]
    assert run(erase(fine, *words)) == 0
    assert "Nothing was changed; --yes does it." in capsys.readouterr().out
    assert run(erase(fine, *words, "--yes")) == 0
    out = capsys.readouterr().out
    assert f"Replaced: article of FineCreated, version 1 of {fine}" in out
    assert '"article":0' in out
    assert "Too short to be looked for elsewhere: article\n" in out
    assert "None of the texts" not in out
    assert run(["erasures", "--url", "sqlite:///fines.db"]) == 0
    out = capsys.readouterr().out
    assert f"{fine} at version 1\n  article, by ada: court order 12/34\n" in out
    assert run(["verify", "sqlite:///fines.db", "--aggregates", FINE]) == 0
    assert "Payloads replaced, see `hitherto erasures`: 1" in capsys.readouterr().out


def test_json_tells_no_payload(fine: str, capsys: pytest.CaptureFixture[str]) -> None:
    """For programs, and for logs."""
    assert run(erase(fine, "--set", "article=0", "--yes", "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["aggregate_id"] == fine
    assert told["fields"] == ["article"]
    assert "data" not in told
    assert run(["erasures", "--url", "sqlite:///fines.db", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["reason"], told["erased_by"]) == ("court order 12/34", "ada")


@pytest.mark.parametrize("error", [KeyError("uid not found"), OSError("No username set")])
def test_a_user_without_a_name_is_asked_for_one(
    error: Exception, fine: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container."""

    def nobody() -> str:
        raise error

    monkeypatch.setattr("getpass.getuser", nobody)
    words = ["erase", FINE, fine, "1", "--reason", "x", "--field", "article"]
    assert run([*words, "--url", "sqlite:///fines.db"]) == 1
    assert "give --by NAME" in capsys.readouterr().err
    words = ["tombstone", FINE, fine, "--reason", "x", "--yes"]
    assert run([*words, "--url", "sqlite:///fines.db"]) == 1
    assert "give --by NAME" in capsys.readouterr().err


def test_nothing_was_erased(fines_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It says so."""
    assert run(["erasures", "--url", fines_url]) == 0
    assert capsys.readouterr().out == "Nothing was erased.\n"


@pytest.mark.parametrize("text", ["article", "article=", "=1", "article=x"])
def test_a_value_that_is_no_json_is_refused(
    text: str, fine: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It says how to give one."""
    assert run(erase(fine, "--set", text, "--yes")) == 1
    assert "give NAME=JSON" in capsys.readouterr().err
