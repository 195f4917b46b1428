"""Thousands of tasks on five connections, half of them cancelled: nothing leaks, nothing lies."""

import asyncio
import contextlib
from collections.abc import Sequence
from random import Random

from tests.faults.backends import Place, innermost, opened, places
from tests.faults.checker import check, outcomes
from tests.faults.history import read_history
from tests.faults.row import Outcome, Row, Run
from tests.faults.workload import Account, folds_equal_snapshots, recorded_connect

from hitherto import Repository, Store
from hitherto.errors import (
    AggregateLocked,
    AggregateNotFound,
    AggregateVersionConflict,
    HithertoError,
)

_CONNECTIONS = 5
_SHARE = 2  # tasks for each aggregate
_PATIENCE = 120.0  # seconds for a storm to end
_REST = 30.0  # seconds for what was let go in the background
_TIMEOUT = 90.0  # of the store: with so many in line, waiting is no failure
_LOST = (AggregateVersionConflict, AggregateLocked)


class _Storm:
    """Tasks that begin at once, of which half are cancelled at some moment.

    Attributes:
        cancelled: How many were.
        slowest: The longest that one took to end when it was cancelled, in seconds.
        unsettled: What they did not hear the end of.
    """

    def __init__(self, store: Store, random: Random, name: str) -> None:
        self.cancelled = 0
        self.slowest = 0.0
        self.unsettled: list[tuple[Account, ...]] = []
        self._accounts = Repository(store, Account)
        self._random = random
        self._name = name

    async def rage(self, count: int) -> None:
        """Run so many tasks to their end."""
        ids = [f"{self._name}-{number}" for number in range(max(2, count // _SHARE))]
        kinds = self._random.choices([self._save, self._save_together, self._update], k=count)
        tasks = [asyncio.create_task(kind(self._random.sample(ids, 3))) for kind in kinds]
        doomed = self._random.sample(tasks, count // 2)
        async with asyncio.TaskGroup() as cancelling:
            for task in doomed:
                # Some while they wait for their turn, some at work, some too late.
                turns, delay = self._random.randint(0, 30), self._random.random() * count / 3000
                patient = self._random.random() < 0.5
                cancelling.create_task(self._cancel(task, turns, delay if patient else 0.0))
        for task, result in zip(
            tasks, await asyncio.gather(*tasks, return_exceptions=True), strict=True
        ):
            if isinstance(result, BaseException) and not (
                isinstance(result, _LOST) or task.cancelled()
            ):
                raise result

    async def settle(self) -> None:
        """Save again what was cancelled; its events tell how the first time ended."""
        for accounts in self.unsettled:
            with contextlib.suppress(*_LOST):
                await self._accounts.save_all(*accounts)

    async def _cancel(self, task: "asyncio.Task[None]", turns: int, delay: float) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.sleep(delay)
        if task.done():
            return
        start = asyncio.get_running_loop().time()
        task.cancel()
        await asyncio.wait([task])
        self.slowest = max(self.slowest, asyncio.get_running_loop().time() - start)
        self.cancelled += task.cancelled()

    async def _save(self, ids: Sequence[str]) -> None:
        await self._save_together(ids[:1])

    async def _save_together(self, ids: Sequence[str]) -> None:
        accounts = tuple([await self._load(each) for each in ids])
        for account in accounts:
            account.move(1, 2)
        self.unsettled.append(accounts)
        with contextlib.suppress(*_LOST):
            await self._accounts.save_all(*accounts)
        self.unsettled.remove(accounts)

    async def _update(self, ids: Sequence[str]) -> None:
        with contextlib.suppress(AggregateNotFound):
            await self._accounts.update(ids[0], lambda account: account.move(3))

    async def _load(self, id: str) -> Account:
        try:
            return await self._accounts.load(id)
        except AggregateNotFound:
            return Account(id)


async def run(run: Run) -> Outcome:
    """A storm on each backend, and another where too few were cancelled in time."""
    outcome = Outcome()
    for place in places(run):
        await _on(place, run, outcome)
    return outcome


async def _on(place: Place, run: Run, outcome: Outcome) -> None:
    store = recorded_connect(
        place.url,
        run.directory,
        place.name,
        max_connections=_CONNECTIONS,
        timeout=_TIMEOUT,
        **place.settings,
    )
    history = run.directory / f"{place.name}.jsonl"
    kind = f"cancelled on {place.name}"
    async with opened(store, outcome.violations):
        before, slowest = _at_rest(store), 0.0
        while outcome.faults[kind] < run.count / 2:
            name = f"storm-{outcome.faults[kind]}"
            storm = _Storm(store, run.random(f"{place.name}/{name}"), name)
            try:
                await asyncio.wait_for(storm.rage(run.count), _PATIENCE)
                await asyncio.wait_for(storm.settle(), _PATIENCE)
            except TimeoutError:
                outcome.violations.append(f"{place.name}: a storm has not ended in {_PATIENCE} s")
                return
            outcome.faults[kind] += storm.cancelled
            outcome.violations += [
                f"{place.name}: {each}"
                for each in (*await _leaks(store, before), *await _new_work(store))
            ]
            slowest = max(slowest, storm.slowest)
        outcome.notes.append(
            f"{place.name}: {run.count} tasks at once; a cancelled one ended after "
            f"{slowest:.3f} s at most"
        )
        lines = read_history([history])
        found = [*await check(store.backend, lines), *await folds_equal_snapshots(store)]
        outcome.violations += [f"{place.name}: {each}" for each in found]
        outcome.operations += outcomes(lines)


def _at_rest(store: Store) -> tuple[object, ...]:
    """What is to be the same before and after: what a lane holds shows from within only."""
    group_commit = innermost(store.backend)._group_commit
    usage = store.backend.usage()
    away = usage.pool.size - usage.pool.idle if usage.pool else 0
    return (
        ("connections in use", away),
        ("appends in the queue", usage.queue_depth),
        ("free lanes", group_commit._free_lanes),
        ("aggregates under way", sorted(group_commit._under_way)),
        ("room in the queue", group_commit._room._value),
    )


async def _leaks(store: Store, before: tuple[object, ...]) -> list[str]:
    """What has not come back, some time after the last task has ended."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_REST):
            while _at_rest(store) != before:
                await asyncio.sleep(0.05)
    after = _at_rest(store)
    return [] if after == before else [f"at rest there were {before}, now there are {after}"]


async def _new_work(store: Store) -> list[str]:
    """Whether saves go on as before; twice as many as there are connections, at once."""
    accounts = Repository(store, Account)

    async def save(number: int) -> None:
        account = Account(f"new-{store.new_id()}")
        account.move(number)
        await accounts.save(account)
        await accounts.load(account.id)

    saves = asyncio.gather(*map(save, range(2 * _CONNECTIONS)))
    try:
        await asyncio.wait_for(saves, _REST)
    except (TimeoutError, HithertoError) as error:
        return [f"new work did not go well: {error!r}"]
    return []


ROW = Row(
    title="Thousands of tasks on five connections, cancelled at any moment",
    promises="1, 2, 4, 5",
    run=run,
    full=5000,
    quick=400,
)
