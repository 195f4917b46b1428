"""Two versions of the code that fold the same aggregates."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from hitherto import Aggregate, Event, EventStoreUnavailable, Repository, Store, connect
from hitherto.application.comparing import Compared, Pair, compare
from hitherto.application.folding import Folding, Moment, Outcome
from hitherto.application.records import Snapshot
from hitherto.application.refolding import all_ids
from hitherto.application.store import utc_now
from hitherto.infrastructure.memory import MemoryStore

Kind = Callable[[str], Aggregate[Any]]


class Grew(Event):
    by: int


class Tree(Aggregate[Grew]):
    height: int = 0
    rings: int = 0

    def grow(self, by: int) -> None:
        self.record(Grew(by=by))

    def apply(self, event: Grew) -> None:
        self.height += event.by
        self.rings += 1


class OnTheWay(Tree, type="Tree"):
    """It is too high by one from the second event on, until the fourth."""

    def apply(self, event: Grew) -> None:
        super().apply(event)
        self.height += {2: 1, 4: -1}.get(self.rings, 0)


class Random(Tree, type="Tree"):
    """Its state is not the fold of its events."""

    def apply(self, event: Grew) -> None:
        super().apply(event)
        self.height = random.randrange(2**60)


class Late(Tree, type="Tree"):
    """After the third and the fourth event it cannot be written."""

    def apply(self, event: Grew) -> None:
        self.rings += 1
        self.height = object() if self.rings in {3, 4} else self.rings  # type: ignore[assignment]


async def nothing() -> None:
    pass


Step = Callable[[], Awaitable[object]]


class Spy:
    """A side that remembers what it was asked, and does something before and after it folds."""

    def __init__(self, folding: Folding, before: Step = nothing, after: Step = nothing) -> None:
        self._folding = folding
        self._before = before
        self._after = after
        self.batches: list[Sequence[str]] = []

    async def outcomes(self, ids: Sequence[str]) -> Sequence[Outcome]:
        self.batches.append(ids)
        await self._before()
        found = await self._folding.outcomes(ids)
        await self._after()
        return found

    async def traces(self, ids: Sequence[str]) -> Sequence[Sequence[bytes]]:
        return await self._folding.traces(ids)

    async def moments(self, places: Sequence[tuple[str, int]]) -> Sequence[Moment]:
        return await self._folding.moments(places)


@pytest.fixture
def store() -> Store:
    return Store(MemoryStore(), clock=utc_now)


async def grown(store: Store, events: int, *names: str) -> None:
    """Trees with so many events."""
    trees = Repository(store, Tree, snapshot_every=None)
    for name in names:
        tree = Tree(name)
        for _ in range(events):
            tree.grow(1)
        await trees.save(tree)


def folding(store: Store, kind: Kind) -> Folding:
    return Folding(Repository(store, kind), Tree.definition.fields)


async def compared(store: Store, *pairs: Pair, show: int = 10) -> Compared:
    return await compare(
        store.backend, "Tree", pairs, all_ids(store.backend.aggregate_ids, "Tree"), show=show
    )


async def test_only_the_last_states_count(store: Store) -> None:
    """One that was otherwise on the way and is equal in the end is equal."""
    await grown(store, 1, "t-1")
    await grown(store, 3, "t-3")
    await grown(store, 4, "t-4")
    found = await compared(store, Pair(folding(store, Tree), folding(store, OnTheWay)))
    (difference,) = found.differences
    assert (difference.aggregate_id, difference.version, found.differing) == ("t-3", 2, 1)


async def test_an_event_between_the_two_folds_is_no_difference(store: Store) -> None:
    """The store may be in use."""
    await grown(store, 1, "t-1")
    appended = asyncio.Event()

    async def append() -> None:
        await Repository(store, Tree).update("t-1", lambda tree: tree.grow(1))
        appended.set()

    for new, differing in ((Tree, 0), (OnTheWay, 1)):
        appended.clear()
        first = Spy(folding(store, Tree), after=append)
        second = Spy(folding(store, new), before=appended.wait)
        found = await compared(store, Pair(first, second))
        assert (found.aggregates, found.differing) == (1, differing)


async def test_code_that_gives_another_state_each_time_is_told(store: Store) -> None:
    """Since its first event, if not by its fields."""
    await grown(store, 2, "t-1")
    found = await compared(store, Pair(folding(store, Random), folding(store, Random)))
    assert (found.differing, found.differences[0].version) == (1, 1)


async def test_code_that_fails_one_time_and_not_the_other_is_told(store: Store) -> None:
    """As code that gives another state each time, for that is what it does."""
    await grown(store, 4, "t-1")
    failing = True

    class Flaky(Tree, type="Tree"):
        def apply(self, event: Grew) -> None:
            super().apply(event)
            if failing and self.rings == 3:
                raise OSError("for a moment")

    async def mend() -> None:
        nonlocal failing
        failing = False

    found = await compared(
        store, Pair(folding(store, Tree), Spy(folding(store, Flaky), after=mend))
    )
    (difference,) = found.differences
    assert (difference.version, difference.fields, difference.new_error) == (3, (), None)


async def test_a_state_that_cannot_be_written_is_told(store: Store) -> None:
    """As a failure at that version."""
    await grown(store, 4, "t-4")
    await grown(store, 5, "t-5")
    found = await compared(store, Pair(folding(store, Tree), folding(store, Late)))
    (difference,) = found.differences
    assert (difference.aggregate_id, difference.version) == ("t-4", 3)
    assert difference.old_error is None
    assert difference.new_error is not None
    assert difference.new_error.startswith("EventSerializationFailed: ")


async def test_snapshots_are_not_read(store: Store) -> None:
    """They may be wrong, and are of one version only."""
    await grown(store, 3, "t-1")
    trees = Repository(store, Tree)
    fingerprint = trees._snapshots.fingerprint
    assert fingerprint is not None
    wrong = Snapshot(
        aggregate_id="t-1", aggregate_type="Tree", version=3, fingerprint=fingerprint,
        data='{"height":99,"rings":3}',
    )  # fmt: skip
    assert await store.backend.save_snapshot(wrong)
    assert (await trees.load("t-1")).height == 99
    (outcome,) = await folding(store, Tree).outcomes(["t-1"])
    (moment,) = await folding(store, Tree).moments([("t-1", 3)])
    assert outcome.version == 3
    assert bytes(moment.fields["height"]) == b"3"


async def test_a_batch_holds_a_bounded_number_of_events(store: Store) -> None:
    """A thousand short aggregates, but few of the long ones."""
    await grown(store, 1000, *(f"a-{number:02}" for number in range(40)))
    await grown(store, 1, *(f"b-{number:04}" for number in range(3000)))
    spy = Spy(folding(store, Tree))
    found = await compared(store, Pair(spy, folding(store, Tree)))
    assert (found.aggregates, found.events) == (3040, 43_000)
    assert [each for batch in spy.batches for each in batch] == sorted(
        await store.backend.aggregate_ids("Tree", limit=10_000)
    )
    long, short = ([len(ids) for ids in spy.batches if ids[-1][0] == each] for each in "ab")
    assert max(long) == 16  # until one batch has been folded
    assert max(long[2:]) <= 5
    assert max(short) == 1000


async def test_pairs_share_the_work(store: Store) -> None:
    """Each aggregate is folded by one of them."""
    await grown(store, 1, *(f"t-{number:03}" for number in range(200)))
    spies = [Spy(folding(store, Tree)) for _ in range(3)]
    found = await compared(store, *(Pair(each, folding(store, Tree)) for each in spies))
    assert found.aggregates == 200
    assert all(each.batches for each in spies)
    dealt = [name for each in spies for batch in each.batches for name in batch]
    assert len(dealt) == len(set(dealt)) == 200


async def test_a_side_that_fails_ends_it_all(store: Store) -> None:
    """With its own error."""
    await grown(store, 1, "t-1")

    async def fail() -> None:
        raise EventStoreUnavailable("gone")

    with pytest.raises(EventStoreUnavailable, match="gone"):
        await compared(store, Pair(folding(store, Tree), Spy(folding(store, Tree), fail)))


async def test_there_may_be_nothing_to_compare(store: Store) -> None:
    """No aggregate, no difference."""
    found = await compared(store, Pair(folding(store, Tree), folding(store, OnTheWay)))
    assert (found.aggregates, found.events, found.differing) == (0, 0, 0)


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    path = tmp_path / "trees.db"
    async with connect(f"sqlite:///{path}") as store:
        await grown(store, 2, "t-1", "t-2", "t-3")
    return path


async def test_an_event_that_the_store_cannot_read_costs_its_aggregate_alone(file: Path) -> None:
    """It fails in both; the others of its batch are compared."""
    connection = apsw.Connection(str(file))
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    connection.execute(
        "UPDATE event_store SET event_data = CAST(x'ff' AS TEXT) WHERE aggregate_id = 't-2'"
    )
    connection.close()
    async with connect(f"sqlite:///{file}") as store:
        found = await compared(store, Pair(folding(store, Tree), folding(store, OnTheWay)))
    assert [each.aggregate_id for each in found.differences] == ["t-1", "t-3"]
    (failure,) = found.failures
    assert (failure.aggregate_id, failure.version) == ("t-2", 0)
    assert failure.error.startswith("EventSerializationFailed: ")
