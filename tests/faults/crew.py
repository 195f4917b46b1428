"""Processes that work on views, and what becomes of them."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Self

import msgspec
import psutil
from tests.faults.backends import Place
from tests.faults.following import DIED_OF_POISON
from tests.faults.load import PATIENCE
from tests.faults.row import Run

from hitherto import Store
from hitherto.errors import EventStoreUnavailable

_ROOT = Path(__file__).parents[2]
_PROGRAM = ("-m", "tests.faults.following")
_LOOK = 0.01  # seconds between two


class Member:
    """A process that works on a view; see `tests.faults.following`.

    Attributes:
        view: Its name.
        point: Where it is to send itself a signal; "": nowhere.
    """

    def __init__(
        self, view: str, process: asyncio.subprocess.Process, errors: Path, point: str
    ) -> None:
        self.view = view
        self.point = point
        self._process = process
        self._errors = errors

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def ended(self) -> int | None:
        """Its exit code, or the negative number of the signal that has ended it."""
        return self._process.returncode

    @property
    def is_frozen(self) -> bool:
        """Whether it was stopped by a signal."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid).status() == psutil.STATUS_STOPPED
        return False

    async def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def wait(self) -> None:
        """Wait until it ends by itself."""
        await self._process.wait()

    def freeze(self) -> None:
        """Stop it, as a machine does that is overloaded or suspended."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on as if nothing had been."""
        self._process.send_signal(signal.SIGCONT)

    def told(self) -> str:
        """The end of what it has written to its standard error."""
        return self._errors.read_text()[-800:]


class Crew:
    """Starts members, and kills all that live when it ends; use it with ``async with``.

    Args:
        place: Where the views are.
        run: Its directory takes what members say.
        store: To look at the views with.
        lease: Seconds.
        spread: Whether the views are spread over their members.

    Attributes:
        members: Those that were started and have not been replaced.
    """

    def __init__(
        self, place: Place, run: Run, store: Store, *, lease: float, spread: bool = False
    ) -> None:
        self.members: list[Member] = []
        self._place = place
        self._run = run
        self._store = store
        self._lease = lease
        self._spread = spread

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.dismiss()

    async def start(
        self, view: str, *options: str, at: str = "", number: signal.Signals = signal.SIGKILL
    ) -> Member:
        """One more.

        Args:
            view: Its name.
            options: Of the program.
            at: The point at which it sends itself a signal.
            number: Of the signal.
        """
        count = sum(1 for _ in self._run.directory.glob("*.errors"))
        errors = self._run.directory / f"{view}-{count}.errors"
        place = msgspec.json.encode(self._place).decode()
        with errors.open("w") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *_PROGRAM, place, view, "--lease", str(self._lease),
                "--at", at, "--signal", number.name, *(["--spread"] if self._spread else []),
                *options, cwd=_ROOT, env=os.environ, stdout=file, stderr=file,
            )  # fmt: skip
        member = Member(view, process, errors, at)
        self.members.append(member)
        return member

    async def dismiss(self, *members: Member) -> None:
        """Kill some; all if none is named."""
        for member in members or tuple(self.members):
            await member.kill()
            self.members.remove(member)

    async def owners(self, view: str) -> dict[int, int]:
        """How many partitions each process holds, by its id."""
        for status in await self._store.backend.checkpoints.status(view):
            if status.state == "active":
                return {int(each.split(":")[-2]): held for each, held in status.owners.items()}
        return {}

    async def held_by_others(self, view: str, without: Iterable[int] = ()) -> float:
        """Wait until all partitions are held, by none of these processes.

        Returns:
            Seconds that it took.

        Raises:
            RuntimeError: It took too long; with what the members have said last.
        """
        start, gone = time.monotonic(), set(without)
        owners: dict[int, int] = {}
        while time.monotonic() - start < PATIENCE:
            owners = await self.owners(view)
            if owners and not gone & owners.keys() and await self._is_whole(view, owners):
                return time.monotonic() - start
            await asyncio.sleep(_LOOK)
        told = "\n".join(f"{each.pid} ({each.ended}): {each.told()}" for each in self.members)
        raise RuntimeError(
            f"{PATIENCE:g} s later {view!r} is held by {owners}, not without {gone}:\n{told}"
        )

    async def _is_whole(self, view: str, owners: dict[int, int]) -> bool:
        status = await self._store.backend.checkpoints.status(view)
        return sum(owners.values()) == status[0].partitions

    def ended_by_themselves(self) -> list[str]:
        """Members that have ended, but were not ended."""
        return [
            f"a worker of {member.view!r} ended by itself ({member.ended}): {member.told()}"
            for member in self.members
            if member.ended not in {None, DIED_OF_POISON, -signal.SIGKILL}
        ]


async def behind(store: Store, views: Sequence[str]) -> list[str]:
    """Wait until views have come to what is now the end of the log; tells of those that do not."""
    end = await store.watermark()
    late: list[str] = []
    for view in views:
        position, start = 0, time.monotonic()
        while position < end and time.monotonic() - start < PATIENCE:
            with contextlib.suppress(EventStoreUnavailable):
                position = await store.backend.checkpoints.position(view) or 0
            await asyncio.sleep(_LOOK)
        if position < end:
            late.append(f"{PATIENCE:g} s later {view!r} is at {position}, the log was at {end}")
    return late


def told_seconds(seconds: Sequence[float], lease: float) -> str:
    """How long something took each time, for the report."""
    return (
        f"{len(seconds)} times, after {median(seconds):.1f} s in the median and "
        f"{max(seconds):.1f} s at most, with a lease of {lease:g} s"
        if seconds
        else "never"
    )
