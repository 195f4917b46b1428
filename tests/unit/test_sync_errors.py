"""The sync face's errors and interrupts: the caller's, and nobody else's."""

import gc
import signal
import threading
import time
import traceback
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.unit.sync_following import until
from tests.unit.sync_world import Counted, Counter, Failing, Stuck

import hitherto
from hitherto.infrastructure import background
from hitherto.infrastructure.memory import MemoryStore
from hitherto.sync import (
    AggregateNotFound,
    EventStoreUnavailable,
    HithertoError,
    Repository,
    Store,
    WouldDeadlock,
    connect,
)


@pytest.fixture
def counters() -> Iterator[Repository[Counter]]:
    with connect("memory:") as store:
        yield Repository(store, Counter)


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

        class Marked(Exception):
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
            until(lambda: kept() is None)  # The loop's thread may be leaving the task yet.
        finally:
            gc.enable()

    def test_a_call_on_the_loops_own_thread_is_refused(self) -> None:
        """It would wait for itself for ever; the error says so and is a HithertoError."""

        def clock() -> Any:
            return other.health_check()

        other = connect("memory:")
        counters = Repository(Store(lambda: hitherto.Store(MemoryStore(), clock=clock)), Counter)
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
    # A shell starts what it runs in the background with the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

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
        signal.signal(signal.SIGINT, before)
