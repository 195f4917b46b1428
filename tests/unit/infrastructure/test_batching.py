"""Group commit, over a writer that the tests hold in their hands."""

import asyncio
import gc
import random
from collections.abc import Callable, Sequence

import pytest
from tests.acceptance.postgres_writers import an_append

from hitherto import (
    AggregateLocked,
    AggregateVersionConflict,
    EventSerializationFailed,
    EventStoreUnavailable,
)
from hitherto.application.records import Append, refusal
from hitherto.infrastructure import batching
from hitherto.infrastructure.batching import GroupCommit, Outcome


class Log:
    """A store in miniature. Every write takes a few turns of the loop; the tests read the calls.

    Attributes:
        versions: Of each aggregate.
        batches: The ids of each batch.
        alone: The id of each append that was written alone.
        fault: Called before each write; may raise.
        gate: While it is closed, no write ends.
        most: How many writes were under way at once, at most.
    """

    def __init__(self, *, lanes: int = 1, max_appends: int = 100) -> None:
        self.versions: dict[str, int] = {}
        self.batches: list[list[str]] = []
        self.alone: list[str] = []
        self.fault: Callable[[Append], None] = lambda append: None
        self.gate = asyncio.Event()
        self.gate.set()
        self.most = 0
        self.position = 0
        self._ids: set[object] = set()
        self._now: list[str] = []
        self.commit = GroupCommit(
            self.write_batch, self.write_alone, lanes=lanes, max_appends=max_appends
        )

    async def write_batch(self, appends: Sequence[Append]) -> list[Outcome]:
        self.batches.append([append.aggregate_id for append in appends])
        await self._take_time(appends)
        for append in appends:
            self.fault(append)
        return [self._outcome(append) for append in appends]

    async def write_alone(self, append: Append) -> int:
        self.alone.append(append.aggregate_id)
        await self._take_time([append])
        self.fault(append)
        outcome = self._outcome(append)
        if isinstance(outcome, int):
            return outcome
        assert isinstance(outcome, Exception)
        raise outcome

    def _outcome(self, append: Append) -> Outcome:
        head = self.versions.get(append.aggregate_id, 0)
        if head != append.expected_version:
            return refusal(append, head, "Thing")
        self.versions[append.aggregate_id] = head + len(append.events)
        self.position += len(append.events)
        return self.position

    async def _take_time(self, appends: Sequence[Append]) -> None:
        ids = [append.aggregate_id for append in appends]
        assert not set(ids) & set(self._now), "an aggregate is written twice at once"
        self._now += ids
        self.most = max(self.most, len(self._now))
        try:
            await asyncio.sleep(0)
            await self.gate.wait()
        finally:
            for each in ids:
                self._now.remove(each)

    def start(self, *appends: Append) -> "list[asyncio.Task[int]]":
        return [asyncio.create_task(self.commit.append(append)) for append in appends]


async def outcomes(tasks: "Sequence[asyncio.Task[int]]") -> list[object]:
    async with asyncio.timeout(5):
        return list(await asyncio.gather(*tasks, return_exceptions=True))


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_lone_append_is_written_at_once_by_its_caller() -> None:
    """No other task, no timer and no queue stands between."""
    log = Log()
    writing = log.commit.append(an_append("a"))
    writing.send(None)  # as far as its first wait
    assert log.alone == ["a"]
    writing.close()


async def test_appends_that_arrive_meanwhile_share_a_batch() -> None:
    """Sorted by aggregate id, each with its own answer."""
    log = Log()
    names = [f"a{number}" for number in random.sample(range(50), 50)]
    positions = await outcomes(log.start(*(an_append(name) for name in names)))
    assert log.alone == names[:1]
    assert log.batches == [sorted(names[1:])]
    assert sorted(map(int, map(str, positions))) == list(range(1, 51))


async def test_a_batch_has_at_most_so_many_appends() -> None:
    """The rest waits for the next."""
    log = Log(max_appends=10)
    await outcomes(log.start(*(an_append(f"a{number}") for number in range(26))))
    assert [len(batch) for batch in log.batches] == [10, 10, 5]


