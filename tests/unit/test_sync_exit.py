"""The interpreter's exit: what was left open is closed, and nothing is said."""

import os
from pathlib import Path

import pytest
from tests.unit.sync_world import IMPORTS, Counter, run_script

from hitherto.sync import Repository, connect

pytestmark = pytest.mark.integration


def test_a_store_left_open_is_closed(tmp_path: Path) -> None:
    """Without a word, and without waiting."""
    notes = tmp_path / "notes"
    run_script(
        """
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


@pytest.mark.parametrize("url", ["memory:", "sqlite:///{}/left.db"])
def test_work_left_open_is_there_afterwards(url: str, tmp_path: Path) -> None:
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


def test_an_operation_that_does_not_end_does_not_hold_it_up() -> None:
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


def test_late_callers_are_served() -> None:
    """A handler that runs after the stores were closed may use them once more."""
    printed = run_script(
        """
        import atexit
        atexit.register(lambda: print(counters.load("c-1").total))
        from hitherto.sync import Aggregate, Event, Repository, connect

        class Counted(Event):
            by: int

        class Counter(Aggregate[Counted]):
            total = 0
            def apply(self, event):
                self.total += event.by

        store = connect("memory:")
        store.open()
        counters = Repository(store, Counter)
        counter = Counter("c-1")
        counter.record(Counted(by=1))
        counters.save(counter)
        """,
        imports="",
    )
    assert printed == "1\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_does_not_finalise_what_its_parent_has_open(tmp_path: Path) -> None:
    """Even if the fork could not wait until it was closed, and the child exits in full."""
    notes = tmp_path / "notes"
    # Run last, so that what was cancelled is gone by the time of the fork.
    dawdle = "import os, time; os.register_at_fork(before=lambda: time.sleep(0.2))"
    run_script(
        """
        import logging
        logging.getLogger("hitherto").addHandler(logging.NullHandler())
        background._PATIENCE = 0.2
        class Hanging(Spy):
            async def close(self):
                if self.maker == parent:
                    await asyncio.sleep(3600)

        parent = os.getpid()
        store = Store(lambda: hitherto.Store(Hanging(Path(sys.argv[1]))))
        store.open()
        counters = Repository(store, Counter)
        child = os.fork()
        if child == 0:
            counters.save(Counter.start("c-2"))
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        counters.save(Counter.start("c-3"))
        """,
        str(notes),
        imports=dawdle + IMPORTS,
    )
    entries = [line.split() for line in notes.read_text().splitlines()]
    parent = entries[0][0]
    of_parent = [(user, what) for maker, user, what in entries if maker == parent]
    assert of_parent[:4] == [(parent, each) for each in ("made", "open", "open", "append")]
    assert {user for user, _ in of_parent} == {parent}
    assert "append" in {what for maker, _, what in entries if maker != parent}
