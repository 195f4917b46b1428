"""The sync face does what the async one does, from any thread."""

import asyncio
import inspect
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.unit.sync_world import Counted, Counter, Following, Named, Person

import hitherto
from hitherto import sync
from hitherto.application.records import LogPage
from hitherto.infrastructure import background
from hitherto.sync import (
    AggregateVersionConflict,
    ConfigurationError,
    EventSerializationFailed,
    InvalidInput,
    Metadata,
    Repository,
    Store,
    connect,
    metadata_context,
)

READERS = ["DocumentReader", "TotalsReader", "Subscription"]
ALSO = {
    "Store": ["subscribe", "documents", "totals"],
    "CommandBus": ["route", "register"],
    "ProjectionWorker": ["stop"],
    "Subscription": ["stop"],
}
"""What is not awaited there either."""


@pytest.fixture
def store() -> Iterator[Store]:
    with connect("memory:") as store:
        yield store


@pytest.fixture
def counters(store: Store) -> Repository[Counter]:
    return Repository(store, Counter)


class TestTheSameNames:
    def test_every_public_name_is_here(self) -> None:
        """`hitherto.sync` can be imported in place of `hitherto`."""
        assert set(sync.__all__) == {*hitherto.__all__, "WouldDeadlock"}
        changed = {name for name in hitherto.__all__ if vars(sync)[name] != vars(hitherto)[name]}
        assert changed == {
            "CommandBus",
            "DocumentReader",
            "ProjectionWorker",
            "Reactions",
            "Repository",
            "Store",
            "Subscription",
            "TotalsReader",
            "connect",
            "live",
            "log_commands",
            "measure_commands",
        }

    @pytest.mark.parametrize(
        "name", ["Store", "Repository", "CommandBus", "ProjectionWorker", *READERS]
    )
    def test_methods_have_the_same_parameters(self, name: str) -> None:
        """Whatever is awaited there is called here, with the same arguments and result."""
        ours, theirs = vars(sync)[name], vars(hitherto)[name]
        names = [
            method
            for method, function in vars(theirs).items()
            if method in ALSO.get(name, ()) or (not method.startswith("_") and is_async(function))
        ]
        assert names
        for each in names:
            assert signature_of(getattr(ours, each)) == signature_of(getattr(theirs, each)), each

    @pytest.mark.parametrize(
        "name",
        [
            "CommandBus",
            "ProjectionWorker",
            "Reactions",
            "Repository",
            "Subscription",
            "connect",
            "live",
            "log_commands",
            "measure_commands",
        ],
    )
    def test_construction_has_the_same_parameters(self, name: str) -> None:
        """A repository takes what the async one takes, connect is called alike, and so on."""
        assert signature_of(vars(sync)[name]) == signature_of(vars(hitherto)[name])

    def test_a_wrong_url_is_refused_at_once(self) -> None:
        """As by the async connect, before anything is opened."""
        with pytest.raises(ConfigurationError):
            connect("oracle://somewhere")

    def test_snapshots_are_taken_as_there(self, store: Store) -> None:
        """The repository's settings arrive."""
        counters = Repository(store, Counter, snapshot_when=lambda counter, _: counter.total > 1)
        counter = Counter.start("c-1", 2)
        counters.save(counter)
        assert not counters.snapshot(counter)
        with pytest.raises(InvalidInput):
            Repository(store, Counter, snapshot_every=0)


