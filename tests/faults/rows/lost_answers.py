"""An answer is lost while others write to the same aggregate: all are told the truth."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from random import Random
from typing import Any, cast
from unittest.mock import patch

import asyncpg
import msgspec
from tests.faults.checker import check, outcomes
from tests.faults.history import read_history
from tests.faults.proxy import Fault, Harm, Proxy, Way
from tests.faults.row import Outcome, Row, Run
from tests.faults.shared_server import new_schema, shared_server
from tests.faults.workload import MANY, Account, recorded, recorded_connect, settled

from hitherto import Repository, Store, connect
from hitherto.application.ports import Backend
from hitherto.application.saving import prepare
from hitherto.errors import AggregateLocked, AggregateVersionConflict
from hitherto.infrastructure.postgres.announcing import Announcer

_LANES = 10  # rounds at once
_RIVALS = 3
_TIMEOUT = 0.4  # seconds that the sender waits for an answer
_PATIENCE = 120.0  # seconds for all to know how their saves ended

# Keeps transactions that have written to an aggregate from committing while it is listed, and
# tells which they are. A lock would not hold them, for appends do not wait long.
_HOLD = """
CREATE TABLE {schema}.held (aggregate_id text PRIMARY KEY);
CREATE FUNCTION {schema}.hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WHILE EXISTS (SELECT FROM {schema}.held WHERE aggregate_id = NEW.aggregate_id) LOOP
        PERFORM set_config('application_name', NEW.aggregate_id, true), pg_sleep(0.005);
    END LOOP;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON {schema}.event_store
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {schema}.hold();
"""
_HELD = "SELECT pid FROM pg_stat_activity WHERE application_name = $1"

Save = Callable[[], Awaitable[object]]
Loss = Callable[["_Lane", str], AbstractAsyncContextManager[None]]


class _Lane:
    """Rounds one after the other, each with an aggregate of its own.

    Args:
        proxy: Loses the answers.
        sender: A store behind it.
        others: Stores that lose nothing.
        session: Looks at the server from behind.

    Attributes:
        lost: How many answers were lost.
    """

    def __init__(
        self,
        proxy: Proxy,
        sender: Store,
        others: Sequence[Store],
        session: "asyncpg.Connection[Any]",
        schema: str,
        random: Random,
    ) -> None:
        self.lost = 0
        self._proxy = proxy
        self._sender = sender
        self._others = others
        self._session = session
        self._schema = schema
        self._random = random

    async def round(self, name: str, loss: Loss) -> list[str]:
        """Lose an answer, and see what everybody is told; returns what contradicts it."""
        own = await self._own(name)
        rivals = [await self._rival(name) for _ in range(_RIVALS)]
        twin = self._others[0]
        same = partial(twin.backend.append, prepare(self._sender, own, None))
        async with loss(self, name):
            saves: list[Save] = [
                partial(Repository(self._sender, Account).save_all, *own),
                same,
                *rivals,
            ]
            ends = [
                asyncio.create_task(self._end(save, after=bool(number) * self._random.random() / 5))
                for number, save in enumerate(saves)
            ]
            _, hanging = await asyncio.wait(ends, timeout=_PATIENCE)
        for link in self._proxy.links:
            link.disarm()
        if hanging:
            return [f"{len(hanging)} saves have not ended in {_PATIENCE:g} s"]
        await Repository(twin, Account).update(name, lambda account: account.move(4))
        return _wrong([end.result() for end in ends])

    async def _own(self, name: str) -> list[Account]:
        """What the sender saves: an account, perhaps with a past, or two of them."""
        accounts = Repository(self._sender, Account)
        account, beside = Account(name), Account(f"{name}-beside")
        never = asyncio.Event()
        await settled(partial(accounts.exists, name), never)  # A connection to harm.
        if self._random.random() < 0.5:
            account.move(1)
            await settled(partial(accounts.save, account), never)
        account.move(*[2] * self._random.choice([1, 1, 1, 3, 3, MANY]))
        if self._random.random() < 0.7:
            return [account]
        beside.move(2)
        return [account, beside]

    async def _rival(self, name: str) -> Save:
        """A save that was decided on the same version, at any store."""
        known = await Repository(self._others[0], Account).load_many([name])
        account = known.get(name) or Account(name)
        account.move(3)
        store = self._random.choice([self._sender, *self._others])
        return partial(Repository(store, Account).save, account)

    async def _end(self, save: Save, *, after: float) -> str:
        """Save until it is known how that ended."""
        await asyncio.sleep(after)
        while True:
            try:
                await settled(save, asyncio.Event())
            except AggregateVersionConflict:
                return "conflict"
            except AggregateLocked:
                await asyncio.sleep(0.02)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is found out
                return repr(error)
            else:
                return "saved"

    @asynccontextmanager
    async def harmed(self, way: Way, harm: Harm) -> AsyncIterator[None]:
        """The sender's connections are harmed at the next request or answer."""
        struck = len(self._proxy.struck)
        for link in self._proxy.links:
            link.arm(Fault(way=way, after=0, harm=harm))
        yield
        self.lost += len(self._proxy.struck) - struck

    @asynccontextmanager
    async def late(self) -> AsyncIterator[None]:
        """The sender's requests arrive when they have been repeated already, or settled."""
        async with self.harmed("request", "stall"):
            struck = len(self._proxy.struck)
            resuming = asyncio.create_task(self._resume(struck))
            yield
            resuming.cancel()
        for link in self._proxy.struck[struck:]:
            link.resume()

    async def _resume(self, struck: int) -> None:
        while True:
            await asyncio.sleep(self._random.random())
            for link in self._proxy.struck[struck:]:
                link.resume()

    @asynccontextmanager
    async def held(self, name: str, *, commits: bool) -> AsyncIterator[None]:
        """The sender's connections are cut while the first to write is still at it."""
        await self._session.execute(f"INSERT INTO {self._schema}.held VALUES ($1)", name)
        releasing = asyncio.create_task(self._release(name, commits=commits))
        yield
        await releasing

    async def _release(self, name: str, *, commits: bool) -> None:
        while (process := await self._session.fetchval(_HELD, name)) is None:
            await asyncio.sleep(0.005)
        for link in self._proxy.links:
            link.cut()
        self.lost += 1
        await asyncio.sleep(self._random.uniform(0.05, 0.6))
        if not commits:
            await self._session.execute("SELECT pg_terminate_backend($1)", process)
        await self._session.execute(
            f"DELETE FROM {self._schema}.held WHERE aggregate_id = $1", name
        )


