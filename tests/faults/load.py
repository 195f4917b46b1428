"""A load that runs while a row does harm, and tells whether work goes on by itself afterwards."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from tests.faults.checker import check, outcomes
from tests.faults.history import Line, Recorder, read_history
from tests.faults.row import Outcome, Run
from tests.faults.workload import Worker, account_ids, folds_equal_snapshots, follow

from hitherto import Store

PATIENCE = 60.0  # seconds for work to go on, or to end


class Load:
    """Clients in this process that share accounts, and a follower; their stores stay open.

    Use it with ``async with``; then let `finish` judge. A client that is given anything but
    hitherto's own errors, or a load that hangs, is a violation.

    Args:
        run: Its directory takes the histories, its seed makes the choices.
        store_for: Makes the recorded store of a client, by its name.
        clients: How many stores.
        tasks: How many tasks work on each.
        accounts: How many accounts they share.
        name: Begins the names of the clients.

    Attributes:
        violations: What went wrong so far.
    """

    def __init__(
        self,
        run: Run,
        store_for: Callable[[str], Store],
        *,
        clients: int = 2,
        tasks: int = 2,
        accounts: int = 8,
        name: str = "client",
    ) -> None:
        self.violations: list[str] = []
        self._run = run
        self._name = name
        self._stores = {f"{name}-{n}": store_for(f"{name}-{n}") for n in range(1, clients + 1)}
        self._workers = [
            Worker(store, run.random(f"{client}/{task}"), account_ids(accounts))
            for client, store in self._stores.items()
            for task in range(tasks)
        ]
        self._follower = run.directory / f"{name}-follower.jsonl"
        self._resting, self._ending = asyncio.Event(), asyncio.Event()
        self._working: list[asyncio.Task[None]] = []
        self._following: list[asyncio.Task[None]] = []

    @property
    def store(self) -> Store:
        """The first client's."""
        return next(iter(self._stores.values()))

    @property
    def done(self) -> int:
        """How many steps have saved something."""
        return sum(worker.done for worker in self._workers)

    async def __aenter__(self) -> Self:
        for store in self._stores.values():
            await store.open()
        self._working = [
            asyncio.create_task(self._watched(worker.run(self._resting)))
            for worker in self._workers
        ]
        recorder = Recorder(self._follower, self._follower.stem)
        following = follow(self.store.backend, recorder, self._ending)
        self._following = [asyncio.create_task(self._watched(following))]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stop()
        for client, store in self._stores.items():
            try:
                await asyncio.wait_for(store.close(), PATIENCE)
            except TimeoutError:
                self.violations.append(f"the store of {client} has not closed in {PATIENCE:g} s")

    async def goes_on(self) -> float:
        """Wait until every task has saved something, and the follower has read on.

        It is a violation if that takes longer than `PATIENCE`.

        Returns:
            Seconds that it took.
        """
        start = time.monotonic()
        before, read = [worker.done for worker in self._workers], self._read()
        while time.monotonic() - start < PATIENCE:
            workers = zip(self._workers, before, strict=True)
            if self._read() > read and all(worker.done > done for worker, done in workers):
                return time.monotonic() - start
            await asyncio.sleep(0.01)
        idle = sum(worker.done == done for worker, done in zip(self._workers, before, strict=True))
        reader = "reads on" if self._read() > read else "does not read on"
        self.violations.append(
            f"{PATIENCE:g} s later {idle} of {len(self._workers)} tasks have saved nothing; "
            f"the follower {reader}"
        )
        return time.monotonic() - start

    async def finish(self, outcome: Outcome) -> None:
        """End the work, let the follower read to the end, and check everything."""
        await self._stop()
        lines = self.history()
        found = await check(self.store.backend, lines)
        found += await folds_equal_snapshots(self.store)
        outcome.violations += [*self.violations, *found]
        outcome.operations += outcomes(lines)
        self.violations = []

    def history(self) -> list[Line]:
        """What its clients have written down so far."""
        return read_history(sorted(self._run.directory.glob(f"{self._name}-*.jsonl")))

    async def _stop(self) -> None:
        for signal, tasks in (
            (self._resting, self._working),
            (self._ending, self._following),
        ):
            signal.set()
            if tasks:
                _, hanging = await asyncio.wait(tasks, timeout=2 * PATIENCE)
                self.violations += [f"{each!r} does not end" for each in hanging]
                for task in hanging:
                    task.cancel()

    async def _watched(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001  # whatever it is, it is found out
            self.violations.append(f"a client was given {error!r}")

    def _read(self) -> int:
        return self._follower.stat().st_size
