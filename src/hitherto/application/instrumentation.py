"""`Instrumentation`: hooks that tell what happens, for metrics and traces."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from types import MappingProxyType
from typing import Any

from hitherto.application.health import BreakerState, Usage
from hitherto.domain.metadata import MetadataValue
from hitherto.domain.recorded import RecordedEvent

_NOTHING = nullcontext()
_NO_METADATA: Mapping[str, MetadataValue] = MappingProxyType({})


class Instrumentation:
    """Base of instrumentations; every hook does nothing. Override those that you need.

    Hooks are called on the event loop; they should be quick and may not raise. `operation`,
    `store_call`, `command` and `handling` are called before, and give a context manager that sees
    how it ends.
    """

    def operation(
        self,
        name: str,  # noqa: ARG002  # for those that override it
        aggregate_type: str,  # noqa: ARG002
        aggregate_id: str | None = None,  # noqa: ARG002
    ) -> AbstractContextManager[object]:
        """Around an operation of a repository; on one aggregate, if its id is given."""
        return _NOTHING

    def store_call(self, name: str) -> AbstractContextManager[object]:  # noqa: ARG002
        """Around a call of the store's port, its retries included."""
        return _NOTHING

    def command(self, name: str) -> AbstractContextManager[object]:  # noqa: ARG002
        """Around a command of a class, as `measure_commands` tells it."""
        return _NOTHING

    def handling(
        self,
        projection: str,  # noqa: ARG002
        events: Sequence[RecordedEvent[Any]],  # noqa: ARG002
    ) -> AbstractContextManager[object]:
        """Around a projection's handling of some events, and its commit."""
        return _NOTHING

    def event_metadata(self) -> Mapping[str, MetadataValue]:
        """What is to be kept with the events that are saved now, such as a trace's context."""
        return _NO_METADATA

    def events_saved(self, aggregate_type: str, count: int) -> None:
        """`count` events were appended."""

    def events_loaded(self, aggregate_type: str, count: int) -> None:
        """`count` events were read and folded."""

    def snapshot_created(self, aggregate_type: str) -> None:
        """A snapshot was kept."""

    def snapshot_failed(self, aggregate_type: str) -> None:
        """A snapshot could not be made or kept; nothing else is wrong."""

    def snapshot_unusable(self, aggregate_type: str) -> None:
        """A stored snapshot was passed over; the events were folded in its place."""

    def concurrency_conflict(self, aggregate_type: str) -> None:
        """A save lost against another writer."""

    def call_retried(self, name: str) -> None:
        """A call of the store's port failed for a passing reason, and will be tried again."""

    def breaker_changed(self, state: BreakerState) -> None:
        """The circuit breaker of the store has another state."""

    def batch_written(self, appends: int, events: int) -> None:
        """Group commit wrote a transaction with so many appends, and events in all."""

    def projection_advanced(self, projection: str, events: int, seconds: float) -> None:
        """A projection has handled some events, perhaps none, and moved its checkpoint."""

    def projection_lag(self, projection: str, events: int, seconds: float) -> None:
        """How far a projection is behind the log: in positions, and by its oldest event's age."""

    def event_parked(self, projection: str) -> None:
        """A projection has set an event aside, after its last attempt."""

    def store_opened(self, usage: Callable[[], Usage]) -> None:
        """A store is open; `usage` tells, from any thread and without I/O, what of it is in use."""

    def store_closed(self, usage: Callable[[], Usage]) -> None:
        """The store with this `usage` is closed."""


class Instrumentations(Instrumentation):
    """Several instrumentations in one; each hears of everything, in the order given."""

    def __init__(self, *parts: Instrumentation) -> None:
        self._parts = parts

    def operation(
        self, name: str, aggregate_type: str, aggregate_id: str | None = None
    ) -> AbstractContextManager[object]:
        """See `Instrumentation`, as for all that follow."""
        return _all([part.operation(name, aggregate_type, aggregate_id) for part in self._parts])

    def store_call(self, name: str) -> AbstractContextManager[object]:
        """See `Instrumentation`."""
        return _all([part.store_call(name) for part in self._parts])

    def command(self, name: str) -> AbstractContextManager[object]:
        """See `Instrumentation`."""
        return _all([part.command(name) for part in self._parts])

    def handling(
        self, projection: str, events: Sequence[RecordedEvent[Any]]
    ) -> AbstractContextManager[object]:
        """See `Instrumentation`."""
        return _all([part.handling(projection, events) for part in self._parts])

    def event_metadata(self) -> Mapping[str, MetadataValue]:
        """See `Instrumentation`."""
        return {key: value for part in self._parts for key, value in part.event_metadata().items()}

    def events_saved(self, aggregate_type: str, count: int) -> None:
        """See `Instrumentation`."""
        for part in self._parts:
            part.events_saved(aggregate_type, count)

    def events_loaded(self, aggregate_type: str, count: int) -> None:
        """See `Instrumentation`."""
        for part in self._parts:
            part.events_loaded(aggregate_type, count)

    def snapshot_created(self, aggregate_type: str) -> None:
        """See `Instrumentation`."""
        for part in self._parts:
            part.snapshot_created(aggregate_type)

    def snapshot_failed(self, aggregate_type: str) -> None:
        """See `Instrumentation`."""
        for part in self._parts:
            part.snapshot_failed(aggregate_type)

    def snapshot_unusable(self, aggregate_type: str) -> None:
        """See `Instrumentation`."""
        for part in self._parts:
            part.snapshot_unusable(aggregate_type)

    def concurrency_conflict(self, aggregate_type: str) -> None:
        """See `Instrumentation`."""
        for part in self._parts:
            part.concurrency_conflict(aggregate_type)

    def call_retried(self, name: str) -> None:
        """See `Instrumentation`."""
        for part in self._parts:
            part.call_retried(name)

    def breaker_changed(self, state: BreakerState) -> None:
        """See `Instrumentation`."""
        for part in self._parts:
            part.breaker_changed(state)

    def batch_written(self, appends: int, events: int) -> None:
        """See `Instrumentation`."""
        for part in self._parts:
            part.batch_written(appends, events)

    def projection_advanced(self, projection: str, events: int, seconds: float) -> None:
        """See `Instrumentation`."""
        for part in self._parts:
            part.projection_advanced(projection, events, seconds)

    def projection_lag(self, projection: str, events: int, seconds: float) -> None:
        """See `Instrumentation`."""
        for part in self._parts:
            part.projection_lag(projection, events, seconds)

    def event_parked(self, projection: str) -> None:
        """See `Instrumentation`."""
        for part in self._parts:
            part.event_parked(projection)

    def store_opened(self, usage: Callable[[], Usage]) -> None:
        """See `Instrumentation`."""
        for part in self._parts:
            part.store_opened(usage)

    def store_closed(self, usage: Callable[[], Usage]) -> None:
        """See `Instrumentation`."""
        for part in self._parts:
            part.store_closed(usage)


@contextmanager
def _all(parts: list[AbstractContextManager[object]]) -> Generator[None]:
    with ExitStack() as stack:
        for part in parts:
            stack.enter_context(part)
        yield
