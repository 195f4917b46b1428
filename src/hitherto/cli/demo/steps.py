"""What the demo does; `views` shows it."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import median
from typing import Any

from hitherto import AggregateVersionConflict, RecordedEvent, Repository, Store
from hitherto.examples.traffic_fines import Fine, FineEvent, activity_of

PAYMENT = Decimal("10.00")
INSTALMENTS = 5_000
LATER = 20
_MEASUREMENTS = 5
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Moment:
    """One event of a fine, and what was outstanding after it."""

    recorded: RecordedEvent[FineEvent]
    outstanding: Decimal


@dataclass(frozen=True, slots=True)
class Race:
    """Two writers who decided on one version.

    Attributes:
        decided_on: The version that both had seen.
        winner: The name of the one who was first.
        loser: The other's.
        conflict: What the loser was told.
        settled: The fine, after the loser had used `update`.
    """

    decided_on: int
    winner: str
    loser: str
    conflict: AggregateVersionConflict
    settled: Fine


@dataclass(frozen=True, slots=True)
class Comparison:
    """A load that folds every event, and one that starts at a snapshot.

    Attributes:
        events: How many events the aggregate has.
        snapshot_at: The snapshot's version.
        full_fold: Seconds; the median of some loads.
        from_snapshot: Seconds; likewise.
        equal: Whether both led to one state.
    """

    events: int
    snapshot_at: int
    full_fold: float
    from_snapshot: float
    equal: bool


@dataclass(slots=True)
class Year:
    """The fines that were created in one year."""

    fines: int = 0
    owed: Decimal = Decimal(0)
    outstanding: Decimal = Decimal(0)


async def free_prefix(fines: Repository[Fine], first_id: str) -> str:
    """What to put before the ids, so that no earlier run has used them."""
    prefix, run = "", 1
    while await fines.exists(prefix + first_id):
        run += 1
        prefix = f"run{run}-"
    return prefix


async def count_activities(store: Store, after: int) -> Counter[str]:
    """How often the store holds each activity, from a position on."""
    counts: Counter[str] = Counter()
    async for recorded in store.read_all(after=after, aggregate_types=["Fine"]):
        if isinstance(recorded.event, FineEvent):
            counts[activity_of(recorded.event)] += 1
    return counts


async def tell_history(fines: Repository[Fine], fine_id: str) -> list[Moment]:
    """Each event of a fine, with what was outstanding after it."""
    fine = Fine(fine_id)
    moments: list[Moment] = []
    for recorded in await fines.history(fine_id):
        fine.fold([recorded])
        moments.append(Moment(recorded, fine.outstanding))
    return moments


async def race(fines: Repository[Fine], fine_id: str) -> Race:
    """Two clerks load a fine, both book a payment, both save at once; one has to decide anew."""
    now = datetime.now(UTC)
    copies = {name: await fines.load(fine_id) for name in ("Anna", "Bruno")}
    decided_on = copies["Anna"].version
    for copy in copies.values():
        copy.pay(PAYMENT, at=now)
    ends = await asyncio.gather(*map(fines.save, copies.values()), return_exceptions=True)
    outcome = dict(zip(copies, ends, strict=True))
    conflicts = {
        name: end for name, end in outcome.items() if isinstance(end, AggregateVersionConflict)
    }
    for end in ends:
        if isinstance(end, BaseException) and end not in conflicts.values():
            raise end
    ((loser, conflict),) = conflicts.items()
    (winner,) = outcome.keys() - {loser}
    await fines.update(fine_id, lambda fine: fine.pay(PAYMENT, at=now))
    return Race(decided_on, winner, loser, conflict, await fines.load(fine_id))


async def compare_snapshot(store: Store, fine_id: str) -> Comparison:
    """Load a fine that was paid in thousands of instalments, without a snapshot and with one."""
    fines = Repository(store, Fine, snapshot_every=None)
    await fines.save(_paid_in_instalments(fine_id))
    full_fold, folded = await _timed(lambda: fines.load(fine_id))
    snapshot_at = folded.version - LATER
    await fines.snapshot(await fines.load(fine_id, version=snapshot_at))
    from_snapshot, restored = await _timed(lambda: fines.load(fine_id))
    equal = restored.version == folded.version and _state(restored) == _state(folded)
    return Comparison(folded.version, snapshot_at, full_fold, from_snapshot, equal)


async def sum_years(fines: Repository[Fine], ids: Iterable[str]) -> dict[int, Year]:
    """What is owed and outstanding, by the year of a fine's creation."""
    years: dict[int, Year] = {}
    for chunk in _chunks(list(ids)):
        for fine in (await fines.load_many(chunk)).values():
            if fine.created_at is not None:
                year = years.setdefault(fine.created_at.year, Year())
                year.fines += 1
                year.owed += fine.owed
                year.outstanding += fine.outstanding
    return dict(sorted(years.items()))


def _paid_in_instalments(fine_id: str) -> Fine:
    first = datetime(2000, 1, 1, tzinfo=UTC)
    fine = Fine(fine_id)
    fine.create(Decimal(INSTALMENTS), at=first, article=7, vehicle_class="A", resource="0")
    for day in range(1, INSTALMENTS):
        fine.pay(Decimal("0.50"), at=first + timedelta(days=day))
    return fine


async def _timed(load: Callable[[], Awaitable[Fine]]) -> tuple[float, Fine]:
    seconds: list[float] = []
    fine = await load()  # Not counted: the first load may have to read the file.
    for _ in range(_MEASUREMENTS):
        started = time.perf_counter()
        fine = await load()
        seconds.append(time.perf_counter() - started)
    return median(seconds), fine


def _state(fine: Fine) -> dict[str, Any]:
    return {name: getattr(fine, name) for name in fine.definition.fields}


def _chunks(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK))
