"""A proxy cuts connections at every byte of an append's exchange, each way, or stalls there."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any, get_args
from unittest.mock import patch

import msgspec
from tests.faults.checker import check, outcomes
from tests.faults.history import read_history
from tests.faults.proxy import Fault, Harm, Link, Proxy, Way
from tests.faults.row import Outcome, Row, Run
from tests.faults.shared_server import new_schema, shared_server
from tests.faults.workload import MANY, Account, recorded, settled

from hitherto import Repository, Store, connect
from hitherto.errors import AggregateLocked
from hitherto.infrastructure.postgres.announcing import Announcer

_QUICK = 40
_PATIENCE = 120.0  # seconds that a save may take, and another one after it
_TIMEOUT = 0.4  # seconds that a save waits for an answer that is stalled
_STALLED = 8  # stores whose connections are stalled at once
_WAYS: tuple[Way, ...] = get_args(Way)
_CUTS: tuple[Harm, ...] = ("close", "reset")
_NEVER = 1_000_000  # events until a snapshot, which would be one exchange more


class _Kind(msgspec.Struct, frozen=True):
    """What is saved in an exchange.

    Attributes:
        accounts: How many accounts.
        events: How many events of each.
        together: In one transaction; else the saves are concurrent.
        connecting: Count from the set-up of the connection on.
        strides: How far apart the cuts are, of the request and of the answer.
    """

    name: str
    accounts: int
    events: int
    together: bool = False
    connecting: bool = False
    strides: tuple[int, int] = (1, 1)


_KINDS = (
    _Kind("one event", 1, 1),
    _Kind("three events", 1, 3),
    _Kind("a batch", 4, 1),
    _Kind("saved together", 2, 2, together=True),
    _Kind("by COPY", 1, MANY, strides=(199, 1)),
    _Kind("connecting", 1, 1, connecting=True, strides=(7, 7)),
)


class _Client:
    """Saves through a proxy, over a connection that has done so before.

    Attributes:
        proxy: Before the server.
        violations: What went wrong.
    """

    def __init__(self, proxy: Proxy, store: Store, name: str) -> None:
        self.proxy = proxy
        self.violations: list[str] = []
        self._accounts = Repository(store, Account)
        self._name = name
        self._number = 0

    async def exchange(self, kind: _Kind) -> dict[Way, int]:
        """How many bytes a save is, each way."""
        await self._save_new(kind)
        if kind.connecting:
            link = await self._link()
            link.cut()
            await self._save_new(kind)
            return (await self._link()).passed
        link = await self._link()
        link.mark()
        await self._save_new(kind)
        return link.passed

    async def harmed(self, kind: _Kind, fault: Fault) -> bool:
        """Save while the fault happens, and once more; returns whether it has happened."""
        struck = len(self.proxy.struck)
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._arm(kind, fault)
                accounts = await self._save_new(kind)
                for link in self.proxy.links:
                    link.disarm()
                await self._save(kind, accounts)  # Over the next connection, which is warm then.
        except TimeoutError:
            self.violations.append(f"{kind.name}, {fault}: no end in {_PATIENCE:g} s")
        except Exception as error:  # noqa: BLE001  # whatever it is, it is found out
            self.violations.append(f"{kind.name}, {fault}: {error!r}")
        return len(self.proxy.struck) > struck

    async def stalled(self, kind: _Kind, fault: Fault, random: Random) -> bool:
        """The same with a stall, which ends at some time before or after the client gives up."""
        clearing = asyncio.create_task(self._clear(random))
        struck = await self.harmed(kind, fault)
        if not struck:
            clearing.cancel()
        await asyncio.wait([clearing])
        return struck

    async def _clear(self, random: Random) -> None:
        known = len(self.proxy.struck)
        while len(self.proxy.struck) == known:
            await asyncio.sleep(0.01)
        await asyncio.sleep(random.uniform(0, 2 * _TIMEOUT))
        link = self.proxy.struck[known]
        if random.random() < 0.5:
            link.resume()
        else:
            link.cut()

    async def _arm(self, kind: _Kind, fault: Fault) -> None:
        link = await self._link()
        if kind.connecting:
            self.proxy.arm_next(fault)
            link.cut()
        else:
            link.arm(fault)

    async def _save_new(self, kind: _Kind) -> list[Account]:
        self._number += 1
        name = f"{self._name}-{self._number:05}"
        accounts = [Account(f"{name}-{n}") for n in range(kind.accounts)]
        await self._save(kind, accounts)
        return accounts

    async def _save(self, kind: _Kind, accounts: Sequence[Account]) -> None:
        for account in accounts:
            account.move(*[1] * kind.events)
        if kind.together:
            await _saved(partial(self._accounts.save_all, *accounts))
        else:
            await asyncio.gather(*(_saved(partial(self._accounts.save, a)) for a in accounts))

    async def _link(self) -> Link:
        """The connection, once the one before it is gone."""
        while len(self.proxy.links) != 1:
            await asyncio.sleep(0.001)
        return self.proxy.links[0]


async def _saved(save: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await settled(save, asyncio.Event())
        except AggregateLocked:  # By its own first try, which is stalled.
            await asyncio.sleep(0.02)
        else:
            return


@asynccontextmanager
async def _client(run: Run, schema: str, name: str, **settings: Any) -> AsyncIterator[_Client]:
    async with Proxy(shared_server().url()) as proxy:
        backend = connect(proxy.url, schema=schema, max_connections=1, **settings).backend
        async with recorded(backend, run.directory, name, snapshot_threshold=_NEVER) as store:
            yield _Client(proxy, store, name)


async def run(run: Run) -> Outcome:
    """Cuts, one after the other; then stalls, some at once."""
    outcome = Outcome()
    schema = new_schema()
    # What is announced beside the appends would move the bytes at which they are cut.
    in_silence = patch.object(Announcer, "appended", lambda *_: None)
    async with connect(shared_server().url(), schema=schema) as direct:
        with in_silence:
            await _cut(run, schema, outcome)
        await _stall(run, schema, outcome)
        lines = read_history(sorted(run.directory.glob("*.jsonl")))
        outcome.violations += await check(direct.backend, lines)
        outcome.operations = outcomes(lines)
    return outcome


async def _cut(run: Run, schema: str, outcome: Outcome) -> None:
    random = run.random("cuts")
    async with _client(run, schema, "cut") as client:
        for kind in _KINDS:
            lengths = await client.exchange(kind)
            if run.count <= _QUICK:
                await _cut_some(client, kind, lengths, random, outcome)
            else:
                await _cut_everywhere(client, kind, lengths, random, outcome)
        outcome.violations += client.violations


async def _cut_some(
    client: _Client, kind: _Kind, lengths: dict[Way, int], random: Random, outcome: Outcome
) -> None:
    for place in range(-(-_QUICK // len(_KINDS))):
        way = _WAYS[place % 2]
        after = random.choice([0, lengths[way], *random.choices(range(lengths[way]), k=3)])
        fault = Fault(way=way, after=after, harm=random.choice(_CUTS))
        if await client.harmed(kind, fault):
            outcome.faults[f"{way} cut"] += 1


async def _cut_everywhere(
    client: _Client, kind: _Kind, lengths: dict[Way, int], random: Random, outcome: Outcome
) -> None:
    """Each cut a stride later than the one before, until the whole exchange has passed."""
    told: list[str] = []
    for way, stride in zip(_WAYS, kind.strides, strict=True):
        for after in itertools.count(0, stride):
            fault = Fault(way=way, after=after, harm=random.choice(_CUTS))
            if not await client.harmed(kind, fault):
                break
            outcome.faults[f"{way} cut"] += 1
        if after <= lengths[way]:
            client.violations.append(f"{kind.name}: nothing was cut, {fault}")
        every = "every one" if stride == 1 else f"one in {stride}"
        told.append(f"{lengths[way]} bytes of {way} ({every})")
    outcome.notes.append(f"{kind.name}: {' and '.join(told)}")


async def _stall(run: Run, schema: str, outcome: Outcome) -> None:
    stores, each = (4, 1) if run.count <= _QUICK else (_STALLED, 12)

    async def stalls(number: int) -> None:
        random = run.random(f"stalls {number}")
        settings = {"timeout": _TIMEOUT, "connect_timeout": _TIMEOUT, "breaker_cooldown": 0.1}
        async with _client(run, schema, f"stalled-{number}", **settings) as client:
            for _ in range(each):
                kind = random.choice(_KINDS)
                way, length = random.choice(list((await client.exchange(kind)).items()))
                fault = Fault(way=way, after=random.randint(0, length), harm="stall")
                struck = await client.stalled(kind, fault, random)
                outcome.faults[f"{way} stalled"] += struck
            outcome.violations += client.violations

    async with asyncio.TaskGroup() as tasks:
        for number in range(stores):
            tasks.create_task(stalls(number))


ROW = Row(
    title="A connection is cut at every byte of an append, each way, or stalls",
    promises="1, 2, 5",
    run=run,
    full=3000,
    quick=_QUICK,
)
