"""What projections have of SQLite's own; the rest is in the contract."""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
import pytest_asyncio

from hitherto import EventStoreUnavailable
from hitherto.application.alongside import Alongside
from hitherto.application.checkpoints import Generation, Progress
from hitherto.application.projection import in_order
from hitherto.errors import AggregateLocked, HandlerFailed, LeaseLost, PublisherUnavailable
from hitherto.infrastructure.sql import migrations, named_queries
from hitherto.infrastructure.sqlite import SqliteStore
from hitherto.infrastructure.sqlite.watching import Watch
from hitherto.testing.checkpoint_contract.making import hold, prepare, step
from hitherto.testing.store_contract.making import append_to

PACKAGE = "hitherto.infrastructure.sqlite"


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A file that does not exist yet."""
    return str(tmp_path / "events.db")


@pytest_asyncio.fixture
async def store(path: str) -> AsyncGenerator[SqliteStore]:
    """A store with one event."""
    store = SqliteStore(path, max_readers=2)
    await store.open()
    await store.append([append_to("a")])
    yield store
    await store.close()


class View:
    """A projection with a table of its own, and who holds it."""

    def __init__(self, store: SqliteStore, generation: Generation, held: dict[int, int]) -> None:
        self.store = store
        self.generation = generation
        self.held = held

    def step(self, token: int = 0) -> Progress:
        held = {each: own + token for each, own in self.held.items()}
        return step(self.generation, held, 1)

    async def advance(self, work: Callable[[apsw.Connection], Any], token: int = 0) -> None:
        await self.store.checkpoints.advance(self.step(token), work)

    async def rows(self) -> list[Any]:
        return await self.store._connections.read(
            lambda connection: [row[0] for row in connection.execute("SELECT n FROM view")]
        )

    async def position(self) -> int | None:
        return await self.store.checkpoints.position(self.generation.name)


@pytest_asyncio.fixture
async def view(store: SqliteStore) -> View:
    def setup(connection: apsw.Connection, *_: Any) -> None:
        connection.execute("CREATE TABLE view (n INTEGER PRIMARY KEY)")

    made = await prepare(store, setup=setup)
    return View(store, made, await hold(store, made))


def insert(connection: apsw.Connection) -> None:
    connection.execute("INSERT INTO view VALUES (1)")


class TestHandlers:
    async def test_effects_and_checkpoint_are_one_transaction(self, view: View) -> None:
        """Both are there, or neither."""
        with pytest.raises(LeaseLost):
            await view.advance(insert, token=-1)
        assert (await view.rows(), await view.position()) == ([], 0)
        await view.advance(insert)
        assert (await view.rows(), await view.position()) == ([1], 1)

    async def test_the_handlers_own_sql_is_its_own_fault(self, view: View) -> None:
        """A constraint, or a word that SQLite does not know."""

        def twice(connection: apsw.Connection) -> None:
            insert(connection)
            insert(connection)

        for work, error in ((twice, apsw.ConstraintError), (_misspelt, apsw.SQLError)):
            with pytest.raises(HandlerFailed) as caught:
                await view.advance(work)
            assert isinstance(caught.value.__cause__, error)
        assert (await view.rows(), await view.position()) == ([], 0)

    async def test_a_full_disk_is_not_the_handlers_fault(self, view: View) -> None:
        """It is an outage, which is waited for; no event is parked for it."""

        def full(connection: apsw.Connection) -> None:
            insert(connection)
            raise apsw.FullError

        with pytest.raises(EventStoreUnavailable) as caught:
            await view.advance(full)
        assert caught.value.transient
        assert (await view.rows(), await view.position()) == ([], 0)

    @pytest.mark.parametrize("error", [AggregateLocked("held"), PublisherUnavailable("away")])
    async def test_what_is_locked_or_out_is_not_the_handlers_fault(
        self, view: View, error: Exception
    ) -> None:
        """As for an aggregate, or a broker."""

        def work(_connection: apsw.Connection) -> None:
            raise error

        with pytest.raises(type(error)):
            await view.advance(work)
        assert await view.position() == 0

    async def test_async_handlers_are_refused(self, view: View) -> None:
        """The message says what to write; nothing is left that was never awaited."""

        async def handler(_connection: Any = None) -> None:
            raise AssertionError

        def several(_connection: Any) -> Any:
            return in_order(iter([None, handler(), None]))

        for work in (handler, several):
            with pytest.raises(HandlerFailed, match=r"plain functions \(def\)") as caught:
                await view.advance(work)
            assert isinstance(caught.value.__cause__, TypeError)
        with pytest.raises(HandlerFailed, match="plain functions"):
            await prepare(view.store, version=2, setup=lambda *_: handler())
        effects = Alongside(effects=lambda *_: handler())
        with pytest.raises(HandlerFailed, match="plain functions"):
            await view.store.append([], alongside=effects)

    @pytest.mark.parametrize("word", ["COMMIT", "ROLLBACK"])
    async def test_a_handler_may_not_end_the_transaction(self, view: View, word: str) -> None:
        """The checkpoint stays where it was."""
        with pytest.raises(HandlerFailed, match="transaction was ended"):
            await view.advance(lambda connection: connection.execute(word) and None)
        assert await view.position() == 0
        await view.advance(insert)

    async def test_a_failed_setup_leaves_no_table(self, view: View) -> None:
        """Making tables is a part of the transaction."""

        def setup(connection: apsw.Connection, *_: Any) -> None:
            connection.execute("CREATE TABLE view__2 (n)")
            raise ZeroDivisionError

        for _ in range(2):
            with pytest.raises(HandlerFailed, match="ZeroDivisionError"):
                await prepare(view.store, version=2, setup=setup)

    async def test_effects_of_an_append_are_in_its_transaction(self, view: View) -> None:
        """They have the writer's connection."""

        def effects(events: Any, connection: Any) -> None:
            connection.execute("INSERT INTO view VALUES (?)", (events[0].position,))

        def failing(events: Any, connection: Any) -> None:
            effects(events, connection)
            raise ZeroDivisionError

        with pytest.raises(HandlerFailed):
            await view.store.append([append_to("b")], alongside=Alongside(effects=failing))
        (position,) = await view.store.append(
            [append_to("b")], alongside=Alongside(effects=effects)
        )
        assert await view.rows() == [position]


