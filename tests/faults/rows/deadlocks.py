"""Transactions over shared aggregates in all orders: everything ends, and whole or not at all."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, cast

import asyncpg
import msgspec
from tests.faults.backends import opened
from tests.faults.checker import check, outcomes
from tests.faults.history import read_history
from tests.faults.row import Outcome, Row, Run
from tests.faults.shared_server import new_schema, shared_server
from tests.faults.workload import (
    Account,
    account_ids,
    folds_equal_snapshots,
    recorded,
    recorded_connect,
)

from hitherto import Repository, Store, connect
from hitherto.application.ports import Backend
from hitherto.application.records import Append, PlacedEvent
from hitherto.errors import AggregateLocked, AggregateNotFound, AggregateVersionConflict

_ACCOUNTS = 6
_TOGETHER = 4  # accounts in a save
_STORES = 3
_TASKS = 3  # of each store
_PLAIN = 3  # sessions
_STEPS = 4  # of an importer's or a saver's task, for each step of a plain session
_PATIENCE = 120.0  # seconds for everything to end
_MAIN = "from tests.faults.workload import main; main()"
_LOST = (AggregateVersionConflict, AggregateLocked)
_INSERT = """INSERT INTO {schema}.event_store (event_id, event_type, aggregate_id, aggregate_type,
    event_version, schema_version, event_data, occurred_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING global_position"""


class _PlainSql:
    """Appends as another tool would: statement by statement, in whatever order it is told.

    Attributes:
        deadlocks: How often the server has chosen it as a victim.
    """

    def __init__(self, session: Any, schema: str, random: Random) -> None:
        self.deadlocks = 0
        self._session = session
        self._insert = _INSERT.format(schema=schema)
        self._random = random

    async def append(self, appends: Sequence[Append], **options: Any) -> tuple[int, ...]:
        """All or nothing, for a transaction is that.

        Raises:
            AggregateLocked: Nothing was written.
        """
        try:
            async with self._session.transaction():
                return tuple([await self._append(append) for append in appends])
        except asyncpg.PostgresError as error:
            self.deadlocks += isinstance(error, asyncpg.DeadlockDetectedError)
            raise AggregateLocked(str(error)) from error

    async def _append(self, append: Append) -> int:
        position = 0
        for version, event in enumerate(append.events, append.expected_version + 1):
            position = await self._session.fetchval(
                self._insert, event.event_id, event.event_type, append.aggregate_id,
                append.aggregate_type, version, event.schema_version, event.data,
                event.occurred_at,
            )  # fmt: skip
        await asyncio.sleep(self._random.random() * 0.02)  # The locks are held meanwhile.
        return position


class _Appending:
    """A backend that appends in another way; recorded, it is checked as all are."""

    def __init__(
        self, inner: Backend, append: Callable[[Sequence[Append]], Awaitable[tuple[int, ...]]]
    ) -> None:
        self.append = append
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _importing(inner: Backend) -> Backend:
    """Appends by the way of imports."""

    async def append(appends: Sequence[Append], **_options: Any) -> tuple[int, ...]:
        await inner.import_events([each for append in appends for each in _placed(append)])
        positions: list[int] = []
        for append in appends:
            last = append.expected_version + len(append.events)
            (event,) = await inner.read(append.aggregate_id, from_version=last, to_version=last)
            positions.append(event.position)
        return tuple(positions)

    return cast("Backend", _Appending(inner, append))


def _placed(append: Append) -> list[PlacedEvent]:
    return [
        PlacedEvent(
            **msgspec.structs.asdict(event),
            aggregate_id=append.aggregate_id,
            aggregate_type=append.aggregate_type,
            version=version,
        )
        for version, event in enumerate(append.events, append.expected_version + 1)
    ]


async def run(run: Run) -> Outcome:
    """Everybody at once; plain sessions are what injects the faults."""
    outcome = Outcome()
    url, schema = shared_server().url(), new_schema()
    async with opened(connect(url, schema=schema), outcome.violations) as store:
        try:
            await asyncio.wait_for(_everybody(run, outcome, store, url, schema), _PATIENCE)
        except TimeoutError:
            outcome.violations.append(f"not everything has ended within {_PATIENCE:g} s")
        lines = read_history(sorted(run.directory.glob("*.jsonl")))
        outcome.violations += await check(store.backend, lines)
        outcome.violations += await folds_equal_snapshots(store)
        outcome.operations = outcomes(lines)
    return outcome


async def _everybody(run: Run, outcome: Outcome, store: Store, url: str, schema: str) -> None:
    steps = -(-run.count // _PLAIN)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_process(run, url, schema, steps))
        for number in range(_STORES):
            tasks.create_task(_saver(run, outcome, url, schema, f"saver-{number}", steps * _STEPS))
        importing = recorded(_importing(store.backend), run.directory, "importer")
        tasks.create_task(_Client(importing, run.random("importer")).work(steps * _STEPS))
        for number in range(_PLAIN):
            tasks.create_task(_plain(run, outcome, store, url, schema, f"plain-{number}", steps))


async def _saver(
    run: Run, outcome: Outcome, url: str, schema: str, client: str, steps: int
) -> None:
    store = recorded_connect(url, run.directory, client, schema=schema)
    async with opened(store, outcome.violations), asyncio.TaskGroup() as tasks:
        for number in range(_TASKS):
            tasks.create_task(_Client(store, run.random(f"{client}/{number}")).work(steps))


async def _plain(
    run: Run, outcome: Outcome, store: Store, url: str, schema: str, client: str, steps: int
) -> None:
    """A session that reads with `store`, and writes in its own way."""
    session = await asyncpg.connect(url, server_settings={"deadlock_timeout": "30ms"})
    random = run.random(client)
    plain = _PlainSql(session, schema, random)
    try:
        backend = cast("Backend", _Appending(store.backend, plain.append))
        await _Client(recorded(backend, run.directory, client), random).work(steps)
    finally:
        await session.close()
    outcome.faults["transactions in their own order"] += steps
    outcome.faults["deadlocks"] += plain.deadlocks


async def _process(run: Run, url: str, schema: str, steps: int) -> None:
    """The same work from another process."""
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _MAIN, url, str(run.directory), "process",
        "--seed", str(run.seed), "--accounts", str(_ACCOUNTS), "--steps", str(steps),
        "--settings", json.dumps({"schema": schema}),
    )  # fmt: skip
    try:
        status = await client.wait()
    except asyncio.CancelledError:
        client.kill()
        raise
    if status:
        raise RuntimeError(f"the process has ended with status {status}")


class _Client:
    """Saves events of some accounts at once, in a random order each time."""

    def __init__(self, store: Store, random: Random) -> None:
        self._accounts = Repository(store, Account)
        self._random = random

    async def work(self, steps: int) -> None:
        """So many saves, won or lost."""
        for _ in range(steps):
            accounts = [
                await self._load(each)
                for each in self._random.sample(account_ids(_ACCOUNTS), _TOGETHER)
            ]
            for account in accounts:
                account.move(*range(self._random.randint(1, 3)))
            try:
                await self._accounts.save_all(*accounts)
            except _LOST:
                await asyncio.sleep(0)

    async def _load(self, id: str) -> Account:
        try:
            return await self._accounts.load(id)
        except AggregateNotFound:
            return Account(id)


ROW = Row(
    title="Deadlocks and locks in other orders", promises="1, 2, 5", run=run, full=500, quick=60
)
