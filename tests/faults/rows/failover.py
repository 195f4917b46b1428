"""The primary is killed, its synchronous standby succeeds it, and the old one comes back."""

import asyncio
import time

from tests.faults.load import Load
from tests.faults.pair import Pair
from tests.faults.row import Outcome, Row, Run
from tests.faults.workload import Account, account_ids, pause, recorded_connect

from hitherto import Repository, Store
from hitherto.errors import EventStoreUnavailable

_SCHEMA = "failover"
_TIMEOUT = 0.4  # seconds that a misled client waits for an answer
_PATIENCE = 30.0  # seconds for its store to close


async def run(run: Run) -> Outcome:
    """Failovers under load, one after the other; no store is opened again."""
    pair = await asyncio.to_thread(Pair.start)
    try:
        return await _fail_over(run, pair)
    finally:
        await asyncio.to_thread(pair.stop)


async def _fail_over(run: Run, pair: Pair) -> Outcome:
    outcome = Outcome()
    random = run.random("failovers")
    slowest = 0.0
    url = pair.url
    load = Load(
        run, lambda client: recorded_connect(url, run.directory, client, schema=_SCHEMA), tasks=3
    )
    async with load:
        await load.goes_on()
        for number in range(run.count):
            await asyncio.sleep(random.random() * 0.5)
            # Sometimes nothing is acknowledged any more before there is a standby again.
            waiting, misled = number % 2 == 1, number % 4 < 2
            start = time.monotonic()
            await asyncio.to_thread(pair.fail_over, waiting=waiting)
            outcome.faults["failovers"] += 1
            if not waiting:
                await load.goes_on()
                slowest = max(slowest, time.monotonic() - start)
            if misled:
                outcome.violations += await _misled(run, pair, f"client-misled-{number}")
                outcome.faults["returns of the old primary as it was"] += 1
            rewind = random.random() < 0.5
            await asyncio.to_thread(pair.rebuild, rewind=rewind)
            outcome.faults["returns as standby, " + ("rewound" if rewind else "made anew")] += 1
            await load.goes_on()
        outcome.notes.append(f"the last client went on {slowest:.1f} s after the kill, at most")
        await load.finish(outcome)
    return outcome


async def _misled(run: Run, pair: Pair, client: str) -> list[str]:
    """A client that finds the old primary is told nothing: it waits for a standby in vain."""
    old = pair.standby
    await asyncio.to_thread(old.start)
    store = recorded_connect(
        old.url(), run.directory, client, schema=_SCHEMA, timeout=_TIMEOUT, breaker_threshold=1000
    )
    await store.open()
    try:
        told = await asyncio.gather(
            _acknowledged(store, client), _acknowledged(store, account_ids(1)[0])
        )
        return [f"the old primary acknowledged {each}" for each in told if each]
    finally:
        await asyncio.to_thread(old.kill)
        await asyncio.wait_for(store.close(), _PATIENCE)


async def _acknowledged(store: Store, id: str) -> str:
    """Save, and save again: what had been written already waits too."""
    accounts = Repository(store, Account)
    account = await _loaded(accounts, id)
    account.move(1)
    for told in ("an append", "its repetition"):
        try:
            await accounts.save(account)
        except EventStoreUnavailable:
            continue
        return f"{told} to {id!r}"
    return ""


async def _loaded(accounts: Repository[Account], id: str) -> Account:
    """Reading waits for no standby, but a server that has just started may be slow."""
    while True:
        try:
            return (await accounts.load_many([id])).get(id) or Account(id)
        except EventStoreUnavailable as error:
            await asyncio.sleep(pause(error))


ROW = Row(
    title="Failover to a synchronous standby; the old primary comes back",
    promises="1, 2, 3, 4, 5",
    run=run,
    full=20,
    quick=1,
)
