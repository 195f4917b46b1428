"""Let the process of penalties and collections decide over a whole log, day by day.

    python examples/traffic_fines/run_collection.py LOG.jsonl.gz memory:
    python examples/traffic_fines/run_collection.py LOG.jsonl.gz postgresql://localhost/fines

What citizens, police, prefecture and judges did is taken from the log, its penalties and
collections are not: those the process decides, on a clock that is turned to the end of each day.
Then its decisions are compared with the same rules in plain Python, which they must match, and
with what the force decided. It exits with status 1 where a fine differs from the rules. The
store has to be an empty one.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

from hitherto import ProjectionWorker, Repository, Store, connect
from hitherto.application.processes import Reactions
from hitherto.examples.traffic_fines import (
    Fine,
    FineEvent,
    PenaltyAdded,
    SentToCollection,
    fine_of,
    read_lines,
)
from hitherto.examples.traffic_fines.collection import (
    ON_ITS_WAY,
    PENALTIES,
    PLACE,
    ROUNDS,
    TIME_TO_PAY,
    Collection,
    commands,
)

DAY = timedelta(days=1)
IDS = 1000


@dataclass(slots=True)
class Clock:
    """Tells the time to which it was turned last."""

    now: datetime = datetime(2000, 1, 1, tzinfo=PLACE)

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True, slots=True)
class Decided:
    """What becomes of a fine: the day and the amount of the penalty, the day of collection."""

    penalty: tuple[date, Decimal] | None = None
    collection: date | None = None


@dataclass(slots=True)
class Agreement:
    """How two sets of decisions compare, fine by fine."""

    counts: Counter[str] = field(default_factory=Counter[str])
    different: list[str] = field(default_factory=list[str])

    def add(self, fine: str, ours: Decided, theirs: Decided) -> None:
        if ours != theirs:
            self.different.append(fine)
        self.counts[f"penalty: {_compared(ours.penalty, theirs.penalty)}"] += 1
        self.counts[f"collection: {_compared(ours.collection, theirs.collection)}"] += 1


async def main(log: Path, url: str) -> bool:
    lines = list(read_lines(log))
    clock = Clock()
    async with connect(url, clock=clock) as store:
        started = time.perf_counter()
        await run(store, clock, lines, show=True)
        print(f"\n{len(lines):,} fines in {time.perf_counter() - started:.1f} s")
        decided = await decisions(store)
    by_rule, by_force = compared(lines, decided)
    for title, agreement in (("the rules", by_rule), ("the force", by_force)):
        print(f"against {title}: {len(agreement.different):,} fines differ")
        for which, count in sorted(agreement.counts.items()):
            print(f"  {which:40} {count:8,}")
    return not by_rule.different


async def run(
    store: Store, clock: Clock, lines: Iterable[str], *, batch: int = 500, show: bool = False
) -> None:
    """Tell the store what others did on each day, and let the process decide at its end."""
    reactions = Reactions(store, Collection, commands(store))
    worker = ProjectionWorker(store, reactions, batch=batch)
    fines = Repository(store, Fine, snapshot_every=None)
    for day, told in days(lines):
        if told:
            await tell(fines, told)
        clock.now = datetime(day.year, day.month, day.day, tzinfo=PLACE) + DAY
        clock.now -= timedelta(microseconds=1)
        if told or await store.backend.due_timers(reactions.name, until=clock.now, limit=1):
            await worker.catch_up()
        if show and day.day == 1:
            print(f"\r{day:%B %Y}     ", end="", file=sys.stderr)


def days(lines: Iterable[str]) -> Iterator[tuple[date, list[tuple[str, FineEvent]]]]:
    """What others did on each day from the first to the last one, as the log orders it."""
    told: list[tuple[date, str, FineEvent]] = [
        (event.at.astimezone(PLACE).date(), fine.id, event)
        for fine in map(fine_of, lines)
        for event in fine.pending
        if not isinstance(event, PenaltyAdded | SentToCollection)
    ]
    told.sort(key=lambda each: each[0])
    by_day = {
        day: [(fine, event) for _, fine, event in group]
        for day, group in groupby(told, key=lambda each: each[0])
    }
    day, last = min(by_day), max(max(by_day) + TIME_TO_PAY, ROUNDS[-1][1])
    while day <= last:
        yield day, by_day.get(day, [])
        day += DAY


async def tell(fines: Repository[Fine], told: list[tuple[str, FineEvent]]) -> None:
    """Append a day's events to their fines."""
    known = await fines.load_many({fine for fine, _ in told})
    for fine, event in told:
        known.setdefault(fine, Fine(fine)).record(event, occurred_at=event.at)
    await fines.save_all(*known.values())


