"""Many fines into a store, fast, and again after a break."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from hitherto import AggregateVersionConflict, PastEvent, Repository
from hitherto.examples.traffic_fines.events import FineEvent
from hitherto.examples.traffic_fines.log import fine_of
from hitherto.examples.traffic_fines.model import Fine

PER_TRANSACTION = 100
CONCURRENCY = 2


@dataclass(slots=True)
class Imported:
    """What an import has stored so far.

    Attributes:
        fines: Fines stored.
        events: Their events.
        skipped: Fines that were there before.
    """

    fines: int = 0
    events: int = 0
    skipped: int = 0


async def import_fines(
    fines: Repository[Fine],
    lines: Iterable[str],
    *,
    prefix: str = "",
    per_transaction: int = PER_TRANSACTION,
    concurrency: int = CONCURRENCY,
    progress: Callable[[Imported], None] = lambda _: None,
) -> Imported:
    """Store the fines of a log, some in one transaction, by commands; skip those that are there.

    Args:
        fines: Where to.
        lines: The log.
        prefix: Put before the log's own ids.
        per_transaction: How many fines share a transaction: all of them or none are stored.
        concurrency: How many transactions may be under way at once.
        progress: Told after each transaction.
    """
    done = Imported()
    chunks = _chunks(lines, per_transaction)

    async def work() -> None:
        for chunk in chunks:
            new = await _save_new(fines, [fine_of(line, prefix=prefix) for line in chunk])
            done.fines += len(new)
            done.events += sum(fine.version for fine in new)
            done.skipped += len(chunk) - len(new)
            progress(done)

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(concurrency):
                workers.create_task(work())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return done


def history_of(lines: Iterable[str]) -> Iterator[PastEvent[FineEvent]]:
    """The events that the commands of a log lead to, for `Store.import_events`."""
    for line in lines:
        fine = fine_of(line)
        for version, event in enumerate(fine.pending, 1):
            yield PastEvent(
                event=event,
                aggregate_id=fine.id,
                aggregate_type=Fine.definition.aggregate_type,
                version=version,
                occurred_at=event.at,
            )


async def _save_new(fines: Repository[Fine], chunk: list[Fine]) -> list[Fine]:
    """Save all; if some are stored already, which a conflict tells, the others."""
    try:
        await fines.save_all(*chunk)
    except AggregateVersionConflict:
        stored = await fines.load_many(fine.id for fine in chunk)
        chunk = [fine for fine in chunk if fine.id not in stored]
        await fines.save_all(*chunk)
    return chunk


def _chunks(lines: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(lines)
    while chunk := list(islice(rest, size)):
        yield chunk