class TestWaiting:
    async def test_appends_of_another_process_are_noticed(
        self, store: SqliteStore, path: str
    ) -> None:
        """One that has the same file open."""
        other = SqliteStore(path)
        await other.open()
        waiting = [asyncio.create_task(store.wait(1)) for _ in range(3)]
        await asyncio.sleep(0.02)
        await other.append([append_to("b")])
        async with asyncio.timeout(30):
            assert await asyncio.gather(*waiting) == [2, 2, 2]
        await other.close()

    async def test_who_waits_shares_one_look_and_none_is_taken_for_nobody(self) -> None:
        """Many wait for the cost of one, and nobody for nothing."""
        looks = Looks()
        watch = Watch(looks)
        waiting = [asyncio.create_task(watch.wait(0)) for _ in range(50)]
        async with asyncio.timeout(30):
            while len(looks.times) < 4:
                await asyncio.sleep(0.01)
        assert all(
            later - earlier > 0.04
            for earlier, later in zip(looks.times, looks.times[1:], strict=False)
        )
        watch.moved(7)
        assert await asyncio.gather(*waiting) == [7] * 50
        assert watch._looking is not None
        async with asyncio.timeout(30):
            await asyncio.wait([watch._looking])
        await watch.close()

    async def test_an_outage_is_waited_for(self) -> None:
        """One that may pass."""
        watch = Watch(Looks(EventStoreUnavailable("busy"), EventStoreUnavailable("busy"), 5))
        async with asyncio.timeout(30):
            assert await watch.wait(0) == 5
        await watch.close()

    async def test_what_does_not_pass_is_told_to_all(self) -> None:
        """They would wait for ever; who comes later finds out anew."""
        watch = Watch(Looks(EventStoreUnavailable("no database", transient=False), 5))
        results = await asyncio.gather(*(watch.wait(0) for _ in range(3)), return_exceptions=True)
        assert [str(each) for each in results] == ["no database"] * 3
        async with asyncio.timeout(30):
            assert await watch.wait(0) == 5
        await watch.close()

    async def test_closing_leaves_nothing_behind(self, store: SqliteStore) -> None:
        """Neither a task nor somebody who waits."""
        before = asyncio.all_tasks()
        waiting = [asyncio.create_task(store.wait(1)) for _ in range(3)]
        await asyncio.sleep(0.02)
        async with asyncio.timeout(30):
            await store.close()
            await asyncio.wait(waiting)
        assert asyncio.all_tasks() == before
        for each in waiting:
            with pytest.raises(EventStoreUnavailable):
                await each


