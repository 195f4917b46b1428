"""`hitherto projections run` and `rebuild` as processes, which signals stop."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest
from tests.unit.cli.projections_of_fines import (
    LETTERS,
    STEPS,
    _views,
    fold,
    listed,
    printed,
    projections,
    rows,
    view,
)

from hitherto import Repository, connect
from hitherto.examples.traffic_fines import Fine, import_fines, sample_lines

__all__ = ["_views"]

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("_views")]

Process = subprocess.Popen[str]
LONG = 30.0  # seconds
HANDLED = "SELECT sum(handled) FROM projection_checkpoints"


@contextmanager
def started(*words: str, pause: float = 0) -> Iterator[Process]:
    """A command in a process of its own; it ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hitherto.cli", "projections", *words],
        env={**os.environ, "PAUSE": str(pause)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(true: Callable[[], object]) -> None:
    """Wait for something, and fail if it does not come."""
    end = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def stopped(process: Process, signum: int = signal.SIGTERM) -> tuple[int, str, str]:
    """Its exit status and its output, when a signal has stopped it."""
    process.send_signal(signum)
    out, err = process.communicate(timeout=LONG)
    return process.returncode, out, err


def handled() -> int:
    """How many events were handled by now."""
    return rows(HANDLED)[0][0] or 0


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_well(signum: int) -> None:
    """After the batch; what was done is committed, and the leases are given up."""
    with started("run", STEPS) as process:
        until(lambda: handled() == 169)
        assert stopped(process, signum) == (
            0,
            "Working on Steps.\nSteps: 169 events handled\n",
            "",
        )
    assert view() == fold()
    assert rows("SELECT count(*) FROM projection_checkpoints WHERE worker IS NOT NULL") == [(0,)]


def test_a_run_ends_between_batches(capsys: pytest.CaptureFixture[str]) -> None:
    """A part of the log is handled then; the next run does the rest."""
    with started("run", STEPS, "--batch", "5", pause=0.02) as process:
        until(lambda: handled() > 0)
        status, _, err = stopped(process)
    assert (status, err) == (0, "")
    (steps,) = listed(capsys)
    assert 0 < steps["handled"] == sum(view().values()) < 169
    printed(capsys, "run", STEPS, "--until-caught-up")
    assert view() == fold()


def test_a_second_signal_does_not_wait_for_the_batch() -> None:
    """Its checkpoint stays where it was; the exit status says so."""
    with started("run", LETTERS, pause=LONG) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "Working on letters.\n"
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        assert stopped(process) == (1, "letters: 0 events handled\n", "")
    assert handled() == 0


def test_the_list_names_who_works_and_how_fast(capsys: pytest.CaptureFixture[str]) -> None:
    """The rate is measured while the list is made; who stands by is not named."""
    with started("run", STEPS) as process, started("run", STEPS) as other, appending():
        until(lambda: handled() > 169)
        (steps,) = listed(capsys)
        (owner,) = steps["owners"]
        assert owner.split(":")[1] in {str(process.pid), str(other.pid)}
        until(lambda: listed(capsys)[0]["rate"] > 0)
        lines = printed(capsys, "list").splitlines()
        assert lines[1].split()[-1] == "1"
        assert lines[3] == f"{owner} works on Steps, generation 1"


@contextmanager
def appending() -> Iterator[None]:
    """Fines are stored, one after the other, while the block runs."""
    over = Event()

    async def append() -> None:
        async with connect("sqlite:///fines.db") as store:
            fines = Repository(store, Fine)
            number = 0
            while not over.is_set():
                number += 1
                await import_fines(fines, sample_lines()[:5], prefix=f"more{number}-")

    thread = Thread(target=lambda: asyncio.run(append()))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(LONG)


def test_one_that_stands_by_takes_over_and_ends_at_a_signal() -> None:
    """It is there when the other one is killed; both in turn stop cleanly."""
    with started("run", STEPS, "--lease", "1") as first:
        until(lambda: handled() == 169)
        with started("run", STEPS, "--lease", "1") as second:
            until(lambda: rows("SELECT count(*) FROM projection_workers") == [(2,)])
            assert stopped(second)[0] == 0
        with started("run", STEPS, "--lease", "1") as second:
            until(lambda: rows("SELECT count(*) FROM projection_workers") == [(2,)])
            first.kill()
            until(
                lambda: f":{second.pid}:" in str(rows("SELECT worker FROM projection_checkpoints"))
            )
            assert stopped(second)[0] == 0
    assert view() == fold()


def test_a_rebuild_that_was_broken_off_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Reads see the old view until the new one is in place."""
    projections("run", STEPS, "--until-caught-up")
    with started("rebuild", STEPS, "--batch", "5", pause=0.02) as process:
        until(lambda: handled() > 169)
        status, out, err = stopped(process)
    assert (status, err) == (1, "")
    assert "Steps: broken off at position " in out
    assert "run it again to go on" in out
    assert view() == fold()
    _, filling = listed(capsys)
    assert (filling["state"], filling["generation"]) == ("filling", 2)
    out = printed(capsys, "rebuild", STEPS)
    assert "Steps: generation 2 is in place" in out
    assert f"{169 - filling['handled']} events in" in out
    assert view() == fold()


def test_a_projection_that_cannot_go_on_ends_the_others_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """So that whoever watches the process sees it, and starts it anew."""
    projections("run", "views_of_fines:Newer", "--until-caught-up")
    with started("run", LETTERS, STEPS) as process:
        out, err = process.communicate(timeout=LONG)
    assert process.returncode == 1
    logged, told = err.splitlines()
    assert "projection_ended" in logged
    assert told.startswith("hitherto: 'Steps'")
    assert out == "Working on letters, Steps.\n"
