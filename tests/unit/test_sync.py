"""The sync face does what the async one does, from any thread and on both sides of a fork."""

import asyncio
import gc
import importlib.util
import inspect
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

import hitherto
from hitherto import sync
from hitherto.application.records import Append, Health, LogPage
from hitherto.infrastructure import background
from hitherto.infrastructure.memory import MemoryStore
from hitherto.sync import (
    Aggregate,
    AggregateNotFound,
    AggregateVersionConflict,
    ConfigurationError,
    Event,
    EventSerializationFailed,
    EventStoreUnavailable,
    HithertoError,
    InvalidInput,
    Metadata,
    Repository,
    Store,
    WouldDeadlock,
    connect,
    metadata_context,
)

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
has_sqlite = importlib.util.find_spec("hitherto.infrastructure.sqlite.store") is not None
needs_sqlite = pytest.mark.skipif(not has_sqlite, reason="the SQLite store is not there yet")


class Counted(Event):
    by: int


class Named(Event):
    name: str


class Counter(Aggregate[Counted]):
    total: int = 0

    @classmethod
    def start(cls, counter_id: str, by: int = 1) -> Self:
        counter = cls(counter_id)
        counter.count(by)
        return counter

    def count(self, by: int = 1) -> int:
        self.record(Counted(by=by))
        return self.total

    def apply(self, event: Counted) -> None:
        self.total += event.by


class Person(Aggregate[Named]):
    name: str = ""

    def apply(self, event: Named) -> None:
        self.name = event.name


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
        assert changed == {"Repository", "Store", "connect"}

    @pytest.mark.parametrize(
        ("ours", "theirs"), [(Store, hitherto.Store), (Repository, hitherto.Repository)]
    )
    def test_methods_have_the_same_parameters(self, ours: type, theirs: type) -> None:
        """Whatever is awaited there is called here, with the same arguments and result."""
        names = [
            name
            for name, method in vars(theirs).items()
            if not name.startswith("_")
            and (inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method))
        ]
        assert names
        for name in names:
            assert signature_of(getattr(ours, name)) == signature_of(getattr(theirs, name)), name

    def test_construction_has_the_same_parameters(self) -> None:
        """A repository takes what the async one takes, and connect is called alike."""
        assert signature_of(Repository) == signature_of(hitherto.Repository)
        assert signature_of(connect) == signature_of(hitherto.connect)

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


def signature_of(function: Callable[..., Any]) -> str:
    """Its parameters, defaults and annotations, without what is async by nature."""
    signature = str(inspect.signature(function))
    return signature.replace("hitherto.application.store.", "hitherto.sync.").replace("Async", "")


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
            seen.extend(_each_position(store, seen))
        assert seen == [1, 2, 3]


def _each_position(store: Store, seen: list[int]) -> Iterator[int]:
    for recorded in store.read_all():
        seen.append(recorded.position)  # noqa: PERF401  # seen one by one
    yield from ()


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
            counters.update("c-1", command)
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