class TestFile:
    async def test_a_file_of_older_code_is_migrated(self, path: str) -> None:
        """Its events stay, and projections can begin."""
        old = apsw.Connection(path)
        (number, text), *later = migrations(PACKAGE)
        assert later
        old.execute("CREATE TABLE hitherto_migrations (version INTEGER, applied_at TEXT)")
        old.execute(text)
        old.execute("INSERT INTO hitherto_migrations VALUES (?, 'then')", (number,))
        old.execute(
            "INSERT INTO event_store VALUES (1, '00000000-0000-0000-0000-000000000001', "
            "'Happened', 'a', 'Thing', 1, 1, '{}', NULL, '2024-01-01', '2024-01-01')"
        )
        old.close()
        store = SqliteStore(path)
        await store.open()
        assert [event.version for event in await store.read("a")] == [1]
        view = await prepare(store)
        await store.checkpoints.advance(step(view, await hold(store, view), 1))
        assert await store.checkpoints.position(view.name) == 1
        await store.close()

    async def test_attempts_do_not_wait_for_the_disk(self, view: View) -> None:
        """A process that is killed leaves them; whatever else is committed is on the disk."""
        levels: list[Any] = []

        def note(connection: apsw.Connection) -> None:
            levels.append(connection.execute("PRAGMA synchronous").get)

        await view.store._connections.write(note, durable=False)
        await view.store._connections.write(note)
        with pytest.raises(ZeroDivisionError):
            await view.store._connections.write(lambda _: 1 / 0, durable=False)
        await view.advance(note)
        assert levels == [1, 2, 2]

    async def test_documents_are_found_by_their_keys(self, view: View) -> None:
        """Not by looking through all of them."""
        queries = named_queries(PACKAGE, "projections.sql")
        find = queries["find_documents"].replace("{filters}", "AND key = :key")
        find = find.replace("{order}", "key, partition")
        named = {"name": "view", "collection": "c", "key": "k", "limit": -1}

        def plan(connection: apsw.Connection) -> list[Any]:
            rows = [
                *connection.execute(f"EXPLAIN QUERY PLAN {find}", named),
                *connection.execute(
                    f"EXPLAIN QUERY PLAN {queries['read_documents']}",
                    ("view", 1, "c", '["k"]', None),
                ),
            ]
            return [row[3] for row in rows if "projection_documents" in row[3]]

        found = await view.store._connections.read(plan)
        assert len(found) == 2
        assert all("key=?" in each for each in found)

    @pytest.mark.integration
    async def test_processes_share_the_partitions(self, store: SqliteStore, path: str) -> None:
        """No partition has two workers, and every token is somebody's own."""
        view = await prepare(store, partitions=64)
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", _WORKER, path, f"worker {n}"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for n in range(4)
        ]  # fmt: skip
        results = await asyncio.gather(
            *(asyncio.to_thread(each.communicate, timeout=60) for each in workers)
        )
        lines = [line for out, _ in results for line in out.splitlines()]
        assert len(lines) > 64
        assert max(Counter(lines).values()) == 1
        (status,) = await store.checkpoints.status(view.name)
        assert status.owners == {}
        assert status.handled == len(lines)


_WORKER = """
import asyncio, sys
from hitherto.infrastructure.sqlite import SqliteStore
from hitherto.testing.checkpoint_contract.making import advance, hold, prepare

async def main(path, name):
    store = SqliteStore(path)
    await store.open()
    view = await prepare(store)
    for _ in range(25):
        held = await hold(store, view, name)
        await advance(store, view, held, 1, handled=dict.fromkeys(held, 1))
        for place in held.items():
            print(*place)
        await store.checkpoints.release(view, name, held, leave=True)
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


class Looks:
    """Gives what it was told to, in order, then 0."""

    def __init__(self, *results: int | Exception) -> None:
        self.results = list(results)
        self.times: list[float] = []

    async def __call__(self) -> int:
        self.times.append(asyncio.get_running_loop().time())
        result = self.results.pop(0) if self.results else 0
        if isinstance(result, Exception):
            raise result
        return result


def _misspelt(connection: apsw.Connection) -> None:
    connection.execute("INSER INTO view VALUES (1)")
