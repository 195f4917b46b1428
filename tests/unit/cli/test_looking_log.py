"""`hitherto log`: the end of the log, parts of it, and what comes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from hitherto import Metadata, Repository, connect
from hitherto.application.records import StoredEvent
from hitherto.cli.app import run
from hitherto.examples.traffic_fines import Fine
from hitherto.testing.store_contract.making import whole_log


@pytest.fixture
def url(fines_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DATABASE_URL", fines_url)
    return fines_url


@pytest.fixture
def events(url: str) -> list[StoredEvent]:
    """All that is stored."""

    async def read() -> list[StoredEvent]:
        async with connect(url) as store:
            return await whole_log(store.backend)

    return asyncio.run(read())


def positions(capsys: pytest.CaptureFixture[str], *words: str) -> list[int]:
    assert run(["log", *words, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return [json.loads(line)["position"] for line in out.splitlines()]


def test_the_latest_events_are_told_in_order(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Twenty, unless otherwise asked; a line each, where there is room."""
    assert positions(capsys) == list(range(150, 170))
    assert positions(capsys, "-n", "3") == [167, 168, 169]
    assert run(["log", "-n", "3"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["position", "stored", "at", "event", "aggregate", "data"]
    assert [line.split()[0] for line in lines] == ["167", "168", "169"]


def test_a_part_is_told_whole(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """After a position, and up to another; with a limit the first of them."""
    assert positions(capsys, "--after", "100") == list(range(101, 170))
    assert positions(capsys, "--after", "100", "--until", "103") == [101, 102, 103]
    assert positions(capsys, "--after", "100", "--limit", "2") == [101, 102]
    assert positions(capsys, "--until", "103", "--limit", "2") == [102, 103]
    assert positions(capsys, "--after", "169") == []


def test_a_time_means_when_events_were_stored(
    url: str, events: list[StoredEvent], capsys: pytest.CaptureFixture[str]
) -> None:
    """Both bounds are included."""
    first, last = events[40].stored_at, events[90].stored_at
    expected = [each.position for each in events if first <= each.stored_at <= last]
    assert 0 < len(expected) < len(events)
    times = ("--since", first.isoformat(), "--until", last.isoformat())
    assert positions(capsys, *times) == expected
    naive = ("--since", str(first)[:-6], "--until", str(last)[:-6])
    assert positions(capsys, *naive) == expected, "without a zone it is UTC"
    assert positions(capsys, "--since", "2100-01-01") == []
    assert positions(capsys, "--until", "1999-12-31") == []


def test_a_time_may_mean_when_events_happened(
    url: str, events: list[StoredEvent], capsys: pytest.CaptureFixture[str]
) -> None:
    """They are told in the order of the log all the same."""
    moments = sorted(each.occurred_at for each in events)
    first, last = moments[40], moments[90]
    expected = [each.position for each in events if first <= each.occurred_at <= last]
    times = ("--since", first.isoformat(), "--until", last.isoformat(), "--occurred")
    assert positions(capsys, *times) == expected
    until = ("--until", last.isoformat(), "--occurred", "-n", "5")
    assert positions(capsys, *until) == [e.position for e in events if e.occurred_at <= last][-5:]


def test_filters_narrow_it(
    url: str, events: list[StoredEvent], capsys: pytest.CaptureFixture[str]
) -> None:
    """By type, aggregate type, id and correlation id; those of a kind add up."""

    def of(*types: str) -> list[int]:
        return [each.position for each in events if each.event_type in types]

    both = ("--type", "PenaltyAdded", "--type", "FineSent")
    assert positions(capsys, *both, "-n", "1000") == of("PenaltyAdded", "FineSent")
    assert positions(capsys, *both) == of("PenaltyAdded", "FineSent")[-20:]
    assert positions(capsys, "--aggregate-type", "Fine", "-n", "2") == [168, 169]
    assert positions(capsys, "--aggregate-type", "Other") == []
    own = [each.position for each in events if each.aggregate_id == "A100"]
    assert positions(capsys, "--id", "A100") == own
    assert positions(capsys, "--id", "A100", "--after", str(own[1])) == own[2:]
    _save(url, "correlated", "request-7")
    assert positions(capsys, "--correlation", "request-7") == [170]


def test_people_are_told_that_nothing_matches(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A year alone is a position."""
    assert run(["log", "--since", "2024"]) == 0
    assert capsys.readouterr().out == "No event matches.\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--since", "yesterday"], "'yesterday' is no time"),
        (["--after", "9" * 30], "give a number up to"),
        (["--limit", "0"], "--limit"),
        (["--follow", "--until", "7"], "--until"),
        (["--follow", "--after", "7", "--limit", "2"], "--follow"),
        (["--type", ""], "event type"),
        (["--correlation", ""], "correlation id"),
    ],
)
def test_what_makes_no_sense_is_an_error(
    words: list[str], told: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the store is opened."""
    assert run(["log", "sqlite:///nothing.db", *words]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert "nothing.db" not in err


@pytest.mark.integration
def test_who_follows_is_told_what_comes_until_ctrl_c(url: str) -> None:
    """Then it ends in peace."""
    command = [sys.executable, "-m", "hitherto.cli", "log", "-f", "-n", "1", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert json.loads(process.stdout.readline())["position"] == 169
            _save(url, "new-1", "c")
            assert json.loads(process.stdout.readline())["aggregate_id"] == "new-1"
            _save(url, "new-2", "c")
            assert json.loads(process.stdout.readline())["aggregate_id"] == "new-2"
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
            assert (process.stdout.read(), process.stderr.read()) == ("", "")
        finally:
            process.kill()


def _save(url: str, id: str, correlation_id: str) -> None:
    """A fine of one event."""

    async def save() -> None:
        async with connect(url) as store:
            fines = Repository(store, Fine)
            first: Any = (await fines.history("A100"))[0].event
            fine = Fine(id)
            fine.record(first)
            await fines.save(fine, metadata=Metadata(correlation_id=correlation_id))

    asyncio.run(save())
