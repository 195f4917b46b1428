"""An older dump, taken under load, is restored, and work goes on from there."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from tests.faults.checker import check, outcomes
from tests.faults.history import Invoked, Line, read_history
from tests.faults.load import Load
from tests.faults.row import Outcome, Row, Run, Skipped
from tests.faults.shared_server import new_schema, shared_server
from tests.faults.workload import (
    Account,
    account_ids,
    folds_equal_snapshots,
    recorded_connect,
)
from tests.servers import PostgresCluster

from hitherto import Repository, Store
from hitherto.application.records import Snapshot
from hitherto.errors import AggregateVersionConflict

_ACCOUNTS = 8
_SCHEMAS = ("public", "A tenant's")
_FORMATS = ("plain", "custom")
_ROUNDS = 3  # of work before the dump is taken, after that, and after it is restored


class _Dumped(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a dump, and of what came after it.

    Attributes:
        lines: The history, as a store has to bear it out that has the dump's events.
        accounts: As they were held in memory later.
        snapshots: As they were stored later.
    """

    lines: Sequence[Line]
    accounts: Mapping[str, Account]
    snapshots: Sequence[Snapshot]


async def run(run: Run) -> Outcome:
    """Each dump in databases of its own."""
    server = shared_server()
    if not all((server.bin_dir / each).exists() for each in ("pg_dump", "pg_restore")):
        raise Skipped(f"no pg_dump or pg_restore in {server.bin_dir}")
    outcome = Outcome()
    for number in range(run.count):
        async with _databases(server) as (live, restored):
            await _round(run, number, server, live, restored, outcome)
    return outcome


async def _round(
    run: Run, number: int, server: PostgresCluster, live: str, restored: str, outcome: Outcome
) -> None:
    schema, kind = _SCHEMAS[number % 2], _FORMATS[number // 2 % 2]
    file = server.directory / f"{live}.dump"
    dumped = await _dump_under_load(run, number, server.url(live), schema, file, kind, outcome)
    await asyncio.to_thread(_restore, server, file, kind, restored)
    outcome.faults[f"dumps restored ({kind})"] += 1

    def store_for(client: str) -> Store:
        return recorded_connect(server.url(restored), run.directory, client, schema=schema)

    held = f"held-{number}"
    async with store_for(held) as store:
        found = await _held_are_refused(store, dumped.accounts, outcome)
        refused = read_history([run.directory / f"{held}.jsonl"])
        found += await check(store.backend, [*dumped.lines, *refused])
        found += await _snapshots_are_replaced(store, dumped.snapshots, outcome)
        load = Load(run, store_for, accounts=_ACCOUNTS, name=f"again-{number}")
        async with load:
            for _ in range(_ROUNDS):
                await load.goes_on()
        new = load.history()
        # Without the refusals, which were right then; by now the versions may have come.
        found += [*load.violations, *await check(store.backend, [*dumped.lines, *new])]
        found += await folds_equal_snapshots(store)
        found += [f"verify finds {each}" for each in await store.backend.inspect()]
        outcome.operations += outcomes([*refused, *new])
        outcome.violations += [f"dump {number}: {each}" for each in found]


async def _dump_under_load(
    run: Run, number: int, url: str, schema: str, file: Path, kind: str, outcome: Outcome
) -> _Dumped:
    """Take a dump in the midst of work, and go on."""
    load = Load(
        run,
        lambda client: recorded_connect(url, run.directory, client, schema=schema),
        accounts=_ACCOUNTS,
        name=f"before-{number}",
    )
    async with load:
        for _ in range(_ROUNDS):
            await load.goes_on()
        before = load.history()
        server = shared_server()
        await asyncio.to_thread(server.run, "pg_dump", "-d", url, "--format", kind, "-f", str(file))
        for _ in range(_ROUNDS):
            await load.goes_on()
        await load.finish(outcome)
        accounts = await Repository(load.store, Account).load_many(account_ids(_ACCOUNTS))
        found = [await load.store.backend.read_snapshot(each) for each in accounts]
        return _Dumped(
            lines=_cut(before, load.history()),
            accounts=accounts,
            snapshots=[each for each in found if each is not None],
        )


def _cut(before: Sequence[Line], whole: Sequence[Line]) -> list[Line]:
    """Nothing is known of how an operation ended that had not ended before the dump was begun."""
    known = {(line.client, line.number) for line in before if isinstance(line, Invoked)}
    later = [
        line
        for line in whole
        if isinstance(line, Invoked) and (line.client, line.number) not in known
    ]
    return [*before, *later]


def _restore(server: PostgresCluster, file: Path, kind: str, database: str) -> None:
    url = server.url(database)
    if kind == "plain":
        server.run("psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-d", url, "-f", str(file))
    else:
        server.run("pg_restore", "--exit-on-error", "-d", url, str(file))
    file.unlink()


async def _held_are_refused(
    store: Store, accounts: Mapping[str, Account], outcome: Outcome
) -> list[str]:
    """Who holds an account in memory that is newer than what is stored has a conflict."""
    wrong: list[str] = []
    repository = Repository(store, Account)
    for each, account in accounts.items():
        head = len(await store.backend.read(each))
        if account.version == head:
            continue
        account.move(1)
        try:
            await repository.save(account)
        except AggregateVersionConflict as conflict:
            if (conflict.expected, conflict.actual) != (account.version, head):
                wrong.append(f"{each} is at {head}; held at {account.version}: {conflict}")
        else:
            wrong.append(f"{each}, held at {account.version}, was saved after {head}")
        outcome.faults["aggregates held at a later version"] += 1
    return wrong


async def _snapshots_are_replaced(
    store: Store, snapshots: Sequence[Snapshot], outcome: Outcome
) -> list[str]:
    """Those of later versions, which no event bears out any more, are not believed."""
    for snapshot in snapshots:
        head = len(await store.backend.read(snapshot.aggregate_id))
        if snapshot.version > head and await store.backend.save_snapshot(snapshot):
            outcome.faults["snapshots ahead of their aggregate"] += 1
    return await folds_equal_snapshots(store)


@asynccontextmanager
async def _databases(server: PostgresCluster) -> AsyncIterator[tuple[str, str]]:
    """Two empty ones."""
    names = new_schema(), new_schema()
    for name in names:
        await asyncio.to_thread(server.psql, f"CREATE DATABASE {name}")
    yield names
    for name in names:
        await asyncio.to_thread(server.psql, f"DROP DATABASE {name} WITH (FORCE)")


ROW = Row(
    title="An older dump, taken under load, is restored, and work goes on",
    promises="1, 2, 3, 4, 5",
    run=run,
    full=25,
    quick=1,
)