_LOSSES: dict[str, Loss] = {
    "cut": lambda lane, _: lane.harmed("answer", "reset"),
    "swallowed": lambda lane, _: lane.harmed("answer", "drop"),
    "late request": lambda lane, _: lane.late(),
    "cut, still running": lambda lane, name: lane.held(name, commits=True),
    "cut, rolled back": lambda lane, name: lane.held(name, commits=False),
}


def _wrong(ends: Sequence[str]) -> list[str]:
    """The sender and its twin have sent the same events; of all who differ, one is saved."""
    own, twin, *rivals = ends
    wrong = [f"somebody was told {each}" for each in ends if each not in {"saved", "conflict"}]
    if own != twin:
        wrong.append(f"of the same events it was told {own!r} and {twin!r}")
    saved = [own, *rivals].count("saved")
    if saved != 1:
        wrong.append(f"{saved} were saved at the same version")
    return wrong


class Planted(msgspec.Struct, frozen=True, kw_only=True):
    """A bug that the row is to find out.

    Attributes:
        change: Is given a session and the store's schema.
        wrap: Around each sender's backend, below what retries.
    """

    change: Callable[["asyncpg.Connection[Any]", str], Awaitable[object]] | None = None
    wrap: Callable[[Backend], Backend] | None = None


async def run(run: Run) -> Outcome:
    """Rounds in some lanes."""
    return await lose_answers(run, Planted())


async def lose_answers(run: Run, planted: Planted) -> Outcome:
    """The row, perhaps with a bug."""
    outcome = Outcome()
    url, schema = shared_server().url(), new_schema()
    async with AsyncExitStack() as stack:
        # What is announced beside the appends would be hit in their place.
        stack.enter_context(patch.object(Announcer, "appended", lambda *_: None))
        direct = await stack.enter_async_context(connect(url, schema=schema))
        session = await asyncpg.connect(url)
        await session.execute(_HOLD.format(schema=schema))
        if planted.change is not None:
            await planted.change(session, schema)
        await session.close()
        others = [
            await stack.enter_async_context(
                recorded_connect(url, run.directory, f"other-{number}", schema=schema)
            )
            for number in range(2)
        ]
        async with asyncio.TaskGroup() as tasks:
            for number in range(_LANES):
                tasks.create_task(_rounds(run, outcome, others, schema, number, planted))
        lines = read_history(sorted(run.directory.glob("*.jsonl")))
        outcome.violations += await check(direct.backend, lines)
        outcome.operations = outcomes(lines)
    return outcome


async def _rounds(
    run: Run, outcome: Outcome, others: Sequence[Store], schema: str, lane: int, planted: Planted
) -> None:
    url = shared_server().url()
    random = run.random(f"lane {lane}")
    losses = list(_LOSSES.items())
    session = await asyncpg.connect(url)
    async with (
        Proxy(url, delay=lambda: random.random() * 0.003) as proxy,
        _sender(run, proxy, schema, f"sender-{lane}", planted) as sender,
    ):
        rounds = _Lane(proxy, sender, others, session, schema, random)
        for number in range(lane, run.count, _LANES):
            told, loss = losses[number % len(losses)]
            name, before = f"account-{number}", rounds.lost
            outcome.violations += [
                f"{name}, {told}: {each}" for each in await rounds.round(name, loss)
            ]
            outcome.faults[told] += rounds.lost - before
    await session.close()


def _sender(run: Run, proxy: Proxy, schema: str, name: str, planted: Planted) -> Store:
    backend = connect(
        proxy.url,
        schema=schema,
        max_connections=4,
        timeout=_TIMEOUT,
        connect_timeout=_TIMEOUT,
        breaker_threshold=1000,
    ).backend
    if planted.wrap is not None:
        resilient = cast("Any", backend).sealed
        resilient.backend = planted.wrap(resilient.backend)
    return recorded(backend, run.directory, name)


ROW = Row(
    title="The answer of an append is lost, and several clients send it again or compete",
    promises="1, 2, 5",
    run=run,
    full=200,
    quick=10,
)
