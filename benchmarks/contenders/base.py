"""What every contender can do, and how its operations are driven: by tasks or by threads."""

import asyncio
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

from benchmarks.fines import Step, Story
from benchmarks.measuring import Timings, spent
from benchmarks.server import Server, new_schema

T = TypeVar("T")


class Contender(ABC):
    """One library in one mode. It is made anew in the process that measures it.

    Attributes:
        server: The PostgreSQL under test.
    """

    def __init__(self, server: Server) -> None:
        self.server = server

    @abstractmethod
    def opened(self, store: str) -> AbstractContextManager["Session"]:
        """Open a store, made if it isn't there."""

    def drop(self, store: str) -> None:
        """Remove a store."""
        self.server.psql(
            "SET client_min_messages = error", f'DROP SCHEMA IF EXISTS "{store}" CASCADE'
        )

    @contextmanager
    def fresh(self) -> Generator["Session"]:
        """A new, empty store, gone afterwards."""
        store = new_schema("fresh")
        try:
            with self.opened(store) as session:
                yield session
        finally:
            self.drop(store)


class Session(ABC):
    """An open store. Operations are given to `run` or `drive`; with tasks they are coroutines.

    Attributes:
        threads: How many threads work; None where tasks do.
    """

    threads: int | None = None

    def __init__(self, server: Server) -> None:
        self.server = server

    @abstractmethod
    def save(self, story: Story) -> Any:
        """Make a fine by its commands and save it; gives the number of its events."""

    @abstractmethod
    def made(self, story: Story) -> Any:
        """Make a fine by its commands, with all its events pending."""

    @abstractmethod
    def go_on(self, fine: Any, steps: Iterable[Step]) -> None:
        """Do more commands."""

    @abstractmethod
    def append(self, fine: Any) -> Any:
        """Save a fine; gives the number of its events."""

    @abstractmethod
    def load(self, fine_id: str) -> Any:
        """Load a fine; gives its version."""

    @abstractmethod
    def pay(self, fine_id: str) -> Any:
        """Load, pay one euro, save, and again after a conflict; gives the conflicts."""

    @abstractmethod
    def paid(self, fine_id: str) -> Any:
        """Load a fine; gives the sum of its payments."""

    @abstractmethod
    def snapshot(self, fine_id: str) -> Any:
        """Take a snapshot of a fine."""

    @abstractmethod
    def read_log(self, seconds: float) -> Any:
        """Read the log from its start, decoded, so long at most; gives the number of events."""

    @abstractmethod
    def run(self, operation: Callable[..., Any], *arguments: Any) -> Any:
        """Do one operation."""

    @abstractmethod
    def _drive(
        self,
        operation: Callable[..., Any],
        supply: Iterator[Any],
        concurrency: int,
        end: float,
        timings: Timings,
    ) -> None:
        """Keep `concurrency` operations under way until `end` or until the supply is used up."""

    def drive(
        self,
        operation: Callable[..., Any],
        items: Iterable[Any],
        *,
        concurrency: int = 1,
        seconds: float = float("inf"),
    ) -> Timings:
        """Do an operation on item after item, `concurrency` of them under way at any time."""
        timings = Timings()
        with spent(timings, self.server.cpu):
            end = time.perf_counter() + seconds
            self._drive(operation, iter(items), concurrency, end, timings)
        return timings


class TaskSession(Session):
    """An open store of an async library: every operation under way is a task."""

    def __init__(self, server: Server, runner: asyncio.Runner) -> None:
        super().__init__(server)
        self._runner = runner

    def run(self, operation: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        """See `Session.run`."""
        return self._runner.run(operation(*arguments))

    def _drive(
        self,
        operation: Callable[..., Any],
        supply: Iterator[Any],
        concurrency: int,
        end: float,
        timings: Timings,
    ) -> None:
        async def task() -> None:
            for item in supply:
                start = time.perf_counter()
                events = await operation(item)
                timings.events += events  # not before the wait: another task would be forgotten
                now = time.perf_counter()
                timings.latencies.append(now - start)
                if now >= end:
                    return

        async def tasks() -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(concurrency):
                    group.create_task(task())

        self._runner.run(tasks())


class ThreadSession(Session):
    """An open store of a blocking library: some threads work off what is under way.

    An operation that waits for a thread is under way already, as a request that waits for a
    worker is: its latency counts from the moment when the one before it in its place was done.
    """

    def __init__(self, server: Server, threads: int) -> None:
        super().__init__(server)
        self.threads = threads

    def run(self, operation: Callable[..., T], *arguments: Any) -> T:
        """See `Session.run`."""
        return operation(*arguments)

    def _drive(
        self,
        operation: Callable[..., Any],
        supply: Iterator[Any],
        concurrency: int,
        end: float,
        timings: Timings,
    ) -> None:
        pool = _Threads(operation, supply, end, timings)
        pool.run(min(concurrency, self.threads or 1), concurrency)


class _Threads:
    """Threads that share what is to be done, and the places of what is under way."""

    def __init__(
        self,
        operation: Callable[..., Any],
        supply: Iterator[Any],
        end: float,
        timings: Timings,
    ) -> None:
        self._operation = operation
        self._supply = supply
        self._end = end
        self._timings = timings
        self._lock = threading.Lock()
        self._places: queue.SimpleQueue[float] = queue.SimpleQueue()
        self._errors: list[BaseException] = []

    def run(self, threads: int, concurrency: int) -> None:
        """Work until the end; a single thread is the caller's own."""
        begun = time.perf_counter()
        for _ in range(concurrency):
            self._places.put(begun)
        if threads == 1:
            self._work()
        else:
            workers = [threading.Thread(target=self._work) for _ in range(threads)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        if self._errors:
            raise self._errors[0]

    def _work(self) -> None:
        try:
            while not self._errors and time.perf_counter() < self._end:
                start = self._places.get()
                with self._lock:
                    item = next(self._supply, None)
                if item is None:
                    return
                events = self._operation(item)
                now = time.perf_counter()
                with self._lock:
                    self._timings.events += events
                    self._timings.latencies.append(now - start)
                self._places.put(now)
        except BaseException as error:  # noqa: BLE001  # told to whoever waits for the threads
            self._errors.append(error)
