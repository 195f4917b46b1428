"""What the tests of the sync face share: aggregates, odd backends, forks and scripts."""

import asyncio
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from hitherto.application.records import Append
from hitherto.infrastructure.memory import MemoryStore
from hitherto.sync import Aggregate, Event, EventStoreUnavailable, Store


class Counted(Event):
    by: int


class Named(Event):
    name: str


class Counter(Aggregate[Counted]):
    total: int = 0

    @classmethod
    def start(cls, counter_id: str, by: int = 1) -> Self:
        counter = cls(counter_id)
        counter.count(by)
        return counter

    def count(self, by: int = 1) -> int:
        self.record(Counted(by=by))
        return self.total

    def apply(self, event: Counted) -> None:
        self.total += event.by


class Person(Aggregate[Named]):
    name: str = ""

    def apply(self, event: Named) -> None:
        self.name = event.name


class Failing(MemoryStore):
    failing = True

    async def open(self) -> None:
        if self.failing:
            raise EventStoreUnavailable("no route to the host")


class Following(MemoryStore):
    """Another door to what a sync store's memory backend holds."""

    def __init__(self, store: Store) -> None:
        resilient: Any = store._async.sealed
        vars(self).update(vars(resilient.backend))


class Stuck(MemoryStore):
    """Its first append, or the rest of it, takes for ever."""

    def __init__(self, *, stored: bool = False) -> None:
        super().__init__()
        self.stored = stored
        self.reached = threading.Event()
        self.cancelled = False

    async def append(self, appends: Sequence[Append], **options: Any) -> tuple[int, ...]:
        if self.reached.is_set():
            return await super().append(appends, **options)
        if self.stored:
            await super().append(appends, **options)
        self.reached.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        raise AssertionError


class Spy(MemoryStore):
    """Notes in a file which process does what to it; each process that forked has a copy."""

    def __init__(self, notes: Path) -> None:
        super().__init__()
        self.notes = notes
        self.maker = os.getpid()
        self.note("made")

    def note(self, what: str) -> None:
        with self.notes.open("a") as file:
            file.write(f"{self.maker} {os.getpid()} {what}\n")

    async def open(self) -> None:
        self.note("open")

    async def close(self) -> None:
        self.note("close")

    async def append(self, appends: Sequence[Append], **options: Any) -> tuple[int, ...]:
        self.note("append")
        return await super().append(appends, **options)

    def __del__(self) -> None:
        self.note("finalised")


def in_child(function: Callable[[], Any]) -> Any:
    """Fork, run `function` in the child, and return what it returned."""
    wait = start_child(function)
    return wait()


def start_child(function: Callable[[], Any]) -> Callable[[], Any]:
    """Fork and run `function` in the child; returns how to wait for what it returned."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # "multi-threaded", from Python 3.12 on
        process = os.fork()
    if process == 0:
        try:
            answer = pickle.dumps((True, function()))
        except BaseException:  # noqa: BLE001
            answer = pickle.dumps((False, traceback.format_exc()))
        os.write(writing, answer)
        os._exit(0)
    os.close(writing)

    def wait() -> Any:
        with os.fdopen(reading, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(process, 0)
        fine, value = pickle.loads(answer)
        assert fine, value
        return value

    return wait


IMPORTS = """
import asyncio, os, sys, threading, warnings
from pathlib import Path
import hitherto
from hitherto.infrastructure import background
from hitherto.sync import Repository, Store, connect
from tests.unit.sync_world import Counter, Spy, Stuck
warnings.filterwarnings("ignore", message="This process", category=DeprecationWarning)
"""


def run_script(script: str, *arguments: str, imports: str = IMPORTS) -> str:
    """Run it with warnings as errors; whatever it says to standard error fails."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", imports + textwrap.dedent(script), *arguments],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout
