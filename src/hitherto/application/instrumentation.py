"""`Instrumentation`: hooks that tell what happens, for metrics and traces."""

import time
from collections.abc import Generator
from contextlib import contextmanager


class Instrumentation:
    """Base of instrumentations; every hook does nothing. Override those that you need.

    Hooks are called on the event loop, after the fact; they should be quick and may not raise.
    """

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

    def operation(self, name: str, aggregate_type: str, seconds: float) -> None:
        """A repository's operation ended, well or not, after `seconds`."""


@contextmanager
def timed(hooks: Instrumentation, name: str, aggregate_type: str) -> Generator[None]:
    """Tell the hooks how long the block took."""
    start = time.perf_counter()
    try:
        yield
    finally:
        hooks.operation(name, aggregate_type, time.perf_counter() - start)
