"""Subscriptions of the sync face: iterators that block, and that any thread may stop."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.sync_following import (
    fill,
    is_waiting,
    tasks,
    the_same,
    thread,
    until,
)
from tests.unit.sync_world import Counted, Counter, Named, Person
from tests.unit.test_sync_errors import interrupted_when

from hitherto.sync import (
    EventSerializationFailed,
    InvalidInput,
    Repository,
    Store,
    Undecoded,
    connect,
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


class TestSubscriptions:
    def test_they_give_what_there_is_and_then_what_comes(
        self, store: Store, counters: Repository[Counter]
    ) -> None:
        """Each event once and in order; the iterator blocks meanwhile."""
        counters.save_all(Counter.start("c-1"), Counter.start("c-2"))
        given: list[str] = []

        def follow() -> None:
            with store.subscribe() as events:
                for recorded in events:
                    given.append(recorded.aggregate_id)
                    if len(given) == 4:
                        return

        with thread(follow) as ended:
            until(lambda: len(given) == 2)
            counters.save(Counter.start("c-3"))
            until(lambda: len(given) == 3)
            assert not ended
            counters.save(Counter.start("c-4"))
        assert given == ["c-1", "c-2", "c-3", "c-4"]

    def test_all_pages_of_a_long_log_are_given(
        self, store: Store, counters: Repository[Counter]
    ) -> None:
        """Once, in order, and nothing is left on the loop in between."""
        fill(counters, 1234)
        before = store._run(tasks)
        with store.subscribe() as events:
            assert next(events).position == 1
            assert store._run(tasks) == before
            assert [next(events).position for _ in range(1233)] == list(range(2, 1235))
        assert store._run(tasks) == before

    def test_the_checkpoint_is_where_to_go_on(
        self, store: Store, counters: Repository[Counter]
    ) -> None:
        """From wherever it was left, nothing twice and nothing left out."""
        fill(counters, 7)
        for count in range(1, 7):
            with store.subscribe() as events:
                first = [next(events).position for _ in range(count)]
            with store.subscribe(after=events.checkpoint) as events:
                rest = [next(events).position for _ in range(7 - count)]
            assert first + rest == list(range(1, 8))

    def test_it_moves_past_what_does_not_match(
        self, store: Store, counters: Repository[Counter]
    ) -> None:
        """In the iterator, when the next event is asked for, and in pages."""
        person = Person("p-1")
        person.record(Named(name="Ada"))
        Repository(store, Person).save(person)
        fill(counters, 3)
        named = store.subscribe(Named)
        assert next(named).event == Named(name="Ada")
        assert named.checkpoint == 1
        with thread(lambda: next(named, None)) as ended:
            until(lambda: named.checkpoint == 4)
            assert not ended
            named.stop()
        with store.subscribe([Named], aggregate_types=[Person]) as named:
            pages = named.pages(limit=2)
            page = next(pages)
            while page.checkpoint < store.watermark():
                page = next(pages)
            assert named.checkpoint == page.checkpoint == 4

    def test_pages_are_as_long_as_was_asked_for(
        self, store: Store, counters: Repository[Counter]
    ) -> None:
        """Decoded, and the checkpoint with them."""
        fill(counters, 5)
        with store.subscribe() as events:
            pages = events.pages(limit=2)
            found = [next(pages) for _ in range(3)]
        assert [len(page.events) for page in found] == [2, 2, 1]
        assert found[0].events[1].event == Counted(by=1)
        assert next(pages, None) is None

    def test_stop_from_another_thread_ends_the_waiting(self, store: Store) -> None:
        """Also that for the first event, and nobody has to save one."""
        events = store.subscribe()
        with thread(lambda: list(events)) as found:
            until(lambda: is_waiting(store))
            events.stop()
        assert found == [[]]
        assert next(events, None) is None
        assert not is_waiting(store)

    def test_stop_ends_it_after_the_event_that_is_handled(
        self, store: Store, counters: Repository[Counter]
    ) -> None:
        """However many were read already; the checkpoint says what was given."""
        fill(counters, 3)
        events = store.subscribe()
        given = []
        for recorded in events:
            given.append(recorded.position)
            events.stop()
        assert given == [1]
        assert events.checkpoint == 1

    def test_a_break_leaves_the_rest_to_the_next_loop(
        self, store: Store, counters: Repository[Counter]
    ) -> None:
        """As with any iterator."""
        fill(counters, 3)
        with store.subscribe() as events:
            for recorded in events:
                assert recorded.position == 1
                break
            assert [next(events).position, next(events).position] == [2, 3]

    def test_an_unknown_class_is_never_skipped(
        self, store: Store, counters: Repository[Counter]
    ) -> None:
        """The events before it are given, then the error, as often as one asks."""
        fill(counters, 2)
        other = the_same(store)
        person = Person("p-1")
        person.record(Named(name="Ada"))
        with other:
            Repository(other, Person).save(person)
        with store.subscribe() as events:
            assert [next(events).position, next(events).position] == [1, 2]
            for _ in range(2):
                with pytest.raises(EventSerializationFailed, match="Person"):
                    next(events)
        assert events.checkpoint == 2
        with store.subscribe(undecoded=True, after=2) as events:
            assert isinstance(next(events).event, Undecoded)

    def test_wrong_arguments_are_refused_at_once(self, store: Store) -> None:
        """Before anything is read."""
        with pytest.raises(InvalidInput, match="after"):
            store.subscribe(after=-1)
        with pytest.raises(InvalidInput, match="int"):
            store.subscribe([int])

    def test_ctrl_c_interrupts_the_waiting(
        self, store: Store, counters: Repository[Counter]
    ) -> None:
        """And the subscription can be gone on with."""
        waiting = threading.Event()

        def tell() -> None:
            until(lambda: is_waiting(store))
            waiting.set()

        events = store.subscribe()
        with thread(tell), interrupted_when(waiting), pytest.raises(KeyboardInterrupt):
            next(events)
        assert not is_waiting(store)
        counters.save(Counter.start("c-1"))
        assert next(events).aggregate_id == "c-1"