class TestErrors:
    def test_they_arrive_as_they_are(self, counters: Repository[Counter]) -> None:
        """Their type, their attributes, and a traceback from the caller down to the cause."""
        with pytest.raises(AggregateNotFound) as caught:
            counters.load("c-1")
        assert caught.value.aggregate_id == "c-1"
        frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert frames[0] == "test_they_arrive_as_they_are"
        assert frames[-1] == "load"

    def test_they_are_not_kept(self, counters: Repository[Counter]) -> None:
        """A handled error goes at once, with all that its frames hold, and needs no collector."""

        class Marked(Exception):  # noqa: N818
            pass

        def fail() -> None:
            raise Marked

        store = Store(lambda: hitherto.Store(MemoryStore(), clock=fail))  # type: ignore[arg-type]
        gc.disable()
        try:
            try:
                Repository(store, Counter).save(Counter.start("c-1"))
            except Marked as error:
                kept = weakref.ref(error)
            time.sleep(0.05)  # The loop's thread may be leaving the task yet.
            assert kept() is None
        finally:
            gc.enable()

    def test_a_call_on_the_loops_own_thread_is_refused(self) -> None:
        """It would wait for itself for ever; the error says so and is a HithertoError."""

        def clock() -> Any:
            return counters.load("c-1")

        store = Store(lambda: hitherto.Store(MemoryStore(), clock=clock))
        counters = Repository(store, Counter)
        with pytest.raises(WouldDeadlock, match="its own event loop") as caught:
            counters.save(Counter.start("c-1"))
        assert isinstance(caught.value, HithertoError)
        assert isinstance(caught.value, RuntimeError)

    @pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
    def test_an_exit_inside_the_loop_does_not_end_it(self, error: type[BaseException]) -> None:
        """It goes to the caller, and the next call is served."""

        def clock() -> Any:
            raise error

        store = Store(lambda: hitherto.Store(MemoryStore(), clock=clock))
        counters = Repository(store, Counter)
        with pytest.raises(error):
            counters.save(Counter.start("c-1"))
        assert not counters.exists("c-1")

    def test_a_store_that_does_not_open_says_why(self) -> None:
        """The error is the backend's; the store stays closed, and can be opened later."""
        backend = Failing()
        store = Store(lambda: hitherto.Store(backend))
        with pytest.raises(EventStoreUnavailable), store:
            pass
        assert store not in background.background().opened
        backend.failing = False
        with store:
            assert store in background.background().opened


class Failing(MemoryStore):
    failing = True

    async def open(self) -> None:
        if self.failing:
            raise EventStoreUnavailable("no route to the host")


class Following(MemoryStore):
    """Another door to what a sync store's memory backend holds."""

    def __init__(self, store: Store) -> None:
        vars(self).update(vars(store._async.backend))


class Stuck(MemoryStore):
    """Its first append, or the rest of it, takes for ever."""

    def __init__(self, *, stored: bool = False) -> None:
        super().__init__()
        self.stored = stored
        self.reached = threading.Event()
        self.cancelled = False

    async def append(self, appends: Sequence[Append]) -> tuple[int, ...]:
        if self.reached.is_set():
            return await super().append(appends)
        if self.stored:
            await super().append(appends)
        self.reached.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        raise AssertionError


class TestInterrupts:
    @pytest.mark.parametrize("stored", [False, True])
    def test_ctrl_c_cancels_the_operation(self, stored: bool) -> None:
        """The loop lets go of it before the caller goes on, and the save may be repeated."""
        backend = Stuck(stored=stored)
        store = Store(lambda: hitherto.Store(backend))
        counters = Repository(store, Counter)
        counter = Counter.start("c-1")
        with interrupted_when(backend.reached), pytest.raises(KeyboardInterrupt):
            counters.save(counter)
        assert backend.cancelled
        assert counter.pending == (Counted(by=1),)
        assert counters.save(counter) == 1
        assert [recorded.version for recorded in counters.history("c-1")] == [1]


@contextmanager
def interrupted_when(reached: threading.Event) -> Iterator[None]:
    """Sends Ctrl-C to the main thread, which has to be the caller."""
    main = threading.get_ident()
    assert main == threading.main_thread().ident

    def interrupt() -> None:
        reached.wait()
        time.sleep(0.05)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        thread.join()


class Spy(MemoryStore):
    """Notes in a file which process does what to it; each process that forked has a copy."""

    def __init__(self, notes: Path) -> None:
        super().__init__()
        self.notes = notes
        self.maker = os.getpid()
        self.note("made")

    def note(self, what: str) -> None:
        with self.notes.open("a") as file:
            file.write(f"{self.maker} {os.getpid()} {what}\n")

    async def open(self) -> None:
        self.note("open")

    async def close(self) -> None:
        self.note("close")

    async def append(self, appends: Sequence[Append]) -> tuple[int, ...]:
        self.note("append")
        return await super().append(appends)

    def __del__(self) -> None:
        self.note("finalised")


def in_child(function: Callable[[], Any]) -> Any:
    """Fork, run `function` in the child, and return what it returned."""
    wait = start_child(function)
    return wait()


