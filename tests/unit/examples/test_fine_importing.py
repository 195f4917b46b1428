"""Many fines into a store: counted, in transactions, and again after a break."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from decimal import Decimal
from typing import Any

import pytest

from hitherto import EventStoreUnavailable, InvalidInput, Repository, Store, connect
from hitherto.application.records import Append
from hitherto.examples.traffic_fines import (
    Fine,
    Imported,
    fine_of,
    history_of,
    import_fines,
    line_of,
    sample_lines,
)
from hitherto.infrastructure.memory import MemoryStore
from hitherto.testing import Probe

LINES = sample_lines()[:25]
IDS = [fine_of(line).id for line in LINES]
EVENTS = sum(len(fine_of(line).pending) for line in LINES)
BAD = '{"fine":"X1","events":[{"activity":"Tow Vehicle","at":"2006-07-24T00:00:00+02:00"}]}'


class Busy(Probe):
    """Counts the appends that are under way at once."""

    under_way = most = 0

    async def append(self, appends: Sequence[Append], **options: Any) -> tuple[int, ...]:
        """See `EventStore.append`."""
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        try:
            return await super().append(appends, **options)
        finally:
            self.under_way -= 1


@pytest.fixture
def probe() -> Busy:
    """A memory store's backend."""
    return Busy(MemoryStore())


@pytest.fixture
async def fines(probe: Busy) -> AsyncIterator[Repository[Fine]]:
    """The fines of a store without any."""
    async with Store(probe) as store:
        yield Repository(store, Fine)


async def stored_lines(fines: Repository[Fine], ids: Sequence[str] = IDS) -> list[str]:
    """What the store tells of some fines, in the log's words."""
    return [
        line_of(fine_id, [recorded.event for recorded in await fines.history(fine_id)])
        for fine_id in ids
    ]


async def test_a_whole_sample_is_imported() -> None:
    """All 2,000 fines, with 8,033 events."""
    async with connect("memory:") as store:
        fines = Repository(store, Fine)
        imported = await import_fines(fines, sample_lines())
        assert imported == Imported(fines=2000, events=8033, skipped=0)
        assert await store.watermark() == 8033


async def test_what_is_stored_is_what_the_log_tells(fines: Repository[Fine]) -> None:
    """Event by event, and each as of its own time."""
    await import_fines(fines, LINES)
    assert await stored_lines(fines) == LINES
    for recorded in await fines.history(IDS[0]):
        assert recorded.occurred_at == recorded.event.at


async def test_a_second_run_skips_what_is_there(fines: Repository[Fine]) -> None:
    """It stores nothing twice."""
    first = await import_fines(fines, LINES, per_transaction=10)
    second = await import_fines(fines, LINES, per_transaction=10)
    assert first == Imported(fines=25, events=EVENTS, skipped=0)
    assert second == Imported(fines=0, events=0, skipped=25)
    assert await stored_lines(fines) == LINES


async def test_a_chunk_of_which_a_part_is_there_is_completed(fines: Repository[Fine]) -> None:
    """As after a break, or a run with other chunks; the others go in together."""
    some = [LINES[3], LINES[5], LINES[24]]
    await import_fines(fines, some)
    imported = await import_fines(fines, LINES, per_transaction=10)
    there = sum(len(fine_of(line).pending) for line in some)
    assert imported == Imported(fines=22, events=EVENTS - there, skipped=3)
    assert await stored_lines(fines) == LINES


async def test_a_fine_that_has_moved_on_is_left_as_it_is(fines: Repository[Fine]) -> None:
    """The log is no news to it."""
    await import_fines(fines, LINES[:1])
    now = (await fines.load(IDS[0])).last_at
    assert now is not None
    await fines.update(IDS[0], lambda fine: fine.pay(Decimal("1.00"), at=now))
    imported = await import_fines(fines, LINES)
    assert (imported.fines, imported.skipped) == (24, 1)
    assert (await fines.load(IDS[0])).paid == 1


async def test_a_prefix_makes_other_fines(fines: Repository[Fine]) -> None:
    """The same log, twice in one store."""
    await import_fines(fines, LINES)
    imported = await import_fines(fines, LINES, prefix="run2-")
    assert imported == Imported(fines=25, events=EVENTS, skipped=0)
    assert await stored_lines(fines, [f"run2-{fine_id}" for fine_id in IDS]) == [
        line.replace('"fine":"', '"fine":"run2-') for line in LINES
    ]


async def test_an_empty_log_stores_nothing(fines: Repository[Fine], probe: Busy) -> None:
    """Nor does it ask the store for anything."""
    assert await import_fines(fines, []) == Imported()
    assert probe.calls == []


async def test_progress_is_told_after_each_transaction(fines: Repository[Fine]) -> None:
    """With the sums so far, of what was stored and of what was skipped."""
    await import_fines(fines, LINES[:10])
    told: list[tuple[int, int]] = []

    def tell(so_far: Imported) -> None:
        told.append((so_far.fines, so_far.skipped))

    await import_fines(fines, LINES, per_transaction=10, concurrency=1, progress=tell)
    assert told == [(0, 10), (10, 10), (15, 10)]


async def test_so_many_fines_share_a_transaction(fines: Repository[Fine], probe: Busy) -> None:
    """As are asked for; the last takes what is left."""
    await import_fines(fines, LINES, per_transaction=10)
    assert probe.calls == ["append"] * 3
    probe.reset()
    await import_fines(fines, LINES, prefix="x", per_transaction=1)
    assert probe.calls == ["append"] * 25


@pytest.mark.parametrize("concurrency", [1, 2, 3])
async def test_so_many_transactions_are_under_way_at_once(
    fines: Repository[Fine], probe: Busy, concurrency: int
) -> None:
    """As are asked for, and no more."""
    await import_fines(fines, LINES, per_transaction=2, concurrency=concurrency)
    assert probe.most == concurrency
    assert await stored_lines(fines) == LINES


async def test_the_error_of_a_bad_line_surfaces_as_itself(fines: Repository[Fine]) -> None:
    """Not in a group; the chunk of the line is not stored, those before it are."""
    lines = [*LINES[:15], BAD, *LINES[15:]]
    with pytest.raises(InvalidInput, match="fine X1, activity 'Tow Vehicle'"):
        await import_fines(fines, lines, per_transaction=10, concurrency=1)
    assert set(await fines.load_many(IDS)) == set(IDS[:10])
    assert await import_fines(fines, LINES) == Imported(
        fines=15, events=EVENTS - sum(len(fine_of(line).pending) for line in LINES[:10]), skipped=10
    )


async def test_an_error_of_the_store_surfaces_as_itself(
    fines: Repository[Fine], probe: Busy
) -> None:
    """Though each worker meets it."""
    probe.broken.add("append")
    with pytest.raises(EventStoreUnavailable):
        await import_fines(fines, LINES, per_transaction=5)


async def test_an_error_of_the_log_surfaces_as_itself(fines: Repository[Fine]) -> None:
    """Of a file that cannot be read on, for instance."""

    def breaking() -> Iterator[str]:
        yield from LINES[:10]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        await import_fines(fines, breaking(), per_transaction=5)


async def test_a_log_is_a_history_too(fines: Repository[Fine]) -> None:
    """It comes to the same as the saves, at the times when it all happened."""
    imported = await fines.store.import_events(history_of(LINES))
    assert imported.written == EVENTS
    for line in LINES:
        told = fine_of(line)
        recorded = await fines.history(told.id)
        assert line_of(told.id, [each.event for each in recorded]) == line
        assert [each.occurred_at for each in recorded] == [each.event.at for each in recorded]