async def test_a_batch_has_at_most_so_many_events() -> None:
    """An append with more than that goes by itself."""
    log = Log()
    sizes = [1, 3000, 2000, 1, 6000, 1]
    await outcomes(log.start(*(an_append(f"a{n}", 0, size) for n, size in enumerate(sizes))))
    assert log.batches == [["a1", "a2"], ["a3"], ["a4"], ["a5"]]


async def test_a_batch_is_of_at_most_some_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted over the payloads."""
    monkeypatch.setattr(batching, "MAX_SIZE", 5)
    log = Log()
    await outcomes(log.start(*(an_append(f"a{number}") for number in range(6))))
    assert [len(batch) for batch in log.batches] == [2, 2, 1]


async def test_appends_to_one_aggregate_follow_each_other() -> None:
    """The writer's own check would see two at once."""
    log = Log(lanes=2)
    tasks = log.start(*(an_append("a", version) for version in range(5)), an_append("b"))
    assert not any(isinstance(result, Exception) for result in await outcomes(tasks))
    assert log.versions == {"a": 5, "b": 1}


async def test_a_conflict_is_its_own_appends_alone() -> None:
    """The others of the batch are written."""
    log = Log()
    results = await outcomes(log.start(an_append("a"), an_append("b", 7), an_append("c")))
    assert isinstance(results[1], AggregateVersionConflict)
    assert (results[0], results[2]) == (1, 2)
    assert len(log.batches) == 1


async def test_an_append_that_breaks_its_batch_fails_alone() -> None:
    """Each of the batch is written again by itself."""

    def fault(append: Append) -> None:
        if append.aggregate_id == "bad":
            raise EventSerializationFailed("no")

    log = Log()
    log.fault = fault
    results = await outcomes(log.start(*map(an_append, ["a", "b", "bad", "c"])))
    assert isinstance(results[2], EventSerializationFailed)
    assert log.versions == {"a": 1, "b": 1, "c": 1}
    assert sorted(log.alone) == ["a", "b", "bad", "c"]


async def test_an_outage_is_told_to_each_without_another_try() -> None:
    """What became of the batch is not known, and each caller gets an error of its own."""
    log = Log()
    first, *rest = log.start(*map(an_append, ["a", "b", "c"]))

    def fault(append: Append) -> None:
        if append.aggregate_id != "a":
            raise EventStoreUnavailable("gone") from OSError("cut")

    log.fault = fault
    results = await outcomes([first, *rest])
    assert results[0] == 1
    assert [str(result) for result in results[1:]] == ["gone", "gone"]
    assert results[1] is not results[2]
    assert isinstance(getattr(results[1], "__cause__", None), OSError)
    assert log.alone == ["a"]


@pytest.mark.parametrize("beside", [0, 3])
async def test_an_aggregate_that_is_held_costs_no_lane(beside: int) -> None:
    """Alone or in a batch, it waits outside, some times, and the others go on."""
    held = asyncio.Event()

    def fault(append: Append) -> None:
        if append.aggregate_id == "held":
            held.set()
            raise AggregateLocked("held")

    log = Log()
    log.fault = fault
    tasks = log.start(*(an_append(f"b{number}") for number in range(beside)), an_append("held"))
    await held.wait()
    assert await outcomes(log.start(*(an_append(f"c{number}") for number in range(5))))
    *others, refused = await outcomes(tasks)
    assert isinstance(refused, AggregateLocked)
    assert not any(isinstance(other, Exception) for other in others)
    assert 5 <= log.alone.count("held") <= 6


async def test_a_lock_that_is_let_go_in_time_delays_but_does_not_fail() -> None:
    """The append is tried again."""
    log = Log()
    refusals = iter(range(3))

    def fault(append: Append) -> None:
        if next(refusals, None) is not None:
            raise AggregateLocked("held")

    log.fault = fault
    assert await outcomes(log.start(an_append("a"))) == [1]


async def test_who_waits_to_write_what_was_just_written_is_refused_without_a_write() -> None:
    """Rivals on a hot aggregate cost the store nothing; a second send of one append does not."""
    log = Log()
    winner = an_append("a", 0, 2)
    tasks = log.start(winner, *(an_append("a") for _ in range(9)), an_append("a", 2))
    *results, last = await outcomes(tasks)
    conflicts = [each for each in results if isinstance(each, AggregateVersionConflict)]
    assert [(each.expected, each.actual) for each in conflicts] == [(0, 2)] * 9
    assert last == 3
    assert len(log.alone) + sum(map(len, log.batches)) == 2


