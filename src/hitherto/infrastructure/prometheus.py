"""`PrometheusInstrumentation`: the hooks as metrics of prometheus-client, an extra."""

from collections.abc import Callable
from functools import cache
from typing import TypeVar

from hitherto.application.instrumentation import Instrumentation

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "the metrics need prometheus-client: pip install 'hitherto[prometheus]'"
    ) from error

T = TypeVar("T", Counter, Histogram)

BUCKETS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
)  # fmt: skip
"""Upper bounds of the durations' buckets, in seconds."""


class PrometheusInstrumentation(Instrumentation):
    """Counts what happens, and how long operations take.

    Hand it to `connect`::

        store = connect(instrumentation=PrometheusInstrumentation())
        prometheus_client.start_http_server(9000)

    Every metric is labelled by the stored name of the aggregate's type, never by an id. One
    instance serves any number of stores; a registry takes one instance.

    Args:
        registry: Where the metrics are registered.

    Raises:
        ValueError: The registry has metrics of these names already.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        def counter(name: str, told: str) -> Counter:
            return Counter(name, told, ["aggregate_type"], registry=registry)

        self._saved = _each(counter("aggregate_events_saved", "Events persisted"))
        self._loaded = _each(counter("aggregate_events_loaded", "Events retrieved"))
        self._snapshots = _each(counter("aggregate_snapshots_created", "Snapshots saved"))
        self._failed = _each(
            counter("aggregate_snapshots_failed", "Snapshots that could not be made or kept")
        )
        self._unusable = _each(
            counter("aggregate_snapshots_unusable", "Stored snapshots that were passed over")
        )
        self._conflicts = _each(counter("aggregate_concurrency_conflicts", "Version conflicts"))
        self._durations = _each(
            Histogram(
                "aggregate_operation_duration_seconds",
                "Operation latency",
                ["operation", "aggregate_type"],
                registry=registry,
                buckets=BUCKETS,
            )
        )

    def events_saved(self, aggregate_type: str, count: int) -> None:
        """See `Instrumentation`."""
        self._saved(aggregate_type).inc(count)

    def events_loaded(self, aggregate_type: str, count: int) -> None:
        """See `Instrumentation`."""
        self._loaded(aggregate_type).inc(count)

    def snapshot_created(self, aggregate_type: str) -> None:
        """See `Instrumentation`."""
        self._snapshots(aggregate_type).inc()

    def snapshot_failed(self, aggregate_type: str) -> None:
        """See `Instrumentation`."""
        self._failed(aggregate_type).inc()

    def snapshot_unusable(self, aggregate_type: str) -> None:
        """See `Instrumentation`."""
        self._unusable(aggregate_type).inc()

    def concurrency_conflict(self, aggregate_type: str) -> None:
        """See `Instrumentation`."""
        self._conflicts(aggregate_type).inc()

    def operation(self, name: str, aggregate_type: str, seconds: float) -> None:
        """See `Instrumentation`."""
        self._durations(name, aggregate_type).observe(seconds)


def _each(metric: T) -> Callable[..., T]:
    """Gives the child for some labels; looked up once, for a look-up costs more than counting."""
    return cache(metric.labels)