def is_async(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def signature_of(function: Callable[..., Any]) -> str:
    """Its parameters, defaults and annotations, without what is async by nature."""
    plain = str(inspect.signature(function)).replace("Async", "").replace("'", "")
    plain = re.sub(r"hitherto\.(application|sync)\.\w+\.|typing\.|collections\.abc\.", "", plain)
    plain = re.sub(r"~\w|\b[DP]\b", "Any", plain)
    plain = re.sub(r"Awaitable\[(.+?)\]", r"\1", plain)
    plain = re.sub(r"Union\[(.+?), (type.+?), str\]", r"\1 | \2 | str", plain)
    return re.sub(r"(Iterable\[.+?\]\]+) \| \1", r"\1", plain)


class TestAProgramWithoutAwait:
    def test_aggregates_are_saved_loaded_and_changed(self, counters: Repository[Counter]) -> None:
        """Every method of the repository gives what its async sibling gives."""
        counter = Counter.start("c-1")
        assert counters.save(counter, metadata=Metadata(actor="ada")) == 1
        assert counters.update("c-1", lambda counter: counter.count(2)) == 3
        assert counters.load("c-1").total == 3
        assert counters.load("c-1", 1).total == 1
        assert (counters.exists("c-1"), counters.exists("c-2")) == (True, False)
        history = counters.history("c-1")
        assert [recorded.event for recorded in history] == [Counted(by=1), Counted(by=2)]
        assert [recorded.metadata.actor for recorded in history] == ["ada", None]
        assert counters.snapshot(counters.load("c-1"))
        assert counters.health_check().backend == "memory"

    def test_several_are_saved_together(self, store: Store, counters: Repository[Counter]) -> None:
        """In one transaction, whatever their types."""
        people = Repository(store, Person)
        person = Person("p-1")
        person.record(Named(name="Ada"))
        assert counters.save_all(Counter.start("c-1"), person) == (1, 2)
        assert people.load("p-1").name == "Ada"
        assert set(counters.load_many(["c-1", "c-2"])) == {"c-1"}

    def test_the_store_is_read(self, store: Store, counters: Repository[Counter]) -> None:
        """One stream, the log, the watermark and the health."""
        counters.save_all(Counter.start("c-1"), Counter.start("c-2", 5))
        counters.update("c-1", Counter.count)
        assert [recorded.version for recorded in store.read("c-1", backward=True)] == [2, 1]
        assert [recorded.position for recorded in store.read_all(after=1)] == [2, 3]
        assert store.watermark() == 3
        assert store.health_check().status == "degraded"

    async def test_it_runs_where_a_loop_is_running(self, counters: Repository[Counter]) -> None:
        """As in a notebook: the calling thread's own loop is in nobody's way."""
        assert asyncio.get_running_loop().is_running()
        counters.save(Counter.start("c-1"))
        assert counters.update("c-1", Counter.count) == 2


class TestTheLog:
    def fill(self, counters: Repository[Counter], events: int) -> None:
        counter = Counter("c-1")
        for number in range(events):
            counter.count(number)
        counters.save(counter)

    def test_it_is_read_page_by_page(self, counters: Repository[Counter]) -> None:
        """All of it comes, in order, and never more than one page at a time."""
        self.fill(counters, 2500)
        limits: list[int] = []

        class Paging(Following):
            async def read_all(self, *, limit: int = 1000, **filters: Any) -> LogPage:
                limits.append(limit)
                return await super().read_all(limit=limit, **filters)

        store = Store(lambda: hitherto.Store(Paging(counters.store)))
        Repository(store, Counter)
        log = store.read_all()
        assert limits == []
        assert next(log).position == 1
        assert len(limits) == 1
        assert [recorded.position for recorded in log] == list(range(2, 2501))
        assert limits == [1000] * 3

    def test_an_abandoned_reader_leaves_nothing_behind(
        self, store: Store, counters: Repository[Counter]
    ) -> None:
        """No task stays on the loop, and no generator is left to the garbage collector."""
        self.fill(counters, 1200)
        for _ in range(3):
            for recorded in store.read_all():
                if recorded.position == 1100:
                    break

        async def others() -> int:
            return len(asyncio.all_tasks()) - 1

        assert store._run(others) == 0

    def test_it_is_filtered(self, store: Store, counters: Repository[Counter]) -> None:
        """By event types and aggregate types."""
        Repository(store, Person)
        person = Person("p-1")
        person.record(Named(name="Ada"))
        counters.save_all(Counter.start("c-1"), person)
        by_event = store.read_all(event_types=["Named"])
        assert [recorded.aggregate_id for recorded in by_event] == ["p-1"]
        by_aggregate = store.read_all(aggregate_types=["Counter"])
        assert [recorded.aggregate_id for recorded in by_aggregate] == ["c-1"]

    def test_events_before_an_unknown_one_are_given(
        self, store: Store, counters: Repository[Counter]
    ) -> None:
        """As by the async reader: the error comes in its place, not a page too early."""
        self.fill(counters, 3)
        other = Store(lambda: hitherto.Store(Following(store)))
        person = Person("p-1")
        person.record(Named(name="Ada"))
        Repository(other, Person).save(person)
        seen: list[int] = []
        with pytest.raises(EventSerializationFailed, match="Person"):
            seen.extend(recorded.position for recorded in store.read_all())
        assert seen == [1, 2, 3]


class TestTheCaller:
    def test_its_context_is_inherited(self, counters: Repository[Counter]) -> None:
        """Metadata set in the calling thread goes with its saves, and with no other thread's."""

        def save(actor: str) -> None:
            with metadata_context(actor=actor):
                counters.save(Counter.start(f"c-{actor}"))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(save, [str(number) for number in range(40)]))
        for number in range(40):
            (recorded,) = counters.history(f"c-{number}")
            assert recorded.metadata.actor == str(number)

    def test_commands_run_in_its_thread(self, counters: Repository[Counter]) -> None:
        """So they see its thread-locals, may block, and may call the sync face themselves."""
        counters.save(Counter.start("c-1"))
        counters.save(Counter.start("c-2", 7))
        threads: list[int] = []

        def command(counter: Counter) -> int:
            threads.append(threading.get_ident())
            return counter.count(counters.load("c-2").total)

        assert counters.update("c-1", command) == 8
        assert threads == [threading.get_ident()]

    def test_lazy_ids_are_run_in_its_thread(self, counters: Repository[Counter]) -> None:
        """A queryset or a generator may use the sync face itself."""
        counters.save(Counter.start("c-1"))
        assert set(counters.load_many(each for each in ["c-1"] if counters.exists(each))) == {"c-1"}

    def test_updates_are_tried_again(self, counters: Repository[Counter]) -> None:
        """Another writer's event in between costs an attempt, never the update."""
        counters.save(Counter.start("c-1"))
        rivals = iter([1, 1, 0])

        def command(counter: Counter) -> int:
            if next(rivals):
                counters.update("c-1", Counter.count)
            return counter.count(10)

        assert counters.update("c-1", command) == 13

    def test_updates_give_up(self, counters: Repository[Counter]) -> None:
        """After as many attempts as were asked for, with the conflict."""
        counters.save(Counter.start("c-1"))
        tried: list[int] = []

        def command(counter: Counter) -> None:
            tried.append(counter.total)
            counters.update("c-1", Counter.count)
            counter.count()

        with pytest.raises(AggregateVersionConflict):
            counters.update("c-1", command, attempts=3)
        assert tried == [1, 2, 3]

    def test_async_commands_are_refused(self, counters: Repository[Counter]) -> None:
        """As by the async face, and nothing is saved."""
        counters.save(Counter.start("c-1"))

        async def command(counter: Counter) -> None:
            counter.count()

        with pytest.raises(TypeError, match="awaitable"):
            counters.update("c-1", command)  # type: ignore[unused-coroutine]
        assert counters.load("c-1").version == 1

    def test_many_threads_work_at_once(self, counters: Repository[Counter]) -> None:
        """Every acknowledged update of every thread is there."""
        counters.save_all(*(Counter.start(f"c-{number}", 0) for number in range(4)))
        with ThreadPoolExecutor(16) as pool:
            list(
                pool.map(
                    lambda number: counters.update(f"c-{number % 4}", Counter.count, attempts=1000),
                    range(200),
                )
            )
        assert [counters.load(f"c-{number}").total for number in range(4)] == [50] * 4

    def test_a_fresh_process_is_started_by_many_threads_at_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They come to share one loop."""
        monkeypatch.setattr(background, "_backgrounds", {})
        ready = threading.Barrier(8)

        def loop_of(_: int) -> int:
            store = connect("memory:")
            ready.wait()

            async def here() -> int:
                return id(asyncio.get_running_loop())

            return store._run(here)

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(loop_of, range(8)))) == 1
