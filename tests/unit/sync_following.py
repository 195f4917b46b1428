"""What the tests of following the log by the sync face share: projections, and threads."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from tests.unit.sync_world import Counted, Counter, Following

import hitherto
from hitherto.sync import (
    Amounts,
    Context,
    Key,
    Projection,
    RecordedEvent,
    Repository,
    Store,
    Totals,
    on,
)


class Count(msgspec.Struct, frozen=True):
    parity: str
    total: int = 0


class Counts(Totals[Count, Counted], name="counts"):
    """A document for each counter, and sums of the even and of the odd ones."""

    def evolve(self, document: Count | None, recorded: RecordedEvent[Counted]) -> Count:
        total = recorded.event.by + (0 if document is None else document.total)
        return Count(parity="odd" if total % 2 else "even", total=total)

    def amounts(self, document: Count) -> dict[Key, Amounts]:
        return {(document.parity,): {"total": document.total}}


class Seen(Projection[Any], elsewhere=True):
    """Notes what it is given; tells when it has begun, and waits where it is told to."""

    def __init__(self) -> None:
        self.given: list[str] = []
        self.do: Callable[[], Any] = lambda: None

    @on
    def counted(self, event: Counted, context: Context[Any]) -> None:
        self.do()
        self.given.append(context.recorded.aggregate_id)


@contextmanager
def thread(function: Callable[[], Any]) -> Iterator[list[Any]]:
    """A thread that does it meanwhile, and has to end; gives what it gave or raised."""
    found: list[Any] = []

    def note() -> None:
        try:
            found.append(function())
        except BaseException as error:  # noqa: BLE001
            found.append(error)

    running = threading.Thread(target=note, daemon=True)
    running.start()
    yield found
    running.join(60)
    assert not running.is_alive()


def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait until it holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def is_waiting(store: Store) -> bool:
    """Whether an operation of the store is under way."""
    return store in list(store._background._running.values())


def fill(counters: Repository[Counter], events: int) -> None:
    counter = Counter("c-1")
    for number in range(events):
        counter.count(number)
    counters.save(counter)


def the_same(store: Store) -> Store:
    """Another one on the same events, which shares no classes with it."""
    if "Memory" in type(store._async.sealed.backend).__name__:  # type: ignore[attr-defined]
        return Store(lambda: hitherto.Store(Following(store)))
    return Store(store._make)


async def on_the_loop(function: Callable[[], Any]) -> Any:
    return function()


async def tasks() -> int:
    return len(asyncio.all_tasks())
