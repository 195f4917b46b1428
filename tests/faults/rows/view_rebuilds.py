"""Views are rebuilt under load by processes that are killed, and read all the time."""

import asyncio
import contextlib
import signal
import time
from functools import partial
from itertools import accumulate
from random import Random
from typing import Any, Self

import asyncpg
import msgspec
from tests.faults.backends import Place
from tests.faults.crew import Crew, Member, behind
from tests.faults.ledger import LEDGER, SUMMARY, Summary, expected_entries, ledger_in, wrong_views
from tests.faults.load import PATIENCE, Load
from tests.faults.row import Outcome, Row, Run
from tests.faults.shared_server import new_schema, shared_server
from tests.faults.workload import MANY, Account, recorded_connect

from hitherto import Repository, Store
from hitherto.errors import HithertoError

_LEASE = 0.6  # seconds
_LOOK = 0.01
_BATCH = 50  # events
_POINTS = ("commit/before", "commit/sent", "commit/answered", "advance/sent", "advance/answered")
_QUICK = 2  # kills
_PAST, _LONG_PAST = 10, 200  # saves of many events, before a rebuild


async def run(run: Run) -> Outcome:
    """Each view in turn, with half of the kills."""
    outcome = Outcome()
    place = Place("postgresql", shared_server().url(), {"schema": new_schema()})
    connect = partial(recorded_connect, place.url, run.directory, **place.settings)
    async with (
        Load(run, connect, clients=1, tasks=1, accounts=40) as load,
        Crew(place, run, load.store, lease=_LEASE) as crew,
    ):
        await _long_ago(load.store, _PAST if run.count <= _QUICK else _LONG_PAST)
        for view in (LEDGER, SUMMARY):
            await crew.start(view)
        outcome.violations += await behind(load.store, [LEDGER, SUMMARY])
        async with _Reader(load.store, place) as reader:
            for view, kills in ((LEDGER, run.count // 2), (SUMMARY, run.count - run.count // 2)):
                random = run.random(f"rebuilds of {view}")
                await _rebuilt(crew, load.store, view, kills, outcome, random)
            outcome.violations += await behind(load.store, [LEDGER, SUMMARY])
        await load.finish(outcome)
        outcome.violations += await behind(load.store, [LEDGER, SUMMARY])
        outcome.violations += crew.ended_by_themselves()
        await crew.dismiss()
        outcome.violations += [
            *await reader.misled(),
            *await wrong_views(load.store, place),
        ]
        outcome.notes.append(f"the views were read {len(reader.seen):,} times meanwhile")
    return outcome


async def _long_ago(store: Store, saves: int) -> None:
    """A history to go through."""
    accounts = Repository(store, Account)
    for number in range(saves):
        account = Account(f"long-ago-{number}")
        account.move(*range(MANY))
        await accounts.save(account)


async def _rebuilt(
    crew: Crew, store: Store, view: str, kills: int, outcome: Outcome, random: Random
) -> None:
    """One process after the other goes on with the same new view, until it is in place."""
    end = await store.watermark()
    (old,) = await store.backend.checkpoints.status(view)
    start = time.monotonic()
    steps = end // _BATCH // (kills + 1)  # of each rebuilder, so that none comes to the end
    reached = 0
    for _ in range(kills):
        point = f"{random.choice(_POINTS)}:{random.randint(2, steps)}"
        rebuilder = await crew.start(view, "--rebuild", "--batch", str(_BATCH), at=point)
        await _end_of(rebuilder)
        if rebuilder.ended != -signal.SIGKILL:
            outcome.violations.append(
                f"a rebuild of {view!r} has ended ({rebuilder.ended}): {rebuilder.told()}"
            )
            return
        await crew.dismiss(rebuilder)
        outcome.faults[f"kill -9 in the rebuild of the {view}"] += 1
        found = await store.backend.checkpoints.status(view)
        filling = [each for each in found if each.generation == old.generation + 1]
        if not filling or filling[0].position <= reached:
            outcome.violations.append(f"the rebuild of {view!r} is still at {reached}: {found}")
            return
        reached = filling[0].position
    rebuilder = await crew.start(view, "--rebuild")
    await _end_of(rebuilder)
    if rebuilder.ended != 0:
        outcome.violations.append(
            f"the rebuild of {view!r} did not end well ({rebuilder.ended}): {rebuilder.told()}"
        )
    await crew.dismiss(rebuilder)
    status = await store.backend.checkpoints.status(view)
    if [(each.generation, each.state) for each in status] != [(old.generation + 1, "active")]:
        outcome.violations.append(f"after its rebuild {view!r} is {status}")
    outcome.notes.append(
        f"the {view} of {await store.watermark():,} events was rebuilt in "
        f"{time.monotonic() - start:.0f} s, with {kills} kills; {end:,} were there when it began"
    )


async def _end_of(rebuilder: Member) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2 * PATIENCE):
            await rebuilder.wait()


class _Glance(msgspec.Struct, frozen=True):
    """What a reader saw: a view of so many events, whose amounts are so much in all."""

    view: str
    events: int
    total: int


class _Reader:
    """Reads the views again and again; use it with ``async with``.

    Attributes:
        seen: What it saw.
    """

    def __init__(self, store: Store, place: Place) -> None:
        self.seen: list[_Glance] = []
        self._store = store
        self._url = place.url
        entries, sums = ledger_in(place).tables
        self._query = f"""SELECT count(*), sum(amount),
            (SELECT sum(count) FROM {sums}), (SELECT sum(total) FROM {sums}) FROM {entries}"""
        self._refused: list[str] = []
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._task is not None
        self._stop.set()
        await self._task

    async def misled(self) -> list[str]:
        """What it saw that no view was to show: all is the fold of the log up to some event."""
        entries = await expected_entries(self._store)
        sums = [0, *accumulate(entry.amount for entry in entries)]
        wrong = list(self._refused)
        last = {LEDGER: 0, SUMMARY: 0}
        for each in self.seen:
            if each.events < last[each.view]:
                wrong.append(f"a reader saw {each} after one of {last[each.view]} events")
            elif each.total != sums[each.events]:
                wrong.append(f"a reader saw {each}, but these events give {sums[each.events]}")
            last[each.view] = each.events
        return wrong[:5]

    async def _read(self) -> None:
        session = await asyncpg.connect(self._url)
        try:
            while not self._stop.is_set():
                await self._look(session)
                await asyncio.sleep(_LOOK)
        except (HithertoError, asyncpg.PostgresError) as error:
            self._refused.append(f"a reader was refused: {error!r}")
        finally:
            await session.close()

    async def _look(self, session: Any) -> None:
        count, amount, counts, total = await session.fetchrow(self._query)
        self.seen.append(_Glance(LEDGER, count, int(amount)))
        if (count, amount) != (counts, total):
            self._refused.append(f"a reader saw {count} entries and sums of {counts}")
        documents = (await self._store.documents(Summary).find()).values()
        events, total = (sum(getattr(d, each) for d in documents) for each in ("count", "total"))
        self.seen.append(_Glance(SUMMARY, events, total))


ROW = Row(
    title="Views rebuilt under load, the rebuild killed (`kill -9`) and begun again",
    promises="3, 5",
    run=run,
    full=20,
    quick=_QUICK,
)
