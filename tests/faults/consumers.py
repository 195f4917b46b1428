"""Three kinds of consumer of a log, and two that other projects have, while a storm writes it."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from random import Random
from typing import Any

import asyncpg
import msgspec
from tests.acceptance.postgres_writers import PlainReader, XminReader
from tests.faults.backends import Place, opened
from tests.faults.checker import read_log
from tests.faults.crew import behind
from tests.faults.ledger import LEDGER, ledger_in, wrong_ledger
from tests.faults.load import PATIENCE
from tests.faults.storm import Storm

from hitherto import ProjectionWorker, Store, connect
from hitherto.application.records import StoredEvent

_SHARED = "shared_ledger"
_LEASE = 1.0  # seconds
_SHARING = 3  # workers
_LONGEST_LIFE = 1.5  # seconds, of one of them


class Consumed(msgspec.Struct, kw_only=True):
    """What came of it.

    Attributes:
        events: How many were committed.
        faults: See `Storm`; and the workers of the shared view that left.
        violations: What the three were given wrongly.
        lost: What the plain reader was not given.
        inverted: What the xmin reader was given after a later event of its aggregate, or not.
    """

    events: int = 0
    faults: Counter[str] = msgspec.field(default_factory=Counter)
    violations: list[str] = msgspec.field(default_factory=list)
    lost: int = 0
    inverted: int = 0


async def consumed(place: Place, random: Random, *, seconds: float, faults: int = 0) -> Consumed:
    """Let a subscription, a worker, and workers that come and go consume what a storm writes.

    Args:
        place: On PostgreSQL.
        random: Makes every choice.
        seconds: How long the storm lasts, at least.
        faults: How many there are in it, at least.
    """
    found = Consumed()
    async with (
        opened(connect(place.url, **place.settings), found.violations) as store,
        following(store, found.violations) as seen,
        _working(place, found),
        _coming_and_going(place, random, found),
    ):
        storm = Storm(place.url, place.settings["schema"], random)
        async with _controls(place) as (plain, xmin):
            end = asyncio.get_running_loop().time() + seconds
            await storm.blow(
                lambda: asyncio.get_running_loop().time() > end and storm.faults.total() >= faults
            )
        log = await read_log(store.backend)
        found.violations += await behind(store, [LEDGER, _SHARED])
        found.violations += await unlike(log, seen)
        for name in (LEDGER, _SHARED):
            found.violations += [
                f"{name}: {each}" for each in await wrong_ledger(store, place, name)
            ]
    found.events = len(log)
    found.faults += storm.faults
    found.lost = len(log) - len({*plain.seen})
    found.inverted = _inverted(xmin.seen, {event.position: event for event in log})
    return found


@contextlib.asynccontextmanager
async def following(store: Store, violations: list[str]) -> AsyncIterator[list[int]]:
    """The positions that a subscription to everything gives."""
    seen: list[int] = []
    events = store.subscribe(undecoded=True)

    async def follow() -> None:
        async with events:
            async for recorded in events:
                seen.append(recorded.position)  # noqa: PERF401  # it is read meanwhile

    task = asyncio.create_task(follow())
    try:
        yield seen
    finally:
        events.stop()
        (error,) = await asyncio.gather(task, return_exceptions=True)
        if error is not None:
            violations.append(f"the subscription ended with {error!r}")


async def unlike(log: Sequence[StoredEvent], seen: Sequence[int]) -> list[str]:
    """Wait until a subscription has come to the end of the log, and compare."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while not seen or seen[-1] < log[-1].position:
                await asyncio.sleep(0.01)
    positions = [event.position for event in log]
    if list(seen) == positions:
        return []
    if skipped := sorted({*positions} - {*seen}):
        return [f"the subscription skipped {skipped[:5]}"]
    if len(seen) > len(positions):
        return ["the subscription gave an event twice"]
    return ["the subscription gave events out of order"]


@contextlib.asynccontextmanager
async def _working(place: Place, found: Consumed) -> AsyncIterator[None]:
    async with opened(connect(place.url, **place.settings), found.violations) as store:
        worker = ProjectionWorker(store, ledger_in(place)(), lease=_LEASE)
        async with at_work([worker], found.violations):
            yield


@contextlib.asynccontextmanager
async def at_work(
    workers: Sequence[ProjectionWorker[Any]], violations: list[str]
) -> AsyncIterator[None]:
    """Workers that run meanwhile; one that ends before it is told to is a violation."""
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield
    finally:
        violations += ["a worker ended by itself" for task in tasks if task.done()]
        for worker in workers:
            worker.stop()
        ended = asyncio.gather(*tasks, return_exceptions=True)
        try:
            errors = await asyncio.wait_for(ended, PATIENCE)
        except TimeoutError:
            violations.append(f"a worker has not stopped within {PATIENCE:g} s")
        else:
            violations += [f"a worker ended with {error!r}" for error in errors if error]


@contextlib.asynccontextmanager
async def _coming_and_going(place: Place, random: Random, found: Consumed) -> AsyncIterator[None]:
    """Some that share a view; each leaves after a while, and another comes in its place."""
    stop = asyncio.Event()

    async def lives(random: Random) -> None:
        while not stop.is_set():
            async with opened(connect(place.url, **place.settings), found.violations) as store:
                view = ledger_in(place, _SHARED)()
                worker = ProjectionWorker(store, view, spread=True, lease=_LEASE, batch=20)
                task = asyncio.create_task(worker.run())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(random.uniform(0.1, _LONGEST_LIFE)):
                        await stop.wait()
                if task.done():
                    found.violations.append(f"a worker ended by itself: {task.exception()!r}")
                elif random.random() < 0.5:
                    worker.stop()
                    found.faults["workers stopped"] += 1
                else:
                    task.cancel()
                    found.faults["workers cancelled"] += 1
                _, late = await asyncio.wait([task], timeout=PATIENCE)
                if late:
                    found.violations.append(f"a worker has not ended within {PATIENCE:g} s")
                    task.cancel()

    tasks = [asyncio.create_task(lives(Random(random.random()))) for _ in range(_SHARING)]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


@contextlib.asynccontextmanager
async def _controls(place: Place) -> AsyncIterator[tuple[PlainReader, XminReader]]:
    """Readers as other projects have them; they read to the end when the block is over."""
    session = await asyncpg.connect(place.url)
    schema = place.settings["schema"]
    plain, xmin = PlainReader(session, schema), XminReader(session, schema)
    over = asyncio.Event()

    async def read() -> None:
        while not over.is_set():
            await plain.poll()
            await xmin.poll()
            await asyncio.sleep(0.001)

    task = asyncio.create_task(read())
    try:
        yield plain, xmin
    finally:
        over.set()
        await task
        await plain.poll()
        await xmin.poll()
        await session.close()


def _inverted(seen: Sequence[int], log: Mapping[int, StoredEvent]) -> int:
    """How many were given after a later event of their aggregate, or not at all."""
    versions: dict[str, int] = {}
    wrong = len({*log} - {*seen})
    for position in seen:
        event = log[position]
        wrong += event.version < versions.get(event.aggregate_id, 0)
        versions[event.aggregate_id] = max(event.version, versions.get(event.aggregate_id, 0))
    return wrong
