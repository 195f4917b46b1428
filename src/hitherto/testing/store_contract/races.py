"""Many writers at once, in one process."""

import asyncio

from hitherto.application.ports import Backend
from hitherto.application.records import Append
from hitherto.errors import AggregateVersionConflict, InvalidInput
from hitherto.testing.store_contract.making import (
    append_to,
    new_event,
    try_append,
    versions,
    whole_log,
)

WRITERS = 50


class RaceContract:
    """Of writers that race for one version, one wins, whole."""

    async def test_one_of_fifty_wins(self, backend: Backend) -> None:
        """The others are told the version that the winner made, and leave nothing behind."""
        appends = [append_to("thing-1", 3) for _ in range(WRITERS)]
        outcomes = await asyncio.gather(*(try_append(backend, append) for append in appends))
        won = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, int)]
        assert len(won) == 1
        lost = [each for each in outcomes if isinstance(each, AggregateVersionConflict)]
        assert {(each.expected, each.actual) for each in lost} == {(0, 3)}
        stored = await whole_log(backend)
        winner = appends[won[0]].events
        assert [event.event_id for event in stored] == [event.event_id for event in winner]
        assert [event.version for event in stored] == [1, 2, 3]

    async def test_losers_get_through_by_trying_again(self, backend: Backend) -> None:
        """Versions are 1, 2, 3 … with no gap, and each acknowledged event is there once."""
        acknowledged = await asyncio.gather(*(_insist(backend, n) for n in range(20)))
        stored = await backend.read("thing-1")
        assert [event.version for event in stored] == list(range(1, 41))
        assert {event.event_id for event in stored} == set().union(*acknowledged)
        positions = [event.position for event in stored]
        assert positions == sorted(positions)

    async def test_distinct_aggregates_do_not_disturb_each_other(self, backend: Backend) -> None:
        """All succeed."""
        positions = await asyncio.gather(
            *(backend.append([append_to(f"thing-{n}", 2)]) for n in range(WRITERS))
        )
        assert len(set(positions)) == WRITERS
        assert len(await whole_log(backend)) == 2 * WRITERS

    async def test_a_loser_does_not_spoil_its_neighbours(self, backend: Backend) -> None:
        """Where appends share a transaction, a conflict is its own append's alone."""
        await backend.append([append_to("taken")])
        appends = [append_to("taken" if n % 5 == 0 else f"thing-{n}") for n in range(WRITERS)]
        outcomes = await asyncio.gather(*(try_append(backend, append) for append in appends))
        for append, outcome in zip(appends, outcomes, strict=True):
            assert isinstance(outcome, int) == (append.aggregate_id != "taken")
        assert len(await whole_log(backend)) == 1 + WRITERS - WRITERS // 5

    async def test_groups_that_overlap_win_or_lose_whole(self, backend: Backend) -> None:
        """In whatever order they name their aggregates, and without a deadlock."""
        groups = [
            [append_to(each) for each in (("a", "b", "c") if n % 2 else ("c", "b", "a"))]
            for n in range(20)
        ]
        outcomes = await asyncio.gather(*(_try_group(backend, group) for group in groups))
        assert outcomes.count(True) == 1
        winner = groups[outcomes.index(True)]
        stored = {event.event_id for event in await whole_log(backend)}
        assert stored == {event.event_id for append in winner for event in append.events}

    async def test_one_append_sent_many_times_at_once_is_stored_once(
        self, backend: Backend
    ) -> None:
        """Each sender is told the same position."""
        append = append_to("thing-1", 3)
        positions = await asyncio.gather(*(backend.append([append]) for _ in range(20)))
        assert len(set(positions)) == 1
        assert await versions(backend, "thing-1") == [1, 2, 3]

    async def test_an_event_id_raced_for_is_stored_once(self, backend: Backend) -> None:
        """Of the aggregates that claim it one wins, the others are refused."""
        event = new_event()
        outcomes = await asyncio.gather(
            *(backend.append([append_to(f"thing-{n}", [event])]) for n in range(10)),
            return_exceptions=True,
        )
        refused = [each for each in outcomes if isinstance(each, InvalidInput)]
        assert len(refused) == 9, outcomes
        assert [stored.event_id for stored in await whole_log(backend)] == [event.event_id]

    async def test_a_reader_beside_writers_misses_nothing(self, backend: Backend) -> None:
        """Reading on from its checkpoints, it is given every event once, in order."""
        writers = asyncio.gather(*(_write_on(backend, f"thing-{n}", 10) for n in range(10)))
        seen: list[int] = []
        after = 0
        while True:
            ended = writers.done()
            page = await backend.read_all(after=after, limit=7)
            seen += [event.position for event in page.events]
            after = page.checkpoint
            if ended and len(page.events) < 7:
                break
            await asyncio.sleep(0)
        await writers
        assert seen == [event.position for event in await whole_log(backend)]
        assert len(seen) == 100


async def _insist(backend: Backend, number: int) -> set[object]:
    events = [new_event({"writer": number}) for _ in range(2)]
    version = 0
    while True:
        outcome = await try_append(backend, append_to("thing-1", events, after=version))
        if isinstance(outcome, int):
            return {event.event_id for event in events}
        version = outcome.actual


async def _try_group(backend: Backend, group: list[Append]) -> bool:
    try:
        await backend.append(group)
    except AggregateVersionConflict:
        return False
    return True


async def _write_on(backend: Backend, aggregate_id: str, count: int) -> None:
    for n in range(count):
        await backend.append([append_to(aggregate_id, after=n)])
