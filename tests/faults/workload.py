"""The work that rows put on a store: clients that share accounts, and a follower of the log.

As a program, it is one client: ``python -m tests.faults.workload URL DIRECTORY CLIENT``.
"""

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, cast

from tests.faults.checker import read_log
from tests.faults.history import RecordedBackend, Recorder, Seen

from hitherto import Aggregate, Event, Repository, Store, connect
from hitherto.application.ports import Backend
from hitherto.errors import (
    AggregateLocked,
    AggregateNotFound,
    AggregateVersionConflict,
    EventStoreUnavailable,
)

SNAPSHOT_EVERY = 5
MANY = 260  # events in one save, so that PostgreSQL takes them by COPY
_PAUSE = 0.02  # seconds


class Moved(Event):
    """Money came or went."""

    amount: int


class Audited(Event):
    """Somebody looked."""

    auditor: str


class Account(Aggregate[Moved | Audited]):
    """Its state tells how many events it has seen, so that a wrong fold shows."""

    count: int = 0
    total: int = 0

    def move(self, *amounts: int) -> None:
        for amount in amounts:
            self.record(Moved(amount=amount))

    def audit(self, auditor: str) -> None:
        self.record(Audited(auditor=auditor))

    def apply(self, event: Moved | Audited) -> None:
        self.count += 1
        if isinstance(event, Moved):
            self.total += event.amount


class WrongFold(AssertionError):
    """A loaded account does not have the state of its events."""


def account_ids(count: int) -> list[str]:
    """The accounts that clients share."""
    return [f"account-{number}" for number in range(1, count + 1)]


def recorded(
    backend: Backend, directory: Path, client: str, *, snapshot_threshold: int = SNAPSHOT_EVERY
) -> Store:
    """A client's store over `backend`; its history goes to a file of the client's."""
    recorder = Recorder(directory / f"{client}.jsonl", client)
    # A Protocol does not see what `__getattr__` passes on.
    return Store(
        cast("Backend", RecordedBackend(backend, recorder)), snapshot_threshold=snapshot_threshold
    )


def recorded_connect(url: str, directory: Path, client: str, **settings: Any) -> Store:
    """The same, over what `connect` makes of a URL and settings."""
    return recorded(connect(url, **settings).backend, directory, client)


class Worker:
    """One task of a client: loads, decides and saves, again and again.

    A save whose answer was lost is settled by saving again.

    Args:
        store: The client's.
        random: Makes every choice.
        ids: The accounts to work on.
        many: Now and then save so many events at once; 0: never.
        often: In which share of the saves.

    Attributes:
        done: How many steps have saved something.
    """

    def __init__(
        self,
        store: Store,
        random: Random,
        ids: Sequence[str],
        *,
        many: int = MANY,
        often: float = 0.01,
    ) -> None:
        self.done = 0
        self._accounts = Repository(store, Account)
        self._random = random
        self._ids = ids
        self._many = many
        self._often = often
        self._name = f"worker {random.random()}"

    async def run(self, stop: asyncio.Event, steps: int | None = None) -> None:
        """Work until `stop` is set, or so many steps have saved something."""
        while not stop.is_set() and (steps is None or self.done < steps):
            try:
                self.done += await self.step(stop)
            except EventStoreUnavailable as error:
                await asyncio.sleep(pause(error))
            except (AggregateVersionConflict, AggregateLocked):
                pass
            await asyncio.sleep(0)  # a store in memory never waits

    async def step(self, stop: asyncio.Event) -> bool:
        """One use of the store, of whatever kind; tells whether it saved something."""
        kinds = [self._save, self._update, self._save_together, self._look]
        (kind,) = self._random.choices(kinds, [4, 4, 2, 1])
        return await kind(stop)

    async def _save(self, stop: asyncio.Event) -> bool:
        account = await self._load(self._random.choice(self._ids))
        account.move(*self._amounts())
        await settled(lambda: self._accounts.save(account), stop)
        return True

    async def _update(self, stop: asyncio.Event) -> bool:
        amounts = self._amounts()
        try:
            await self._accounts.update(
                self._random.choice(self._ids), lambda account: account.move(*amounts)
            )
        except AggregateNotFound:
            return False
        return True

    async def _save_together(self, stop: asyncio.Event) -> bool:
        accounts = [await self._load(each) for each in self._random.sample(self._ids, 2)]
        for account in accounts:
            account.audit(self._name)
            account.move(*self._amounts())
        await settled(lambda: self._accounts.save_all(*accounts), stop)
        return True

    async def _look(self, stop: asyncio.Event) -> bool:
        found = await self._accounts.load_many(self._random.sample(self._ids, 2))
        for account in found.values():
            _check_fold(account)
        return False

    async def _load(self, id: str) -> Account:
        try:
            account = await self._accounts.load(id)
        except AggregateNotFound:
            return Account(id)
        _check_fold(account)
        return account

    def _amounts(self) -> list[int]:
        count = self._random.choice([1, 1, 1, 2, 3])
        if self._many and self._random.random() < self._often:
            count = self._many
        return [self._random.randint(-99, 99) for _ in range(count)]


