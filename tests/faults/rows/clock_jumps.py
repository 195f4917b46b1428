"""The wall clock jumps by hours, back and forth: order, versions and patience do not mind."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, cast
from unittest import mock
from uuid import UUID

from tests.faults.backends import Place, places
from tests.faults.checker import read_log
from tests.faults.history import RecordedBackend, Recorder
from tests.faults.load import Load
from tests.faults.row import Outcome, Row, Run
from tests.faults.workload import SNAPSHOT_EVERY, Account

from hitherto import Repository, Store, connect
from hitherto.application.ports import Backend
from hitherto.application.records import Append
from hitherto.errors import EventStoreUnavailable
from hitherto.infrastructure.memory import MemoryStore
from hitherto.infrastructure.resilience import Resilient
from hitherto.infrastructure.sqlite import appending
from hitherto.testing import Probe

_HOURS = 48
_PATIENCE = 10.0  # seconds
_TIMEOUT, _COOLDOWN = 0.3, 0.6  # seconds
_real_time = time.time


class _WallClock:
    """Runs as the real one does, but for its jumps."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._offset = 0.0

    def jump(self, direction: str | None = None) -> str:
        """Some hours, by which everything is off afterwards; returns where to."""
        direction = direction or self._random.choice(["back", "forth"])
        hours = self._random.uniform(0.1, _HOURS)
        self._offset += -hours * 3600 if direction == "back" else hours * 3600
        return direction

    def time(self) -> float:
        """In the place of `time.time`."""
        return _real_time() + self._offset

    def now(self) -> datetime:
        """For `connect(clock=)`."""
        return datetime.fromtimestamp(self.time(), UTC)

    def new_id(self) -> UUID:
        """A UUIDv7 of the time that it is said to be: ids do not rise."""
        number = int(self.time() * 1000) << 80 | self._random.getrandbits(80)
        number = number & ~(0xF << 76) | 7 << 76
        return UUID(int=number & ~(0b11 << 62) | 0b10 << 62)

    @contextlib.contextmanager
    def rules(self) -> Generator[None]:
        """It is this process's clock, also where a backend asks for the time."""
        clock = self

        class Datetime(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return datetime.fromtimestamp(clock.time(), tz)

        with (
            mock.patch.object(time, "time", self.time),
            mock.patch.object(appending, "datetime", Datetime),
        ):
            yield


async def run(run: Run) -> Outcome:
    """Under load on each backend; then while a call hangs, and while the breaker is open."""
    outcome = Outcome()
    for place in places(run):
        clock = _WallClock(run.random(place.name))
        with clock.rules():
            await _under_load(place, clock, run, outcome)
    clock = _WallClock(run.random("patience"))
    with clock.rules():
        outcome.violations += await _timeout(clock, outcome)
        outcome.violations += await _breaker(clock, outcome)
    return outcome


async def _under_load(place: Place, clock: _WallClock, run: Run, outcome: Outcome) -> None:
    def store_for(client: str) -> Store:
        backend = connect(place.url, **place.settings).backend
        recorder = Recorder(run.directory / f"{client}.jsonl", client)
        return Store(
            cast("Backend", RecordedBackend(backend, recorder)),
            clock=clock.now,
            new_id=clock.new_id,
            snapshot_threshold=SNAPSHOT_EVERY,
        )

    random = run.random(f"pauses/{place.name}")
    async with Load(run, store_for, name=place.name) as load:
        for _ in range(-(-run.count // 2)):
            outcome.faults[clock.jump()] += 1
            await asyncio.sleep(random.uniform(0.0, 0.05))
        await load.goes_on()
        outcome.faults[clock.jump("back")] += 1  # Certainly with events before it and after.
        await load.goes_on()
        log = await read_log(load.store.backend)
        await load.finish(outcome)
    if not _falls([event.occurred_at for event in log]) or not _falls(
        [event.event_id.int for event in log]
    ):
        outcome.violations.append(f"{place.name}: no event has shown that the clock went back")


def _falls(values: Sequence[Any]) -> bool:
    return any(later < earlier for earlier, later in itertools.pairwise(values))


async def _timeout(clock: _WallClock, outcome: Outcome) -> list[str]:
    """A call that hangs ends after its timeout: not at once, and not after hours."""

    class Hanging(MemoryStore):
        async def append(self, appends: Sequence[Append], **options: Any) -> tuple[int, ...]:
            await asyncio.Event().wait()
            raise AssertionError

    loop = asyncio.get_running_loop()
    store = Store(Resilient(Hanging(), timeout=_TIMEOUT))
    wrong: list[str] = []
    for direction in ("forth", "back"):
        start = loop.time()
        saving = asyncio.create_task(_save(store, direction))
        await asyncio.sleep(_TIMEOUT / 5)
        outcome.faults[clock.jump(direction)] += 1
        try:
            await asyncio.wait_for(saving, _PATIENCE)
        except EventStoreUnavailable:
            if loop.time() - start < 0.9 * _TIMEOUT:
                wrong.append(f"the clock jumped {direction}, and a call was given up too early")
        except TimeoutError:
            wrong.append(f"the clock jumped {direction}, and a call that hangs had no end")
    return wrong


async def _breaker(clock: _WallClock, outcome: Outcome) -> list[str]:
    """The breaker is open for as long as it should be."""
    loop = asyncio.get_running_loop()
    wrong: list[str] = []
    for direction in ("forth", "back"):
        probe = Probe(MemoryStore())
        store = Store(
            Resilient(probe, timeout=0.05, breaker_threshold=2, breaker_cooldown=_COOLDOWN)
        )
        probe.broken.add("append")
        before = loop.time()
        for number in range(2):
            with contextlib.suppress(EventStoreUnavailable):
                await _save(store, f"{direction}-{number}")
        outcome.faults[clock.jump(direction)] += 1
        probe.reset()
        if not await _refused(store, "early") and loop.time() - before < _COOLDOWN:
            wrong.append(f"the clock jumped {direction}, and the breaker has closed too early")
        while await _refused(store, "later"):
            if loop.time() - before > _PATIENCE:
                wrong.append(f"the clock jumped {direction}, and the breaker stays open")
                break
            await asyncio.sleep(0.05)
    return wrong


async def _refused(store: Store, id: str) -> bool:
    try:
        await _save(store, id)
    except EventStoreUnavailable:
        return True
    return False


async def _save(store: Store, id: str) -> None:
    account = Account(f"{id}-{store.new_id()}")
    account.move(1)
    await Repository(store, Account).save(account)


ROW = Row(
    title="The wall clock jumps by hours", promises="1, 2, 3, 5", run=run, full=1000, quick=40
)
