"""Import a whole log of fines through the commands, then check every fine against the file.

    python examples/traffic_fines/import_all.py LOG.jsonl.gz sqlite:///fines.db
    python examples/traffic_fines/import_all.py LOG.jsonl.gz postgresql://localhost/fines

It may be broken off and run again: events that are stored already are skipped. It exits with
status 1 and says which fine differs, if one does.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from pathlib import Path

from hitherto import Imported, Repository, Store, connect
from hitherto.examples.traffic_fines import (
    Fine,
    FineEvent,
    PaymentReceived,
    activity_of,
    fine_of,
    history_of,
    line_of,
    read_lines,
)

CHUNK = 500


@dataclass
class Totals:
    """What a log comes to."""

    activities: Counter[str] = field(default_factory=Counter[str])
    paid: Decimal = Decimal(0)


async def main(log: Path, url: str) -> bool:
    async with connect(url) as store:
        fines = Repository(store, Fine)
        started = time.perf_counter()
        done = await store.import_events(history_of(read_lines(log)), progress=show)
        seconds = time.perf_counter() - started
        print(
            f"\nimported {done.written:,} events in {seconds:.1f} s "
            f"({done.written / seconds:,.0f} events/s); {done.skipped:,} were there"
        )
        return await check_totals(store, log) & await check_fines(fines, log)


def show(done: Imported) -> None:
    print(f"\r{done.written + done.skipped:,} events", end="", file=sys.stderr)


async def check_totals(store: Store, log: Path) -> bool:
    """Counts by activity and the sum of the payments, from the store's whole log and the file."""
    started = time.perf_counter()
    stored = Totals()
    async for recorded in store.read_all(aggregate_types=["Fine"]):
        assert isinstance(recorded.event, FineEvent)
        stored.activities[activity_of(recorded.event)] += 1
        if isinstance(recorded.event, PaymentReceived):
            stored.paid += recorded.event.amount
    seconds = time.perf_counter() - started
    events = stored.activities.total()
    print(f"read {events:,} events in {seconds:.1f} s ({events / seconds:,.0f} events/s)")
    told = totals_of(log)
    for activity, count in told.activities.most_common():
        print(f"  {activity:40} {count:8,}  stored {stored.activities[activity]:8,}")
    print(f"  {'paid, in euros':40} {told.paid:,}  stored {stored.paid:,}")
    return stored == told


def totals_of(log: Path) -> Totals:
    """From the file alone: nothing of the model takes part."""
    totals = Totals()
    for line in read_lines(log):
        for event in json.loads(line, parse_float=Decimal)["events"]:
            totals.activities[event["activity"]] += 1
            totals.paid += Decimal(event.get("paymentAmount", 0))
    return totals


async def check_fines(fines: Repository[Fine], log: Path) -> bool:
    """Each fine, reloaded, against the fold of its line; its history, against the line itself."""
    started = time.perf_counter()
    checked = different = 0
    for lines in chunks(log):
        expected = [fine_of(line) for line in lines]
        stored = await fines.load_many(fine.id for fine in expected)
        for line, fine in zip(lines, expected, strict=True):
            history = [recorded.event for recorded in await fines.history(fine.id)]
            checked += 1
            same = state_of(stored[fine.id]) == state_of(fine) and line_of(fine.id, history) == line
            if not same:
                different += 1
                print(f"fine {fine.id} is not what the file tells", file=sys.stderr)
    seconds = time.perf_counter() - started
    print(f"checked {checked:,} fines in {seconds:.1f} s, {different:,} differ")
    return not different


def state_of(fine: Fine) -> dict[str, object]:
    state = {name: getattr(fine, name) for name in fine.definition.fields}
    return {**state, "version": fine.version + len(fine.pending)}


def chunks(log: Path) -> Iterator[list[str]]:
    lines = (line.rstrip("\n") for line in read_lines(log))
    while chunk := list(islice(lines, CHUNK)):
        yield chunk


if __name__ == "__main__":
    sys.exit(not asyncio.run(main(Path(sys.argv[1]), sys.argv[2])))
