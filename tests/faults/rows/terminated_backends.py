"""Sessions are terminated by the server: at every statement of every operation, and at random."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count

import msgspec
from tests.faults.ambush import MOMENTS, Admin, Ambush
from tests.faults.checker import check, outcomes
from tests.faults.history import read_history
from tests.faults.load import PATIENCE, Load
from tests.faults.row import Outcome, Row, Run
from tests.faults.shared_server import new_schema, shared_server
from tests.faults.statements import asyncpg_statements
from tests.faults.workload import MANY, Account, Moved, folds_equal_snapshots, recorded_connect

from hitherto import PastEvent, Repository, Store

_CHECKED_EVERY = 50  # terminations at random


async def run(run: Run) -> Outcome:
    """First one statement after the other, then under load."""
    outcome = Outcome()
    url, schema = shared_server().url(), new_schema()
    connect = partial(recorded_connect, url, run.directory)
    admin = await Admin.connected(url, schema)
    try:
        store = connect("ambushed", schema=schema)
        await _at_every_statement(store, admin, run, outcome, share=2 / 3)
        await _at_random(partial(connect, schema=new_schema()), admin, run, outcome)
    finally:
        await admin.close()
    return outcome


class Operations:
    """Each use of a store, which raises AssertionError if it did not do what it should, once."""

    def __init__(self, store: Store, admin: Admin) -> None:
        self.imported: list[str] = []
        self._store = store
        self._admin = admin
        self._accounts = Repository(store, Account)
        self._numbers = count(1)

    def all(self) -> dict[str, Callable[[Account], Awaitable[None]]]:
        """By name; each is given an account of three events and a snapshot that is due."""
        return {
            "save": partial(self._save, events=1),
            "save of several events": partial(self._save, events=3),
            "save of very many events": partial(self._save, events=MANY),
            "save that stands already": self._save_again,
            "save_all": self._save_all,
            "saves at once": self._saves_at_once,
            "update": self._update,
            "load": self._load,
            "load on a new connection": self._load_anew,
            "load_many": self._load_many,
            "read_all": self._read_all,
            "history": self._history,
            "snapshot": self._snapshot,
            "import": self._import,
            "import that stands already": self._import_again,
            "health check": self._health_check,
        }

    async def account(self) -> Account:
        """One with three events."""
        account = Account(f"ambushed-{self._store.new_id()}")
        account.move(1, 2, 3)
        await self._accounts.save(account)
        return account

    async def _save(self, account: Account, *, events: int) -> None:
        account.move(*[1] * events)
        await self._accounts.save(account)
        await self._expect(account.id, 3 + events)

    async def _save_again(self, account: Account) -> None:
        first = await self._accounts.load(account.id)
        first.move(4)
        events = first._unsaved[:]
        await self._accounts.save(first)
        second = await self._accounts.load(account.id, version=3)
        second._unsaved[:] = events
        await self._accounts.save(second)
        await self._expect(account.id, 4)

    async def _save_all(self, account: Account) -> None:
        other = Account(f"{account.id}-other")
        account.move(4)
        other.move(5, 6)
        await self._accounts.save_all(account, other)
        await self._expect(account.id, 4)
        await self._expect(other.id, 2)

    async def _saves_at_once(self, account: Account) -> None:
        others = [Account(f"{account.id}-{number}") for number in range(5)]
        for each in others:
            each.move(1)
        await asyncio.gather(*map(self._accounts.save, others))
        for each in others:
            await self._expect(each.id, 1)

    async def _update(self, account: Account) -> None:
        await self._accounts.update(account.id, lambda account: account.move(4, 5, 6))
        await self._expect(account.id, 6)

    async def _load(self, account: Account) -> None:
        await self._expect(account.id, 3)

    async def _load_anew(self, account: Account) -> None:
        await self._admin.terminate_all()
        await self._expect(account.id, 3)

    async def _load_many(self, account: Account) -> None:
        found = await self._accounts.load_many([account.id, "nobody"])
        assert [each.version for each in found.values()] == [3]

    async def _read_all(self, account: Account) -> None:
        ids = [event.aggregate_id async for event in self._store.read_all()]
        assert ids.count(account.id) == 3

    async def _history(self, account: Account) -> None:
        assert len(await self._accounts.history(account.id)) == 3
        assert await self._accounts.exists(account.id)

    async def _snapshot(self, account: Account) -> None:
        assert await self._accounts.snapshot(account)

    async def _import(self, account: Account) -> None:
        await self._store.import_events(self._past(account))
        await self._expect(self.imported[-1], 3)

    async def _import_again(self, account: Account) -> None:
        past = self._past(account)
        await self._store.import_events(past)
        done = await self._store.import_events(past)
        assert (done.written, done.skipped) == (0, 3)
        await self._expect(self.imported[-1], 3)

    async def _health_check(self, account: Account) -> None:
        # It tells what is wrong, and never raises; a session that is gone is told of once.
        found = [(await self._store.health_check()).status for _ in range(3)]
        assert found.count("unhealthy") <= 1, found

    def _past(self, account: Account) -> list[PastEvent[Moved]]:
        self.imported.append(imported := f"{account.id}-imported")
        return [
            PastEvent(
                aggregate_id=imported,
                aggregate_type="Account",
                version=version,
                event=Moved(amount=version),
                occurred_at=self._store.clock(),
            )
            for version in range(1, 4)
        ]

    async def _expect(self, id: str, version: int) -> None:
        account = await self._accounts.load(id)
        assert (account.version, account.count) == (version, version), f"{account!r}, not {version}"


class Target(msgspec.Struct, frozen=True):
    """A statement of an operation, and when to strike."""

    operation: str
    number: int
    moment: str


async def _at_every_statement(
    store: Store, admin: Admin, run: Run, outcome: Outcome, *, share: float
) -> None:
    """Go through all targets, in a shuffled order, until the share of the count is reached."""
    async with store:
        operations = Operations(store, admin)
        targets = await _targets(operations, admin)
        random = run.random("targets")
        struck = 0
        while struck < run.count * share:
            for target in random.sample(targets, len(targets)):
                if run.count < len(targets) and struck >= run.count * share:
                    break
                struck += await _ambushed(operations, admin, target, outcome)
        lines = read_history([run.directory / "ambushed.jsonl"])
        found = await check(store.backend, lines, unrecorded=operations.imported)
        outcome.violations += [*found, *await folds_equal_snapshots(store)]
        outcome.operations += outcomes(lines)
        outcome.notes.append(
            f"{len(operations.all())} operations have {len(targets) // len(MOMENTS)} statements, "
            f"each met at {len(MOMENTS)} moments"
        )


async def _targets(operations: Operations, admin: Admin) -> list[Target]:
    """Every statement of every operation, as a dry run counts them."""
    targets: list[Target] = []
    for name, operation in operations.all().items():
        account = await operations.account()
        ambush = Ambush(admin)
        with asyncpg_statements(ambush.around):
            await operation(account)
        targets += [
            Target(name, number, moment)
            for number in range(1, ambush.seen + 1)
            for moment in MOMENTS
        ]
    return targets


async def _ambushed(operations: Operations, admin: Admin, target: Target, outcome: Outcome) -> bool:
    """Do the operation while its session is terminated; tells whether it was."""
    account = await operations.account()
    ambush = Ambush(admin, target.number, target.moment)
    with asyncpg_statements(ambush.around):
        try:
            await asyncio.wait_for(operations.all()[target.operation](account), PATIENCE)
        except Exception as error:  # noqa: BLE001  # whatever it is, it should not have come
            outcome.violations.append(
                f"{target.operation}, terminated at statement {target.number} {target.moment}: "
                f"{error!r}"
            )
    if ambush.struck:
        outcome.faults[f"at a statement, {ambush.struck}"] += 1
    return bool(ambush.struck)


async def _at_random(
    connect: Callable[..., Store], admin: Admin, run: Run, outcome: Outcome
) -> None:
    """Any session, while clients work."""
    random = run.random("moments")
    slowest = 0.0
    async with Load(run, connect, tasks=3) as load:
        while outcome.faults.total() < run.count:
            await asyncio.sleep(random.uniform(0, 0.03))
            if await admin.terminate_one(random):
                outcome.faults["at a random moment"] += 1
            if not outcome.faults["at a random moment"] % _CHECKED_EVERY:
                slowest = max(slowest, await load.goes_on())
        slowest = max(slowest, await load.goes_on())
        await load.finish(outcome)
    outcome.notes.append(f"under load every client went on within {slowest:.1f} s")


ROW = Row(
    title="Sessions terminated (`pg_terminate_backend`), at every statement and at random",
    promises="1, 2, 3, 4, 5",
    run=run,
    full=1000,
    quick=20,
)