async def decisions(store: Store) -> dict[str, Decided]:
    """What the store's fines tell."""
    found: dict[str, Decided] = {}
    types = ["PenaltyAdded", "SentToCollection"]
    async for recorded in store.read_all(event_types=types, aggregate_types=["Fine"]):
        event, fine = recorded.event, recorded.aggregate_id
        if isinstance(event, PenaltyAdded):
            found[fine] = Decided((_day(event.at), event.amount))
        elif isinstance(event, SentToCollection):
            found[fine] = Decided(found[fine].penalty, _day(event.at))
    return found


def compared(lines: Iterable[str], decided: dict[str, Decided]) -> tuple[Agreement, Agreement]:
    """The decisions beside those of the rules, and beside those of the force."""
    by_rule, by_force = Agreement(), Agreement()
    for line in lines:
        told = json.loads(line, parse_float=Decimal)
        ours = decided.get(told["fine"], Decided())
        by_rule.add(told["fine"], ours, rules(told["events"]))
        by_force.add(told["fine"], ours, force(told["events"]))
    return by_rule, by_force


def force(events: list[dict[str, Any]]) -> Decided:
    """What the log tells of a fine."""
    day = {each["activity"]: _day(datetime.fromisoformat(each["at"])) for each in events}
    amounts = [Decimal(each["amount"]) for each in events if each["activity"] == "Add penalty"]
    penalty = (day["Add penalty"], amounts[0]) if amounts else None
    return Decided(penalty, day.get("Send for Credit Collection"))


def rules(events: list[dict[str, Any]]) -> Decided:
    """The process's rules for one fine of the log; nothing of the model takes part."""
    first = {each["activity"]: each for each in reversed(events)}
    if "Insert Fine Notification" not in first:
        return Decided()
    amount = Decimal(first["Create Fine"]["amount"])
    owed = amount + Decimal(first["Send Fine"]["expense"])
    notified = _told_day(first["Insert Fine Notification"])
    deadline = notified + TIME_TO_PAY
    # What is under way at the moment of a decision: all that has happened by the end of the day.
    if dismissed(events, deadline) or settled(events, owed, deadline):
        return Decided()
    penalty = PENALTIES.get(amount, 2 * amount)
    raised = owed - amount + penalty
    decided = Decided((deadline, penalty))
    for last, handed_over in ROUNDS:
        if notified > last:
            continue
        if dismissed(events, handed_over):
            return decided
        in_time = paid(events, min(deadline + ON_ITS_WAY - DAY, handed_over))
        if settled(events, owed if in_time >= amount else raised, handed_over):
            return decided
        if not under_appeal(events, handed_over):
            return Decided(decided.penalty, handed_over)
    return decided


def paid(events: list[dict[str, Any]], until: date) -> Decimal:
    payments = (
        Decimal(each["paymentAmount"])
        for each in events
        if each["activity"] == "Payment" and _told_day(each) <= until
    )
    return sum(payments, Decimal(0))


def settled(events: list[dict[str, Any]], owed: Decimal, until: date) -> bool:
    return paid(events, until) >= owed


def dismissed(events: list[dict[str, Any]], until: date) -> bool:
    return any(
        (each["activity"], each.get("dismissal"))
        in {("Send Appeal to Prefecture", "#"), ("Appeal to Judge", "G")}
        and _told_day(each) <= until
        for each in events
    )


def under_appeal(events: list[dict[str, Any]], until: date) -> bool:
    """Whether the latest that is heard of an appeal to the prefecture is not its answer."""
    open_now = False
    for each in events:
        if _told_day(each) > until:
            break
        if each["activity"] in {"Insert Date Appeal to Prefecture", "Send Appeal to Prefecture"}:
            open_now = True
        elif each["activity"] == "Notify Result Appeal to Offender":
            open_now = False
    return open_now


def _compared(ours: object, theirs: object) -> str:
    if ours == theirs:
        return "neither" if ours is None else "the same"
    if ours is None or theirs is None:
        return "only theirs" if ours is None else "only ours"
    return "another day or amount"


def _told_day(told: dict[str, Any]) -> date:
    return _day(datetime.fromisoformat(told["at"]))


def _day(moment: datetime) -> date:
    return moment.astimezone(PLACE).date()


if __name__ == "__main__":
    sys.exit(not asyncio.run(main(Path(sys.argv[1]), sys.argv[2])))
