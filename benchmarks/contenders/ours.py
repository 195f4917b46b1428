"""Ours: always through the domain layer, a `Repository` of fines."""

import asyncio
import tempfile
import time
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import AbstractContextManager, aclosing, contextmanager
from pathlib import Path
from typing import Any, cast

from benchmarks.contenders.base import Contender, Session, TaskSession
from benchmarks.fines import Step, Story, payment
from benchmarks.server import Server
from hitherto import Repository, connect
from hitherto.application.instrumentation import Instrumentation
from hitherto.application.store import Store
from hitherto.examples.traffic_fines import Fine

_PAGE = 1000
_ATTEMPTS = 1000  # of an update: none may be lost


class Conflicts(Instrumentation):
    """Counts lost races."""

    count = 0

    def concurrency_conflict(self, aggregate_type: str) -> None:  # noqa: ARG002
        """Count one."""
        self.count += 1


class OursSession(TaskSession):
    """An open store of ours."""

    def __init__(
        self, server: Server, runner: asyncio.Runner, store: Store, conflicts: Conflicts
    ) -> None:
        super().__init__(server, runner)
        self.store = store
        self.conflicts = conflicts
        self.fines = Repository(store, Fine, snapshot_every=None)

    def made(self, story: Story) -> Fine:
        """See `Session.made`."""
        fine = Fine(story.id)
        self.go_on(fine, story.steps)
        return fine

    def go_on(self, fine: Fine, steps: Iterable[Step]) -> None:
        """See `Session.go_on`."""
        for command, arguments in steps:
            getattr(fine, command)(**arguments)

    async def save(self, story: Story) -> int:
        """See `Session.save`."""
        await self.fines.save(self.made(story))
        return len(story.steps)

    async def append(self, fine: Fine) -> int:
        """See `Session.append`."""
        before = fine.version
        await self.fines.save(fine)
        return fine.version - before

    async def load(self, fine_id: str) -> int:
        """See `Session.load`."""
        return (await self.fines.load(fine_id)).version

    async def pay(self, fine_id: str) -> int:
        """See `Session.pay`; the conflicts are counted by the store's hooks."""
        await self.fines.update(fine_id, pay_next_euro, attempts=_ATTEMPTS)
        return 0

    async def paid(self, fine_id: str) -> float:
        """See `Session.paid`."""
        return float((await self.fines.load(fine_id)).paid)

    async def snapshot(self, fine_id: str) -> int:
        """See `Session.snapshot`."""
        await self.fines.snapshot(await self.fines.load(fine_id))
        return 1

    async def read_log(self, seconds: float) -> int:
        """See `Session.read_log`."""
        end = time.perf_counter() + seconds
        count = 0
        async with self._log(0) as events:
            async for _ in events:
                count += 1
                if not count % _PAGE and time.perf_counter() > end:
                    break
        return count

    async def read_page(self, after: int) -> int:
        """A thousand events of the log, decoded, from a position on."""
        count = 0
        async with self._log(after) as events:
            async for _ in events:
                count += 1
                if count == _PAGE:
                    break
        return count

    def _log(self, after: int) -> aclosing[AsyncGenerator[Any]]:
        return aclosing(cast("AsyncGenerator[Any]", self.store.read_all(after=after)))


def pay_next_euro(fine: Fine) -> None:
    """The command of `Session.pay`."""
    _, arguments = payment(fine.version)
    fine.pay(**arguments)


class Ours(Contender):
    """Hitherto on PostgreSQL."""

    def opened(self, store: str) -> AbstractContextManager[Session]:
        """See `Contender.opened`."""
        return self.connected(self.server.url, schema=store)

    @contextmanager
    def connected(self, url: str, **settings: Any) -> Generator[OursSession]:
        """A store at a URL."""
        conflicts = Conflicts()
        store = connect(url, instrumentation=conflicts, **settings)
        with asyncio.Runner() as runner:
            runner.run(store.open())
            try:
                yield OursSession(self.server, runner, store, conflicts)
            finally:
                runner.run(store.close())


class OursOnSqlite(Ours):
    """Hitherto on a SQLite file: WAL, `synchronous=FULL`."""

    def opened(self, store: str) -> AbstractContextManager[Session]:
        """See `Contender.opened`."""
        return self.connected(f"sqlite:///{store}")

    @contextmanager
    def fresh(self) -> Generator[Session]:
        """See `Contender.fresh`."""
        with sqlite_file() as path, self.opened(str(path)) as session:
            yield session


@contextmanager
def sqlite_file() -> Generator[Path]:
    """A path for a new file, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="hitherto-bench-") as folder:
        yield Path(folder) / "store.db"