async def settled(save: Callable[[], Awaitable[object]], stop: asyncio.Event) -> None:
    """Save, and again after a lost answer, until it is told how the save ended.

    Raises:
        EventStoreUnavailable: It is time to stop, and still open.
    """
    while True:
        try:
            await save()
        except EventStoreUnavailable as error:
            if stop.is_set():
                raise
            await asyncio.sleep(pause(error))
        else:
            return


def pause(error: EventStoreUnavailable) -> float:
    """Seconds until it makes sense to ask again."""
    return max(error.retry_after or 0.0, _PAUSE)


async def follow(
    backend: Backend, recorder: Recorder, stop: asyncio.Event, *, limit: int = 100
) -> None:
    """Read the log as it grows, and write down what was seen; to its end once `stop` is set.

    Raises:
        EventStoreUnavailable: `stop` is set, and the store cannot be read for long.
    """
    after = 0
    failures = 0
    while True:
        stopping = stop.is_set()
        try:
            page = await backend.read_all(after=after, limit=limit)
        except EventStoreUnavailable as error:
            failures += stopping
            if failures > 3:
                raise
            await asyncio.sleep(pause(error))
            continue
        if page.events or page.checkpoint != after:
            events = tuple((event.position, str(event.event_id)) for event in page.events)
            recorder.write(
                Seen(client=recorder.client, after=after, checkpoint=page.checkpoint, events=events)
            )
            after = page.checkpoint
        elif stopping:
            return
        if len(page.events) < limit:
            await asyncio.sleep(_PAUSE)


async def folds_equal_snapshots(store: Store) -> list[str]:
    """Hold every stored snapshot, and every account as it loads, against its events.

    The fold is done here once more, by hand.
    """
    accounts = Repository(store, Account)
    streams: dict[str, list[dict[str, Any]]] = {}
    for event in await read_log(store.backend):
        if event.aggregate_type == "Account":
            streams.setdefault(event.aggregate_id, []).append(json.loads(event.data))
    wrong: list[str] = []
    for each, events in streams.items():
        account = await accounts.load(each)
        found = {"count": account.count, "total": account.total}
        if found != _fold(events):
            wrong.append(f"{each!r} loads as {found}; its events give {_fold(events)}")
        snapshot = await store.backend.read_snapshot(each)
        if snapshot is None:
            continue
        state = json.loads(snapshot.data)
        expected = _fold(events[: snapshot.version])
        if snapshot.version > len(events) or state != expected:
            wrong.append(
                f"the snapshot of {each!r} at version {snapshot.version} of {len(events)} has "
                f"{state}; its events give {expected}"
            )
    return wrong


def _fold(events: Sequence[dict[str, Any]]) -> dict[str, int]:
    return {"count": len(events), "total": sum(event.get("amount", 0) for event in events)}


def _check_fold(account: Account) -> None:
    if account.count != account.version:
        raise WrongFold(f"{account!r} at version {account.version} has seen {account.count} events")


async def _client(arguments: argparse.Namespace) -> None:
    store = recorded_connect(
        arguments.url, arguments.directory, arguments.client, **arguments.settings
    )
    random = Random(f"{arguments.seed}/{arguments.client}")
    ids = account_ids(arguments.accounts)
    stop = asyncio.Event()
    async with store, asyncio.TaskGroup() as tasks:
        for _ in range(arguments.tasks):
            worker = Worker(store, Random(random.random()), ids, often=arguments.often)
            tasks.create_task(worker.run(stop, arguments.steps))


def main() -> None:
    """Run one client until its steps are done, or it is killed."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("url")
    parser.add_argument("directory", type=Path)
    parser.add_argument("client")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--accounts", type=int, default=8)
    parser.add_argument("--tasks", type=int, default=2)
    parser.add_argument("--steps", type=int, help="of each task; left out: until it is killed")
    parser.add_argument("--often", type=float, default=0.01, help="see Worker")
    parser.add_argument("--settings", type=json.loads, default={}, help="of connect, as JSON")
    asyncio.run(_client(parser.parse_args()))


if __name__ == "__main__":
    main()