async def test_an_append_that_is_sent_twice_is_no_rival_of_itself() -> None:
    """The store is asked, which knows its event ids."""
    log = Log()
    twice = an_append("a")
    await outcomes(log.start(twice, twice))
    assert len(log.alone) + sum(map(len, log.batches)) == 2


async def test_a_caller_who_gives_up_harms_no_other() -> None:
    """In the queue, its append is not written; in a batch, the others are."""
    log = Log(max_appends=2)
    log.gate.clear()
    tasks = log.start(*(an_append(f"a{number}") for number in range(5)))
    await turns()
    tasks[1].cancel()
    log.gate.set()
    await turns(1)
    results = await outcomes(tasks)
    assert isinstance(results[1], asyncio.CancelledError)
    assert sorted(log.versions) == ["a0", "a2", "a3", "a4"]

    log.gate.clear()
    tasks = log.start(*(an_append(f"b{number}") for number in range(3)))
    await turns()
    tasks[0].cancel()  # the one that its caller writes
    await turns()
    tasks[1].cancel()  # in the batch under way
    log.gate.set()
    await outcomes(tasks)
    assert "b0" not in log.versions
    assert log.versions["b2"] == 1
    await log.commit.close()


async def test_the_queue_is_bounded() -> None:
    """Whoever comes when it is full waits for room, and is written in the end."""
    log = Log(max_appends=1)
    log.gate.clear()
    tasks = log.start(*(an_append(f"a{number}") for number in range(300)))
    await turns()
    assert len(log.commit._queue) == 99
    log.gate.set()
    assert len(set(map(str, await outcomes(tasks)))) == 300


async def test_draining_waits_for_everything_that_was_taken() -> None:
    """The queue included."""
    log = Log(lanes=2, max_appends=3)
    tasks = log.start(*(an_append(f"a{number}") for number in range(20)))
    await turns(1)
    await log.commit.close()
    assert log.position == 20
    await outcomes(tasks)


async def test_closing_ends_though_more_keep_coming() -> None:
    """They are not taken any more; the store behind tells them that it is closed."""
    log = Log()

    async def work(number: int) -> None:
        for version in range(10_000):
            if ended:
                return
            await log.commit.append(an_append(f"a{number}", version))

    ended = False
    workers = [asyncio.create_task(work(number)) for number in range(20)]
    await turns()
    async with asyncio.timeout(5):
        await log.commit.close()
    ended = True
    await asyncio.gather(*workers)
    log.commit.open()
    before = len(log.batches)
    await outcomes(log.start(an_append("b"), an_append("c")))
    assert len(log.batches) == before + 1


async def test_whoever_waited_for_room_is_written_when_all_else_is_done() -> None:
    """Nobody else comes by to start a lane for it."""
    log = Log(max_appends=1)
    log.gate.clear()
    tasks = log.start(*(an_append(f"a{number}") for number in range(101)))
    last = log.start(an_append("last"))
    await turns()
    for task in tasks:
        task.cancel()
    log.gate.set()
    await outcomes(tasks)
    assert await outcomes(last) == [1]


async def test_a_writing_that_hangs_is_given_up_when_all_its_callers_have() -> None:
    """Else it would keep its lane for good."""
    log = Log()
    log.gate.clear()
    first, *rest = log.start(*map(an_append, ["a", "b", "c"]))
    await turns()
    first.cancel()
    await turns()
    assert log.batches == [["b", "c"]]
    rest[0].cancel()
    await turns()
    late = log.start(an_append("d"))
    await turns()
    assert log.batches == [["b", "c"]]
    rest[1].cancel()
    log.gate.set()
    assert await outcomes(late) == [1]
    assert log.versions == {"d": 1}


