"""`Repository`, without await."""

import copy
import random
import time
from collections.abc import Callable, Iterable
from typing import Any, Generic, Self, TypeVar, cast

from hitherto.application import repository as _asynchronous
from hitherto.application.health import Health
from hitherto.application.snapshots import SnapshotPolicy
from hitherto.domain.aggregate import Aggregate
from hitherto.domain.metadata import Metadata
from hitherto.domain.recorded import RecordedEvent
from hitherto.errors import AggregateVersionConflict, InvalidInput
from hitherto.sync.store import Store

A = TypeVar("A", bound=Aggregate[Any])
T = TypeVar("T")


class Repository(Generic[A]):
    """Loads and saves aggregates of one kind, from any thread. See `hitherto.Repository`.

    Attributes:
        store: Where it keeps them.
    """

    def __init__(
        self,
        store: Store,
        aggregate: Callable[[str], A],
        *,
        snapshot_every: int | None = _asynchronous._DEFAULT,
        snapshot_when: SnapshotPolicy[A] | None = None,
    ) -> None:
        if not isinstance(given := cast("object", store), Store):
            raise InvalidInput(f"store={given!r}: give what hitherto.sync.connect makes")
        self.store = store
        self._async = _asynchronous.Repository(
            store._async, aggregate, snapshot_every=snapshot_every, snapshot_when=snapshot_when
        )

    def within(self, transaction: Any) -> Self:
        """See `hitherto.Repository.within`; what has the transaction, `Store.within`."""
        other = copy.copy(self)
        other.store = self.store.within(transaction)
        other._async = self._async._on(other.store._async)
        return other

    def load(self, id: str, version: int | None = None) -> A:
        """See `hitherto.Repository.load`."""
        return self.store._run(self._async.load, id, version)

    def load_many(self, ids: Iterable[str]) -> dict[str, A]:
        """See `hitherto.Repository.load_many`."""
        # A lazy iterable, such as a queryset, must be run in the caller's thread.
        return self.store._run(self._async.load_many, ids if isinstance(ids, str) else list(ids))

    def save(self, aggregate: A, *, metadata: Metadata | None = None) -> int | None:
        """See `hitherto.Repository.save`."""
        return self.store._run(self._async.save, aggregate, metadata=metadata)

    def save_all(
        self, *aggregates: Aggregate[Any], metadata: Metadata | None = None
    ) -> tuple[int | None, ...]:
        """See `hitherto.Repository.save_all`."""
        return self.store._run(self._async.save_all, *aggregates, metadata=metadata)

    def update(
        self,
        id: str,
        command: Callable[[A], T],
        *,
        metadata: Metadata | None = None,
        attempts: int = _asynchronous._ATTEMPTS,
    ) -> T:
        """See `hitherto.Repository.update`; `command` runs in the caller's thread."""
        pause = _asynchronous._FIRST_PAUSE
        while True:
            aggregate = self.load(id)
            result = command(aggregate)
            _asynchronous.refuse_awaitable(result)
            attempts -= 1
            try:
                self.save(aggregate, metadata=metadata)
            except AggregateVersionConflict:
                if attempts < 1:
                    raise
            else:
                return result
            time.sleep(pause * random.random())  # noqa: S311  # jitter
            pause = min(2 * pause, _asynchronous._LONGEST_PAUSE)

    def exists(self, id: str) -> bool:
        """See `hitherto.Repository.exists`."""
        return self.store._run(self._async.exists, id)

    def history(self, id: str) -> list[RecordedEvent[Any]]:
        """See `hitherto.Repository.history`."""
        return self.store._run(self._async.history, id)

    def snapshot(self, aggregate: A) -> bool:
        """See `hitherto.Repository.snapshot`."""
        return self.store._run(self._async.snapshot, aggregate)

    def health_check(self) -> Health:
        """See `hitherto.Repository.health_check`."""
        return self._async._snapshots.judge(self.store.health_check())
