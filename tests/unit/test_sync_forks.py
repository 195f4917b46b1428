"""Forks: a store opened before them loses nothing."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.unit.sync_world import (
    Counter,
    Failing,
    Named,
    Person,
    Spy,
    Stuck,
    in_child,
    run_script,
    start_child,
)

import hitherto
from hitherto.application.health import Health
from hitherto.application.records import Append
from hitherto.infrastructure import background
from hitherto.infrastructure.memory import MemoryStore
from hitherto.sync import AggregateNotFound, EventStoreUnavailable, Repository, Store, connect

pytestmark = pytest.mark.integration
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@pytest.fixture
def store() -> Iterator[Store]:
    with connect("memory:") as store:
        yield store


@pytest.fixture
def counters(store: Store) -> Repository[Counter]:
    return Repository(store, Counter)


@needs_fork
class TestForks:
    def test_a_child_that_goes_elsewhere_has_the_same_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As daemons do after the fork, and the parent perhaps before it."""
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        monkeypatch.chdir(tmp_path)
        with connect("sqlite:///counters.db") as store:
            counters = Repository(store, Counter)
            counters.save(Counter.start("c-1"))
            monkeypatch.chdir(elsewhere)
            assert in_child(lambda: counters.exists("c-1"))
            assert counters.exists("c-1")
        assert list(elsewhere.iterdir()) == []

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

    def test_a_child_sees_what_is_stored_in_its_own_backend(self, tmp_path: Path) -> None:
        """So an aggregate that was saved in a transaction of the caller's is confirmed there."""
        with connect(f"sqlite:///{tmp_path}/store.db") as store:
            counters = Repository(store, Counter)

            def child() -> int | None:
                counter = Counter.start("c-1")
                counters.save(counter)
                (recorded,) = store.read("c-1")
                counter._unconfirmed = 1, recorded.event_id
                counter.count()
                return counters.save(counter)

            assert in_child(child) == 2

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
            async def append(self, appends: Sequence[Append], **options: Any) -> tuple[int, ...]:
                reached.set()
                await asyncio.sleep(0.2)
                return await super().append(appends, **options)

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
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        """A store whose operation does not end stays open, with a warning; both sides work on."""
        monkeypatch.setattr(background, "_PATIENCE", 0.4)  # enough to close `idle`
        notes = tmp_path / "notes"
        idle = Store(lambda: hitherto.Store(Spy(notes)))
        backends: list[Stuck] = []

        def make() -> hitherto.Store:
            backends.append(Stuck())
            return hitherto.Store(backends[-1])

        store = Store(make)
        counters = Repository(store, Counter)
        with store, idle, ThreadPoolExecutor(1) as pool:
            saving = pool.submit(counters.save, Counter.start("c-1"))
            backends[0].reached.wait()

            def child() -> bool:
                backends.append(Stuck())
                backends[-1].reached.set()
                store._make = lambda: hitherto.Store(backends[-1])
                counters.save(Counter.start("c-2"))
                return counters.exists("c-1")

            assert in_child(child) is False
            assert "stores_left_open count=1" in caplog.text
            assert notes.read_text().endswith(" close\n")
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


@needs_fork
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

    def test_forking_is_quick(self, tmp_path: Path) -> None:
        """Closing needs thread pools, which forking locks: not before ours has run."""
        run_script(
            """
            import os, sys, time, warnings
            from hitherto.sync import connect
            warnings.filterwarnings("ignore", message="This process", category=DeprecationWarning)
            with connect(sys.argv[1]) as store:
                store.watermark()
                start = time.monotonic()
                child = os.fork()
                store.watermark()
                if child == 0:
                    sys.exit(0)
                assert time.monotonic() - start < 4  # seconds; it would wait for 5
                assert os.waitpid(child, 0)[1] == 0
            """,
            f"sqlite:///{tmp_path}/forked.db",
            imports="",
        )

    def test_the_childs_commits_survive_the_parents_end(self, tmp_path: Path) -> None:
        """SQLite's locks are per process; inherited connections would hide that they are gone."""
        url = f"sqlite:///{tmp_path}/forked.db"
        store = connect(url)
        store.open()
        counters = Repository(store, Counter)
        counters.save(Counter.start("c-1"))
        reading, writing = os.pipe()
        told, telling = os.pipe()

        def child() -> None:
            os.close(writing)
            counters.save(Counter.start("c-2"))
            os.write(telling, b"x")
            os.read(reading, 1)
            counters.save(Counter.start("c-3"))

        wait = start_child(child)
        os.close(telling)
        assert os.read(told, 1) == b"x"
        os.close(told)
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


@needs_fork
def test_a_postgres_store_opened_before_a_fork_serves_both_sides(
    postgres_url: str, postgres_schema: str
) -> None:
    """Each side has connections of its own."""
    with connect(postgres_url, schema=postgres_schema, max_connections=3) as store:
        counters = Repository(store, Counter)
        counters.save(Counter.start("c-1", 0))

        def count() -> None:
            for _ in range(10):
                counters.update("c-1", Counter.count, attempts=1000)

        waits = [start_child(count) for _ in range(3)]
        count()
        for wait in waits:
            wait()
        assert counters.load("c-1").total == 40
