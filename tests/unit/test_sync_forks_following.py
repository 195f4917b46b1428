"""Forks and exits beside subscriptions, workers and readers: they lose nothing, and go on."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.sync_following import Count, Counts, Seen, is_waiting, thread, until
from tests.unit.sync_world import Counter, in_child, run_script

from hitherto.sync import ProjectionWorker, Repository, Store, connect

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path, postgres_schema: str) -> Iterator[Store]:
    urls = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/forked.db"}
    url = urls.get(request.param) or request.getfixturevalue("postgres_url")
    with connect(url, schema=postgres_schema) as store:
        yield store


@pytest.fixture
def counters(store: Store) -> Repository[Counter]:
    return Repository(store, Counter)


@pytest.fixture(autouse=True)
def nothing_is_left_open(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A fork that had to leave a store open would have waited for seconds, and would say so."""
    yield
    said = [record.getMessage() for record in caplog.get_records("call")]
    assert not [each for each in said if "stores_left_open" in each]


def is_shared(store: Store) -> bool:
    """Whether parent and child see the same events."""
    return "Memory" not in type(store._async.sealed.backend).__name__  # type: ignore[attr-defined]


def test_a_subscription_that_waits_goes_on_after_a_fork(
    store: Store, counters: Repository[Counter]
) -> None:
    """Several times, and its checkpoint stands."""
    given: list[str] = []
    with store.subscribe() as events:

        def follow() -> None:
            given.extend(recorded.aggregate_id for recorded in events)

        def child() -> None:
            events.stop()
            assert list(events) == []

        with thread(follow):
            for number in range(3):
                until(lambda: is_waiting(store))
                in_child(child)
                counters.save(Counter.start(f"c-{number}"))
            until(lambda: events.checkpoint == 3)
            events.stop()
    assert given == ["c-0", "c-1", "c-2"]


def test_a_subscription_can_be_gone_on_with_in_the_child(
    store: Store, counters: Repository[Counter]
) -> None:
    """From what was given before the fork."""
    counters.save_all(Counter.start("c-1"), Counter.start("c-2"))
    events = store.subscribe()
    assert next(events).aggregate_id == "c-1"

    def child() -> list[str]:
        if not is_shared(store):
            counters.save_all(Counter.start("c-1"), Counter.start("c-2"))
        counters.save(Counter.start("c-3"))
        return [next(events).aggregate_id for _ in range(2)]

    assert in_child(child) == ["c-2", "c-3"]
    assert next(events).aggregate_id == "c-2"


def test_a_worker_goes_on_after_a_fork(store: Store, counters: Repository[Counter]) -> None:
    """It lets go of its lease, so that the child could work; and takes it again."""
    seen = Seen()
    worker = ProjectionWorker(store, seen, lease=60)

    def child() -> list[str]:
        counters.save(Counter.start("in the child"))
        worker.catch_up()
        return seen.given[-1:]

    with thread(worker.run):
        counters.save(Counter.start("c-1"))
        until(lambda: seen.given == ["c-1"])
        if is_shared(store):
            in_child(lambda: counters.save(Counter.start("in the child")))
        else:
            assert in_child(child) == ["in the child"]
        counters.save(Counter.start("c-2"))
        until(lambda: seen.given[-1] == "c-2")
        worker.stop()
    assert seen.given == ["c-1", *(["in the child"] if is_shared(store) else []), "c-2"]


def test_a_worker_made_before_a_fork_works_in_the_child(
    store: Store, counters: Repository[Counter]
) -> None:
    """With this process's backend and name; readers see what it has written."""
    counters.save(Counter.start("c-1", 5))
    worker, documents = ProjectionWorker(store, Counts()), store.documents(Counts)
    totals = store.totals(Counts)
    worker.catch_up()
    name = worker.name

    def child() -> tuple[Any, ...]:
        counters.save(Counter.start("c-2", 7))
        worker.catch_up()
        store.wait_for(Counts, timeout=5)
        assert worker.name != name
        return documents.get("c-1"), documents.get("c-2"), totals.get("odd")

    shared = is_shared(store)
    first, second, odd = in_child(child)
    assert first == (Count(parity="odd", total=5) if shared else None)
    assert second == Count(parity="odd", total=7)
    assert odd == {"total": 12 if shared else 7}
    assert documents.get("c-2") == (second if shared else None)
    worker.catch_up()
    assert totals.get("odd") == {"total": 12 if shared else 5}


@pytest.mark.parametrize("url", ["memory:", "sqlite:///{}/left.db"])
def test_what_goes_on_does_not_hold_the_exit_up(url: str, tmp_path: Path) -> None:
    """Daemon threads with a worker and a subscription are ended, without a word."""
    run_script(
        """
        from tests.unit.sync_following import Seen, until
        from hitherto.sync import ProjectionWorker

        store = connect(sys.argv[1])
        store.open()
        seen = Seen()
        for function in (ProjectionWorker(store, seen).run, lambda: list(store.subscribe())):
            threading.Thread(target=function, daemon=True).start()
        Repository(store, Counter).save(Counter.start("c-1"))
        until(lambda: seen.given and len(store._background._running) == 2)
        """,
        url.format(tmp_path),
    )
