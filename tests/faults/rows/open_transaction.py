"""Sessions append and stay open: nobody else is stalled or misled, and readers skip nothing."""

import asyncio
import contextlib
from collections.abc import Sequence
from random import Random
from uuid import uuid4

import asyncpg
import msgspec
from tests.faults.backends import opened
from tests.faults.checker import check, outcomes, read_log
from tests.faults.history import Line, Recorder, Seen, read_history
from tests.faults.row import Outcome, Row, Run
from tests.faults.shared_server import new_schema, shared_server
from tests.faults.workload import Account, Worker, account_ids, follow, recorded_connect

from hitherto import Repository, Store
from hitherto.errors import AggregateLocked, AggregateVersionConflict, HithertoError

_MINUTE = 60.0
_QUICK = 5  # sessions
_STEPS = 500  # of each worker, about
_RECOVERY = 30.0  # seconds that a session's end may take to be noticed
_INSERT = """INSERT INTO {schema}.event_store
    (event_id, event_type, aggregate_id, aggregate_type, event_version, event_data, occurred_at)
    VALUES ($1, 'Moved', $2, 'Account', $3, '{{"amount": 1}}', now())"""


class _Ending(msgspec.Struct, frozen=True):
    """How a session ends its transaction.

    Attributes:
        statements: What it says before it is to end, and to end; `{gid}` names it.
        commits: Whether its events stand then.
    """

    name: str
    before: str
    end: str
    commits: bool


_ENDINGS = (
    _Ending("committed", "", "COMMIT", commits=True),
    _Ending("rolled back", "", "ROLLBACK", commits=False),
    _Ending("terminated", "", "SELECT pg_terminate_backend(pg_backend_pid())", commits=False),
    _Ending(
        "prepared, committed", "PREPARE TRANSACTION '{id}'", "COMMIT PREPARED '{id}'", commits=True
    ),
    _Ending(
        "prepared, rolled back",
        "PREPARE TRANSACTION '{id}'",
        "ROLLBACK PREPARED '{id}'",
        commits=False,
    ),
)


async def run(run: Run) -> Outcome:
    """All sessions are open at once, and end one after the other."""
    outcome = Outcome()
    url, schema = shared_server().url(), new_schema()
    stores = [
        recorded_connect(url, run.directory, client, schema=schema)
        for client in ("others", "rivals")
    ]
    follower = recorded_connect(url, run.directory, "reader", schema=schema)
    async with contextlib.AsyncExitStack() as stack:
        for store in (*stores, follower):
            await stack.enter_async_context(opened(store, outcome.violations))
        stop = asyncio.Event()
        recorder = Recorder(run.directory / "follower.jsonl", "follower")
        following = asyncio.create_task(follow(follower.backend, recorder, stop))
        try:
            held = await _hold(run, outcome, url, schema, stores)
        finally:
            stop.set()
            await following
        lines = read_history(sorted(run.directory.glob("*.jsonl")))
        outcome.violations += await check(follower.backend, lines, unrecorded=held)
        outcome.violations += await _seen_to_the_end(follower, lines)
        outcome.operations = outcomes(lines)
    return outcome


async def _hold(
    run: Run, outcome: Outcome, url: str, schema: str, stores: Sequence[Store]
) -> list[str]:
    """Let sessions hold an aggregate each while others work; returns the aggregates."""
    others, rivals = stores
    seconds = _MINUTE if run.count > _QUICK else 2.0
    random = run.random("sessions")
    held = [f"held-{number}" for number in range(run.count)]
    for each in held[::2]:  # So that some have a history already.
        await _save(rivals, each)
    stop = asyncio.Event()
    workers = [Worker(others, Random(random.random()), account_ids(6), many=0) for _ in range(4)]
    async with asyncio.TaskGroup() as tasks:
        for worker in workers:
            tasks.create_task(_steadily(worker, stop, seconds / _STEPS))
        async with asyncio.TaskGroup() as sessions:
            for number, each in enumerate(held):
                ending = _ENDINGS[number % len(_ENDINGS)]
                last = seconds + random.random()
                sessions.create_task(
                    _session(outcome, url, schema, rivals, each, ending, last, workers)
                )
        stop.set()
    outcome.notes.append(
        f"{run.count} transactions open for {seconds:g} s; others did "
        f"{sum(worker.done for worker in workers)} steps beside them"
    )
    return held


