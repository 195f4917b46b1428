"""The sync face keeps the contracts: each async call here goes through it, from a thread."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import pytest
import pytest_asyncio
from tests.contract.emptied import empty_schema

import hitherto
from hitherto import Aggregate, Event, RecordedEvent, sync
from hitherto.application.ports import Backend
from hitherto.infrastructure.memory import MemoryStore
from hitherto.infrastructure.postgres import PostgresStore
from hitherto.infrastructure.sqlite import SqliteStore
from hitherto.testing import RepositoryContract, StoreContract

A = TypeVar("A", bound=Aggregate[Any])


class InThread:
    """Runs each method of a sync object in a thread."""

    def __init__(self, blocking: Any) -> None:
        self.blocking = blocking

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.blocking, name)

        async def call(*arguments: Any, **options: Any) -> Any:
            return await asyncio.to_thread(method, *arguments, **options)

        return call


class PartBehind:
    """A part of a backend, run on the background loop alone."""

    def __init__(self, store: sync.Store, part: Any) -> None:
        self._store = store
        self._part = part

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any, **options: Any) -> Any:
            method = getattr(self._part, name)
            return await asyncio.to_thread(self._store._run, method, *arguments, **options)

        return call


class BackendBehind(InThread):
    """The backend of a sync store, run on the background loop alone."""

    def __getattr__(self, name: str) -> Any:
        if name in {"open", "close"}:
            return super().__getattr__(name)
        store: sync.Store = self.blocking
        backend = store._async.backend
        if name == "usage":
            return backend.usage
        if name in {"archive", "chain", "erasures", "looking", "personal"}:
            return PartBehind(store, getattr(backend, name))
        return getattr(PartBehind(store, backend), name)

    async def wait(self, after: int) -> int:
        """No thread waits, for it could not be cancelled."""
        store: sync.Store = self.blocking
        loop = store._background._started()
        waiting = asyncio.run_coroutine_threadsafe(store._async.backend.wait(after), loop)
        return await asyncio.wrap_future(waiting)


class StoreBehind(InThread):
    """A sync store that is awaited."""

    def __init__(self, store: sync.Store) -> None:
        super().__init__(store)
        self.backend = BackendBehind(store)

    async def read_all(self, **filters: Any) -> AsyncIterator[RecordedEvent[Event]]:
        """Take each event in a thread."""
        log: Iterator[RecordedEvent[Event]] = self.blocking.read_all(**filters)
        while (recorded := await asyncio.to_thread(next, log, None)) is not None:
            yield recorded

    def subscribe(self, *arguments: Any, **options: Any) -> "SubscriptionBehind":
        return SubscriptionBehind(self.blocking.subscribe(*arguments, **options))


class SubscriptionBehind(InThread):
    """A sync subscription that is awaited."""

    blocking: sync.Subscription

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.blocking.stop()

    @property
    def checkpoint(self) -> int:
        return self.blocking.checkpoint

    async def __aiter__(self) -> AsyncIterator[RecordedEvent[Event]]:
        while (recorded := await asyncio.to_thread(next, self.blocking, None)) is not None:
            yield recorded

    async def pages(self) -> AsyncIterator[Any]:
        pages = self.blocking.pages()
        while (page := await asyncio.to_thread(next, pages, None)) is not None:
            yield page


class SyncRepository(RepositoryContract):
    @asynccontextmanager
    async def open_store(self, backend: Backend, **options: Any) -> AsyncGenerator[hitherto.Store]:
        store = sync.Store(lambda: hitherto.Store(backend, **options))
        await asyncio.to_thread(store.open)
        yield cast("hitherto.Store", StoreBehind(store))
        await asyncio.to_thread(store.close)

    def make_repository(
        self, store: hitherto.Store, aggregate: Callable[[str], A], **options: Any
    ) -> hitherto.Repository[A]:
        blocking = cast("StoreBehind", store).blocking
        repository = sync.Repository(blocking, aggregate, **options)
        return cast("hitherto.Repository[A]", InThread(repository))


class SyncBackend(StoreContract):
    @pytest_asyncio.fixture
    async def backend(self, hidden: Backend) -> AsyncIterator[Backend]:
        """What `hidden` does, done on the background loop."""
        store = sync.Store(lambda: hitherto.Store(hidden))
        await asyncio.to_thread(store.open)
        yield cast("Backend", BackendBehind(store))
        await asyncio.to_thread(store.close)


class TestRepositoryInMemory(SyncRepository):
    @pytest.fixture
    def backend(self) -> MemoryStore:
        return MemoryStore()


class TestRepositoryOnSqlite(SyncRepository):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> SqliteStore:
        return SqliteStore(str(tmp_path / "store.db"))


@pytest.mark.integration
class TestRepositoryOnPostgres(SyncRepository):
    @pytest_asyncio.fixture
    async def backend(self, postgres_url: str) -> AsyncIterator[PostgresStore]:
        async with empty_schema(postgres_url) as schema:
            yield PostgresStore(postgres_url, schema=schema, max_connections=10)


class TestStoreInMemory(SyncBackend):
    @pytest.fixture
    def hidden(self) -> MemoryStore:
        return MemoryStore()
