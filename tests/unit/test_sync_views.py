"""Views and their workers by the sync face."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.sync_following import (
    Count,
    Counts,
    Seen,
    on_the_loop,
    the_same,
    thread,
    until,
)
from tests.unit.sync_world import Counted, Counter
from tests.unit.test_sync_errors import interrupted_when

from hitherto.sync import (
    Context,
    EventSerializationFailed,
    InvalidInput,
    Projection,
    ProjectionBehind,
    ProjectionWorker,
    Repository,
    Store,
    WouldDeadlock,
    connect,
    live,
    on,
)


@pytest.fixture(params=["memory:", "sqlite:///{}/followed.db"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    template: str = request.param
    return template.format(tmp_path)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with connect(url) as store:
        yield store


@pytest.fixture
def counters(store: Store) -> Repository[Counter]:
    return Repository(store, Counter)


class TestViews:
    def test_they_are_filled_and_read(self, store: Store, counters: Repository[Counter]) -> None:
        """By a worker that catches up; documents and totals by their readers."""
        documents, totals = store.documents(Counts), store.totals(Counts)
        assert documents.get("c-1") is None
        counters.save_all(*(Counter.start(f"c-{number}", number) for number in range(1, 5)))
        worker = ProjectionWorker(store, Counts())
        worker.catch_up()
        assert (worker.handled, worker.position) == (4, 4)
        assert documents.get("c-3") == Count(parity="odd", total=3)
        found = documents.find(parity="even", order_by="total", descending=True, limit=1)
        assert found == {"c-4": Count(parity="even", total=4)}
        assert totals.all() == {("odd",): {"total": 4}, ("even",): {"total": 6}}
        assert totals.get("odd") == {"total": 4}
        assert totals.get("none") == {}

    def test_one_waits_for_what_this_thread_has_saved(
        self, store: Store, counters: Repository[Counter]
    ) -> None:
        """By save, save_all and update; and a thread that has saved nothing does not wait."""
        worker = ProjectionWorker(store, Counts())
        with thread(worker.run):
            counters.save(Counter.start("c-1"))
            store.wait_for(Counts)
            assert store.documents(Counts).get("c-1") == Count(parity="odd", total=1)
            counters.update("c-1", Counter.count)
            store.wait_for(Counts())
            assert store.documents(Counts).get("c-1") == Count(parity="even", total=2)
            counters.save_all(Counter.start("c-2"))
            store.wait_for("counts")
            assert store.documents(Counts).get("c-2") == Count(parity="odd", total=1)
            worker.stop()

    def test_a_view_that_is_behind_is_told_in_time(
        self, store: Store, counters: Repository[Counter]
    ) -> None:
        """For the last append of this thread, or a position; not for those of other threads."""
        with thread(lambda: counters.save(Counter.start("c-1"))):
            pass
        store.wait_for(Counts)
        with pytest.raises(ProjectionBehind, match="position 1"):
            store.wait_for(Counts, 1, timeout=0.05)
        counters.save(Counter.start("c-2"))
        with pytest.raises(ProjectionBehind, match="position 2"):
            store.wait_for(Counts, timeout=0.05)

    def test_a_live_one_is_folded_now(self, store: Store, counters: Repository[Counter]) -> None:
        """And gives the projection itself."""
        counters.save_all(Counter.start("c-1"), Counter.start("c-2"))

        class Started(Projection[Any]):
            def __init__(self) -> None:
                self.given: list[str] = []

            @on
            def started(self, event: Counted, context: Context[Any]) -> None:
                self.given.append(context.recorded.aggregate_id)

        found = Started()
        assert live(store, found) is found
        assert found.given == ["c-1", "c-2"]

    def test_an_inline_one_is_there_at_once(self, url: str) -> None:
        """`connect` takes it as the async one does."""
        given: list[str] = []

        class Noting(Projection[Any], name="noting"):
            @on
            def counted(self, event: Counted, context: Context[Any]) -> None:
                given.append(context.recorded.aggregate_id)

        with connect(url, inline=[Noting()]) as store:
            Repository(store, Counter).save(Counter.start("c-1"))
            assert given == ["c-1"]
            store.wait_for(Noting)


class TestWorkers:
    def test_stop_from_another_thread_ends_them(
        self, store: Store, counters: Repository[Counter]
    ) -> None:
        """And they can be run again, from where they were."""
        seen = Seen()
        worker = ProjectionWorker(store, seen)
        for number in range(2):
            with thread(worker.run) as ended:
                counters.save(Counter.start(f"c-{number}"))
                until(lambda: len(seen.given) == number + 1)  # noqa: B023
                assert not ended
                worker.stop()
            assert ended == [None]
        assert seen.given == ["c-0", "c-1"]

    def test_a_stop_before_the_start_counts(
        self, store: Store, counters: Repository[Counter]
    ) -> None:
        """Once: thereafter they can be run again."""
        counters.save(Counter.start("c-1"))
        seen = Seen()
        worker = ProjectionWorker(store, seen)
        worker.stop()
        worker.run()
        assert seen.given == []
        worker.catch_up()
        assert seen.given == ["c-1"]

    def test_ctrl_c_interrupts_them(self, store: Store, counters: Repository[Counter]) -> None:
        """The lease is let go of, so that the next one need not wait for its end."""
        seen, reached = Seen(), threading.Event()
        seen.do = reached.set
        counters.save(Counter.start("c-1"))
        with interrupted_when(reached), pytest.raises(KeyboardInterrupt):
            ProjectionWorker(store, seen, lease=60).run()
        with thread(ProjectionWorker(store, seen, lease=60).catch_up) as ended:
            pass
        assert ended == [None]

    def test_their_errors_arrive(self, store: Store, counters: Repository[Counter]) -> None:
        """As any other call's."""
        counters.save(Counter.start("c-1"))
        other = the_same(store)

        class Everything(Projection[Any], elsewhere=True):
            def handle(self, events: Any, batch: Any) -> None:
                raise AssertionError

        with other, pytest.raises(EventSerializationFailed, match="Counter"):
            ProjectionWorker(other, Everything()).catch_up()
        with pytest.raises(InvalidInput, match="batch"):
            ProjectionWorker(store, Everything(), batch=0)

    def test_a_handler_that_calls_the_sync_face_is_told(
        self, store: Store, counters: Repository[Counter]
    ) -> None:
        """It would wait for itself; the event is parked with the reason."""
        seen, raised = Seen(), list[BaseException]()

        def call() -> None:
            try:
                store.watermark()
            except WouldDeadlock as error:
                raised.append(error)
                raise

        seen.do = call
        counters.save(Counter.start("c-1"))
        ProjectionWorker(store, seen, attempts=1).catch_up()
        assert raised
        with pytest.raises(WouldDeadlock):
            store._run(on_the_loop, lambda: next(store.subscribe()))
        with pytest.raises(WouldDeadlock):
            store._run(on_the_loop, ProjectionWorker(store, seen).catch_up)
