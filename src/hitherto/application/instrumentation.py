"""`Instrumentation`: hooks that tell what happens, for metrics and traces."""

import time


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


class timed:  # noqa: N801  # it reads like a function: `with timed(…):`
    """Tell the hooks how long the block took."""

    __slots__ = ("_aggregate_type", "_hooks", "_name", "_start")

    def __init__(self, hooks: Instrumentation, name: str, aggregate_type: str) -> None:
        self._hooks = hooks
        self._name = name
        self._aggregate_type = aggregate_type

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_error: object) -> None:
        self._hooks.operation(self._name, self._aggregate_type, time.perf_counter() - self._start)