def start_child(function: Callable[[], Any]) -> Callable[[], Any]:
    """Fork and run `function` in the child; returns how to wait for what it returned."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # "multi-threaded", from Python 3.12 on
        process = os.fork()
    if process == 0:
        try:
            answer = pickle.dumps((True, function()))
        except BaseException:  # noqa: BLE001
            answer = pickle.dumps((False, traceback.format_exc()))
        os.write(writing, answer)
        os._exit(0)
    os.close(writing)

    def wait() -> Any:
        with os.fdopen(reading, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(process, 0)
        fine, value = pickle.loads(answer)
        assert fine, value
        return value

    return wait


@pytest.mark.integration
@needs_fork
class TestForks:
    def test_each_process_has_a_backend_of_its_own(self, tmp_path: Path) -> None:
        """The child opens another when it first needs it; the parent's is closed and reopened."""
        notes = tmp_path / "notes"
        store = Store(lambda: hitherto.Store(Spy(notes)))
        counters = Repository(store, Counter)
        with store:
            counters.save(Counter.start("c-1"))

            def child() -> int:
                counters.save(Counter.start("c-2"))
                store.close()
                return os.getpid()

            own = str(os.getpid())
            other = str(in_child(child))
            assert counters.load("c-1").total == 1
            counters.save(Counter.start("c-3"))
        entries = [line.split() for line in notes.read_text().splitlines() if "final" not in line]
        assert {(maker, user) for maker, user, _ in entries} == {(own, own), (other, other)}
        of_parent = [what for maker, _, what in entries if maker == own]
        assert of_parent == ["made", "open", "append", "close", "open", "append", "close"]
        of_child = [what for maker, _, what in entries if maker == other]
        assert of_child == ["made", "open", "append", "close"]

    def test_a_child_that_does_not_use_the_store_opens_nothing(self, tmp_path: Path) -> None:
        """Nor does a store that was closed before the fork come open in the child."""
        notes = tmp_path / "notes"
        store = Store(lambda: hitherto.Store(Spy(notes)))
        with store:
            in_child(lambda: None)

        def child() -> None:
            with pytest.raises(AggregateNotFound):
                Repository(store, Counter).load("c-1")

        in_child(child)
        entries = [line.split() for line in notes.read_text().splitlines()]
        own = str(os.getpid())
        assert [what for maker, _, what in entries if maker != own] == ["made"]

    def test_memory_is_the_parents_alone(self, counters: Repository[Counter]) -> None:
        """The child finds an empty store; the parent keeps its events."""
        counters.save(Counter.start("c-1"))
        assert in_child(lambda: counters.exists("c-1")) is False
        assert counters.exists("c-1")

    def test_the_child_can_read_every_repositorys_events(
        self, store: Store, counters: Repository[Counter]
    ) -> None:
        """Also through repositories made before the fork, and not used since."""

        def child() -> list[str]:
            other = Repository(store, Person)
            person = Person("p-1")
            person.record(Named(name="Ada"))
            other.save_all(person, Counter.start("c-1"))
            return [recorded.event_type for recorded in store.read_all()]

        assert in_child(child) == ["Named", "Counted"]

    def test_a_fork_waits_for_operations_under_way(self, tmp_path: Path) -> None:
        """They end as if there were no fork, and those that come later wait for it."""

        class Slow(Spy):
            async def append(self, appends: Sequence[Append]) -> tuple[int, ...]:
                reached.set()
                await asyncio.sleep(0.2)
                return await super().append(appends)

        reached = threading.Event()
        store = Store(lambda: hitherto.Store(Slow(tmp_path / "notes")))
        counters = Repository(store, Counter)
        with store, ThreadPoolExecutor(1) as pool:
            saving = pool.submit(counters.save, Counter.start("c-1"))
            reached.wait()
            in_child(lambda: counters.save(Counter.start("c-2")))
            assert saving.result() == 1
            assert counters.load("c-1").total == 1
        lines = (tmp_path / "notes").read_text().splitlines()
        own = str(os.getpid())
        assert [line.split()[2] for line in lines if line.startswith(own)][:4] == [
            "made",
            "open",
            "append",
            "close",
        ]

    def test_a_fork_does_not_wait_for_ever(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An operation that does not end is left behind with a warning; both sides work on."""
        monkeypatch.setattr(background, "_PATIENCE", 0.1)
        backends: list[Stuck] = []

        def make() -> hitherto.Store:
            backends.append(Stuck())
            return hitherto.Store(backends[-1])

        store = Store(make)
        counters = Repository(store, Counter)
        with store, ThreadPoolExecutor(1) as pool:
            saving = pool.submit(counters.save, Counter.start("c-1"))
            backends[0].reached.wait()

            def child() -> bool:
                backends.append(Stuck())
                backends[-1].reached.set()
                store._make = lambda: hitherto.Store(backends[-1])
                counters.save(Counter.start("c-2"))
                return counters.exists("c-1")

            assert in_child(child) is False
            assert "stores_left_open" in caplog.text
            counters.save(Counter.start("c-3"))
            assert not saving.done()
            cancel_all(store)
            with pytest.raises(asyncio.CancelledError):
                saving.result()

    def test_a_store_that_cannot_be_reopened_reports_it(self) -> None:
        """Operations raise and are tried again by the next; the health check tells why."""
        backends = [Failing(), MemoryStore()]
        failing = backends[0]
        store = Store(lambda: hitherto.Store(backends.pop()))

        def child() -> Health:
            with pytest.raises(EventStoreUnavailable):
                store.watermark()
            health = store.health_check()
            vars(failing)["failing"] = False
            assert store.watermark() == 0
            return health

        with store:
            health = in_child(child)
        assert health.status == "unhealthy"
        assert health.problems == ("no route to the host",)


def cancel_all(store: Store) -> None:
    async def cancel() -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    store._run(cancel)


@pytest.mark.integration
@needs_fork
@needs_sqlite
class TestForksOverSQLite:
    def test_a_store_opened_before_a_fork_serves_both_sides(self, tmp_path: Path) -> None:
        """Several children and the parent write at once; every acknowledged event is there."""
        with connect(f"sqlite:///{tmp_path}/forked.db") as store:
            counters = Repository(store, Counter)
            counters.save(Counter.start("c-1", 0))

            def count() -> None:
                for _ in range(10):
                    counters.update("c-1", Counter.count, attempts=1000)

            waits = [start_child(count) for _ in range(4)]
            count()
            for wait in waits:
                wait()
            assert counters.load("c-1").total == 50

    def test_forks_amid_work_lose_nothing(self, tmp_path: Path) -> None:
        """Threads save while another forks again and again, and forking takes a moment only."""
        with connect(f"sqlite:///{tmp_path}/forked.db") as store:
            counters = Repository(store, Counter)
            stop = threading.Event()

            def work(number: int) -> int:
                saved = 0
                while not stop.is_set():
                    counters.save(Counter.start(f"c-{number}-{saved}"))
                    saved += 1
                return saved

            with ThreadPoolExecutor(4) as pool:
                working = [pool.submit(work, number) for number in range(4)]
                start = time.monotonic()
                for _ in range(10):
                    in_child(lambda: counters.exists("c-0-0"))
                took = time.monotonic() - start
                stop.set()
                saved = sum(each.result() for each in working)
            assert sum(1 for _ in store.read_all()) == saved
            assert took < 10 * background._PATIENCE / 2

    def test_the_childs_commits_survive_the_parents_end(self, tmp_path: Path) -> None:
        """SQLite's locks are per process; inherited connections would hide that they are gone."""
        url = f"sqlite:///{tmp_path}/forked.db"
        store = connect(url)
        store.open()
        counters = Repository(store, Counter)
        counters.save(Counter.start("c-1"))
        reading, writing = os.pipe()

        def child() -> None:
            os.close(writing)
            counters.save(Counter.start("c-2"))
            os.read(reading, 1)
            counters.save(Counter.start("c-3"))

        wait = start_child(child)
        time.sleep(0.3)
        store.close()
        run_script(
            f"""
            with connect({url!r}) as store:
                Repository(store, Counter).save(Counter.start("c-4"))
            """
        )
        os.write(writing, b"x")
        wait()
        os.close(reading)
        os.close(writing)
        with store:
            assert [recorded.aggregate_id for recorded in store.read_all()] == [
                "c-1",
                "c-2",
                "c-4",
                "c-3",
            ]


HEAD = """
import os, sys, threading, time, warnings
from tests.unit.test_sync import *
from tests.unit.test_sync import Counter, Spy, Stuck
warnings.filterwarnings("ignore", message="This process", category=DeprecationWarning)
"""


def run_script(script: str, *arguments: str) -> str:
    """Run it with warnings as errors; whatever it says to standard error fails."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", HEAD + textwrap.dedent(script), *arguments],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


@pytest.mark.integration
class TestTheExit:
    def test_a_store_left_open_is_closed(self, tmp_path: Path) -> None:
        """Without a word, and without waiting."""
        notes = tmp_path / "notes"
        run_script(
            """
            from pathlib import Path
            store = Store(lambda: hitherto.Store(Spy(Path(sys.argv[1]))))
            store.open()
            """,
            str(notes),
        )
        assert [line.split()[2] for line in notes.read_text().splitlines()][:3] == [
            "made",
            "open",
            "close",
        ]

    @pytest.mark.parametrize(
        "url", ["memory:", pytest.param("sqlite:///{}/left.db", marks=needs_sqlite)]
    )
    def test_work_left_open_is_there_afterwards(self, url: str, tmp_path: Path) -> None:
        """What was acknowledged is stored, and nothing is said."""
        url = url.format(tmp_path)
        run_script(
            """
            store = connect(sys.argv[1])
            store.open()
            Repository(store, Counter).save(Counter.start("c-1"))
            log = store.read_all()
            next(log)
            """,
            url,
        )
        if url != "memory:":
            with connect(url) as store:
                assert Repository(store, Counter).load("c-1").total == 1

    def test_an_operation_that_does_not_end_does_not_hold_it_up(self) -> None:
        """A daemon thread's stuck save is left behind."""
        run_script(
            """
            import logging
            logging.getLogger("hitherto").addHandler(logging.NullHandler())
            background._PATIENCE = 0.2
            backend = Stuck()
            store = Store(lambda: hitherto.Store(backend))
            store.open()
            save = Repository(store, Counter).save
            threading.Thread(target=save, args=(Counter.start("c-1"),), daemon=True).start()
            backend.reached.wait()
            """
        )

    def test_late_callers_are_served(self) -> None:
        """A handler that runs after the stores were closed may use them once more."""
        printed = run_script(
            """
            import atexit
            def late():
                print(counters.load("c-1").total)
            atexit.register(late)
            atexit.unregister(background._resume)
            atexit.unregister(background._pause)
            atexit.register(background._resume)
            atexit.register(background._pause)
            store = connect("memory:")
            store.open()
            counters = Repository(store, Counter)
            counters.save(Counter.start("c-1"))
            """
        )
        assert printed == "1\n"

    @needs_fork
    def test_a_child_does_not_finalise_what_its_parent_has_open(self, tmp_path: Path) -> None:
        """Even if the fork could not wait until it was closed, and the child exits in full."""
        notes = tmp_path / "notes"
        run_script(
            """
            import logging
            from pathlib import Path
            logging.getLogger("hitherto").addHandler(logging.NullHandler())
            background._PATIENCE = 0.2
            class Hanging(Spy):
                async def append(self, appends):
                    if self.maker == parent:
                        reached.set()
                        await asyncio.sleep(3600)
                    return await super().append(appends)
            parent = os.getpid()
            reached = threading.Event()
            store = Store(lambda: hitherto.Store(Hanging(Path(sys.argv[1]))))
            store.open()
            counters = Repository(store, Counter)
            save = counters.save
            threading.Thread(target=save, args=(Counter.start("c-1"),), daemon=True).start()
            reached.wait()
            child = os.fork()
            if child == 0:
                counters.save(Counter.start("c-2"))
                sys.exit(0)
            assert os.waitpid(child, 0)[1] == 0
            """,
            str(notes),
        )
        entries = [line.split() for line in notes.read_text().splitlines()]
        parent = entries[0][0]
        assert {user for maker, user, _ in entries if maker == parent} == {parent}
        assert "append" in {what for maker, _, what in entries if maker != parent}
