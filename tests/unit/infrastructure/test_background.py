"""The background loop, beyond what the tests of the sync face show of it."""

import asyncio
import threading

import pytest

from hitherto.infrastructure.background import Background, background
from hitherto.infrastructure.memory import MemoryStore


class Unclosable(MemoryStore):
    async def close(self) -> None:
        raise OSError("the disk is gone")


async def here() -> tuple[int, asyncio.AbstractEventLoop]:
    return threading.get_ident(), asyncio.get_running_loop()


def test_there_is_one_for_the_process() -> None:
    """Whoever asks."""
    assert background() is background()


def test_all_runs_on_one_loop_in_a_thread_of_its_own() -> None:
    """Started by the first operation."""
    own = Background()
    thread, loop = own.run("me", here)
    assert thread != threading.get_ident()
    assert own.run("you", here) == (thread, loop)


def test_a_pause_before_anything_ran_is_nothing() -> None:
    """No thread is started for it."""
    own = Background()
    own.pause()
    own.resume()
    assert own._loop is None


def test_a_pause_closes_what_is_open(caplog: pytest.LogCaptureFixture) -> None:
    """What fails at it counts as closed, and nothing is said."""
    own = Background()
    own.run("me", here)
    own.opened = {"me": MemoryStore(), "you": Unclosable()}
    own.pause()
    own.resume()
    assert own.opened == {}
    assert caplog.records == []


def test_resuming_what_was_not_paused_does_nothing() -> None:
    """As when a pause was interrupted."""
    own = Background()
    own.resume()
    assert own.run("me", here)