async def _steadily(worker: Worker, stop: asyncio.Event, pause: float) -> None:
    while not stop.is_set():
        await worker.run(stop, worker.done + 1)
        await asyncio.sleep(pause)


async def _session(
    outcome: Outcome,
    url: str,
    schema: str,
    rivals: Store,
    held: str,
    ending: _Ending,
    seconds: float,
    workers: Sequence[Worker],
) -> None:
    """Hold one aggregate, see what others are told meanwhile, and let it go."""
    accounts = Repository(rivals, Account)
    account = await _loaded(accounts, held)
    account.move(1)
    session = await asyncpg.connect(url)
    try:
        await session.execute("BEGIN")
        await session.execute(_INSERT.format(schema=schema), uuid4(), held, account.version + 1)
        if ending.before:
            await session.execute(ending.before.format(id=held))
        outcome.faults[ending.name] += 1
        before = [worker.done for worker in workers]
        told = await _told_while_held(accounts, account, seconds)
        outcome.violations += [f"{held} is held, and a rival was told {each}" for each in told]
        if stalled := await _stalled(workers, before):
            outcome.violations.append(f"{stalled} workers were stalled while {held} was held")
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.PostgresConnectionError):
            await session.execute(ending.end.format(id=held))
    finally:
        session.terminate()
    outcome.violations += await _told_afterwards(accounts, account, ending)


async def _stalled(workers: Sequence[Worker], before: Sequence[int]) -> int:
    """How many have saved nothing since; a busy machine may take long for it."""
    end = asyncio.get_running_loop().time() + _RECOVERY
    while stalled := sum(worker.done == done for worker, done in zip(workers, before, strict=True)):
        if asyncio.get_running_loop().time() > end:
            break
        await asyncio.sleep(0.05)
    return stalled


async def _told_while_held(
    accounts: Repository[Account], account: Account, seconds: float
) -> list[str]:
    """A rival is told that the aggregate is locked, and nothing else."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        try:
            await accounts.save(account)
        except AggregateLocked:
            await asyncio.sleep(0.1)
        except HithertoError as error:
            return [repr(error)]
        else:
            return ["that it was saved"]
    return []


async def _told_afterwards(
    accounts: Repository[Account], account: Account, ending: _Ending
) -> list[str]:
    """The rival has lost to what was committed, and else is saved."""
    told = "no end"
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_RECOVERY):
            told = await _settled(accounts, account)
    expected = "a conflict" if ending.commits else "saved"
    if told == expected:
        return []
    return [f"{account.id} was {ending.name}; the rival was told {told}, not {expected}"]


async def _settled(accounts: Repository[Account], account: Account) -> str:
    while True:
        try:
            await accounts.save(account)
        except AggregateLocked:
            await asyncio.sleep(0.05)
        except AggregateVersionConflict:
            return "a conflict"
        else:
            return "saved"


async def _seen_to_the_end(store: Store, lines: Sequence[Line]) -> list[str]:
    """The follower has come to the end of the log; the checker sees to the rest."""
    log = await read_log(store.backend)
    seen = max((line.checkpoint for line in lines if isinstance(line, Seen)), default=0)
    if seen >= log[-1].position:
        return []
    return [f"the follower has come to position {seen}, the log to {log[-1].position}"]


async def _loaded(accounts: Repository[Account], id: str) -> Account:
    return await accounts.load(id) if await accounts.exists(id) else Account(id)


async def _save(store: Store, id: str) -> None:
    account = Account(id)
    account.move(1, 2)
    await Repository(store, Account).save(account)


ROW = Row(title="Transactions left open", promises="1, 2, 3", run=run, full=20, quick=_QUICK)