async def test_a_caller_who_gives_up_as_its_batch_is_begun_is_not_counted() -> None:
    """Its append is not written, and a hanging batch does not wait for it."""
    log = Log()
    log.gate.clear()
    first, *rest = log.start(*map(an_append, ["a", "b", "c"]))
    await turns()
    log.gate.set()
    while not log.commit._tasks:
        await turns(1)
    log.gate.clear()
    rest[0].cancel()
    await turns()
    assert log.batches == [["c"]]
    rest[1].cancel()
    await turns()
    log.gate.set()
    assert await outcomes(log.start(an_append("d"))) == [2]
    assert log.versions == {"a": 1, "d": 1}
    assert await first == 1


async def test_all_who_wait_for_an_aggregate_that_is_held_are_told_at_once() -> None:
    """One after the other, the last would wait for a long time."""

    def fault(append: Append) -> None:
        if append.aggregate_id == "held":
            raise AggregateLocked("held")

    log = Log()
    log.fault = fault
    results = await outcomes(log.start(*(an_append("held") for _ in range(12))))
    assert [str(result) for result in results] == ["held"] * 12
    assert len(set(map(id, results))) == 12
    assert log.alone.count("held") == 6


async def test_draining_ends_when_the_last_in_the_queue_have_given_up() -> None:
    """There is nothing to wait for any more."""
    log = Log()
    log.gate.clear()
    tasks = log.start(*(an_append(f"a{number}") for number in range(5)))
    await turns()
    draining = asyncio.create_task(log.commit.close())
    for task in tasks[1:]:
        task.cancel()
    await turns()
    log.gate.set()
    async with asyncio.timeout(5):
        await draining
    assert log.position == 1


async def test_when_the_loop_is_ended_so_are_those_who_wait() -> None:
    """None of them hangs."""
    log = Log()
    log.gate.clear()
    tasks = log.start(*map(an_append, ["a", "b", "c"]))
    await turns()
    log.gate.set()
    await turns(2)
    (lane,) = log.commit._tasks
    lane.cancel()
    results = await outcomes(tasks)
    assert results[0] == 1
    assert all(isinstance(result, asyncio.CancelledError) for result in results[1:])
    await log.commit.close()


@pytest.mark.parametrize("lanes", [1, 2])
async def test_after_any_storm_versions_are_contiguous_and_nothing_is_left(lanes: int) -> None:
    """Conflicts, faults, locks and cancellations at random; each acknowledged append is there."""
    dice = random.Random(lanes)
    log = Log(lanes=lanes, max_appends=5)

    def fault(append: Append) -> None:
        roll = dice.random()
        if roll < 0.03:
            raise AggregateLocked("held")
        if roll < 0.06:
            raise EventSerializationFailed("no")

    log.fault = fault
    won: dict[str, int] = {}

    async def work(number: int) -> None:
        for _ in range(20):
            name = f"a{dice.randrange(8)}"
            append = an_append(name, log.versions.get(name, 0))
            try:
                async with asyncio.timeout(dice.choice([0, 1, 1, 1])):
                    await log.commit.append(append)
                won[name] = won.get(name, 0) + 1
            except (
                AggregateVersionConflict, AggregateLocked, EventSerializationFailed, TimeoutError,
            ):  # fmt: skip
                pass

    await asyncio.gather(*map(work, range(30)))
    await log.commit.close()
    assert all(log.versions[name] >= count for name, count in won.items())
    assert len(log.commit._queue) == 0
    assert log.commit._free_lanes == lanes
    assert not log.commit._under_way
    assert log.batches


async def test_many_appends_leave_no_cycles_behind() -> None:
    """Else the garbage collector would take a good part of the time."""
    log = Log(lanes=2)
    appends = [an_append(f"a{number}") for number in range(1000)]
    gc.collect()
    gc.disable()
    try:
        await outcomes(log.start(*appends))
        assert gc.collect() < 100
    finally:
        gc.enable()


def test_it_may_be_crowded_under_one_event_loop_after_another() -> None:
    """A store is opened again under the next one."""
    log = Log(max_appends=1)

    async def crowd(name: str) -> None:
        await asyncio.gather(*(log.commit.append(an_append(f"{name}-{n}")) for n in range(200)))

    asyncio.run(crowd("a"))
    asyncio.run(crowd("b"))
    assert len(log.versions) == 400
