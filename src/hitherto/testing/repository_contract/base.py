"""What the tests of repositories stand on."""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any, TypeVar

import pytest
import pytest_asyncio

from hitherto.application.instrumentation import Instrumentation
from hitherto.application.ports import Backend
from hitherto.application.repository import Repository
from hitherto.application.store import Store
from hitherto.domain.aggregate import Aggregate
from hitherto.testing.probe import Probe

A = TypeVar("A", bound=Aggregate[Any])


class RepositoryTests:
    """Makes stores and repositories; another face of them overrides these methods."""

    @asynccontextmanager
    async def open_store(self, backend: Backend, **options: Any) -> AsyncGenerator[Store]:
        """An open store over `backend`; `options` are those of `Store`."""
        async with Store(backend, **options) as store:
            yield store

    def make_repository(
        self, store: Store, aggregate: Callable[[str], A], **options: Any
    ) -> Repository[A]:
        """A repository; `options` are those of `Repository`."""
        return Repository(store, aggregate, **options)

    @pytest.fixture
    def probe(self, backend: Backend) -> Probe:
        """It stands before the backend, and each test's store before it."""
        return Probe(backend)

    @pytest_asyncio.fixture
    async def store(self, probe: Probe) -> AsyncGenerator[Store]:
        """An open store."""
        async with self.open_store(probe) as store:
            yield store


class Recorder(Instrumentation):
    """Keeps what the hooks are told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def of(self, hook: str) -> list[tuple[Any, ...]]:
        """What one hook was told, each time."""
        return [told[1:] for told in self.told if told[0] == hook]

    def events_saved(self, aggregate_type: str, count: int) -> None:
        self.told.append(("events_saved", aggregate_type, count))

    def events_loaded(self, aggregate_type: str, count: int) -> None:
        self.told.append(("events_loaded", aggregate_type, count))

    def snapshot_created(self, aggregate_type: str) -> None:
        self.told.append(("snapshot_created", aggregate_type))

    def snapshot_failed(self, aggregate_type: str) -> None:
        self.told.append(("snapshot_failed", aggregate_type))

    def snapshot_unusable(self, aggregate_type: str) -> None:
        self.told.append(("snapshot_unusable", aggregate_type))

    def concurrency_conflict(self, aggregate_type: str) -> None:
        self.told.append(("concurrency_conflict", aggregate_type))

    def operation(
        self, name: str, aggregate_type: str, aggregate_id: str | None = None
    ) -> AbstractContextManager[object]:
        return self._around("operation", name, aggregate_type, aggregate_id)

    @contextmanager
    def _around(self, *told: Any) -> Generator[None]:
        """Keep it when it has ended."""
        try:
            yield
        finally:
            self.told.append(told)
