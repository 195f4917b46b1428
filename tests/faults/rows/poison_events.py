"""An event ends every process that handles it: it is set aside, and the others go on."""

import asyncio
from functools import partial

from tests.faults.backends import Place
from tests.faults.crew import Crew, behind
from tests.faults.following import DIED_OF_POISON, POISON
from tests.faults.ledger import LEDGER, wrong_ledger
from tests.faults.load import PATIENCE, Load
from tests.faults.row import Outcome, Row, Run
from tests.faults.shared_server import new_schema, shared_server
from tests.faults.workload import Account, recorded_connect

from hitherto import Repository, Store
from hitherto.errors import AggregateNotFound

_LEASE = 0.6  # seconds
_ATTEMPTS = 3
_MOST = _ATTEMPTS + 2  # Those do not count in which it can have been another one of the batch.
_LOOK = 0.01


async def run(run: Run) -> Outcome:
    """Two workers die of it in turn, each is replaced; in the end it is handled after all."""
    outcome = Outcome()
    place = Place("postgresql", shared_server().url(), {"schema": new_schema()})
    connect = partial(recorded_connect, place.url, run.directory, **place.settings)
    async with (
        Load(run, connect, clients=1, tasks=1, accounts=40) as load,
        Crew(place, run, load.store, lease=_LEASE) as crew,
    ):
        while outcome.faults.total() < run.count:
            await _poisoned(crew, load.store, outcome)
        await load.goes_on()
        await load.finish(outcome)
        await crew.start(LEDGER)
        outcome.violations += await behind(load.store, [LEDGER])
        await crew.dismiss()
        outcome.violations += await wrong_ledger(load.store, place)
    return outcome


async def _poisoned(crew: Crew, store: Store, outcome: Outcome) -> None:
    """One event that kills, and one that waits behind it."""
    checkpoints = store.backend.checkpoints
    options = ("--poisoned", "--attempts", str(_ATTEMPTS))
    for _ in range(2):
        await crew.start(LEDGER, *options)
    await crew.held_by_others(LEDGER)
    await _save(store)
    deaths = 0
    async with asyncio.timeout(_MOST * PATIENCE):  # Each death is followed by a start.
        while not await checkpoints.parked(LEDGER) and deaths <= _MOST:
            for dead in [each for each in crew.members if each.ended == DIED_OF_POISON]:
                deaths += 1
                crew.members.remove(dead)
                await crew.start(LEDGER, *options)
            await asyncio.sleep(_LOOK)
    deaths += sum(each.ended == DIED_OF_POISON for each in crew.members)  # not yet replaced
    outcome.faults["deaths of a worker"] += deaths
    await _save(store)
    if deaths <= _MOST:
        outcome.violations += await behind(store, [LEDGER])
    found = [each.attempts for each in await checkpoints.parked(LEDGER)]
    if found != [_ATTEMPTS, 0] or not _ATTEMPTS <= deaths <= _MOST:
        outcome.violations.append(f"after {deaths} deaths the parked events have {found} attempts")
    outcome.violations += crew.ended_by_themselves()
    await crew.dismiss()
    await crew.start(LEDGER)
    await checkpoints.retry_parked(LEDGER, POISON, skip=False)
    async with asyncio.timeout(PATIENCE):
        while await checkpoints.parked(LEDGER):
            await asyncio.sleep(_LOOK)
    await crew.dismiss()


async def _save(store: Store) -> None:
    accounts = Repository(store, Account)
    try:
        account = await accounts.load(POISON)
    except AggregateNotFound:
        account = Account(POISON)
    account.move(1)
    await accounts.save(account)


ROW = Row(
    title="An event that ends every process that handles it",
    promises="3, 5",
    run=run,
    full=30,
    quick=3,
)
