"""`PrometheusInstrumentation`: the hooks as metrics of prometheus-client, an extra."""

import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from time import monotonic, perf_counter

from hitherto.application.health import BreakerState, PoolUse, Usage
from hitherto.application.instrumentation import Instrumentation

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
    from prometheus_client.metrics_core import GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector

    from hitherto.infrastructure.late_metrics import Late
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        "the metrics need prometheus-client: pip install 'hitherto[prometheus]'"
    ) from _error

BUCKETS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
)  # fmt: skip
"""Upper bounds of the durations' buckets, in seconds."""

BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
"""Upper bounds of the buckets of a batch's appends and events."""

LAG_KEPT = 60.0
"""Seconds after which a projection's lag is left out, if nobody has told it anew."""

BREAKER_STATES: tuple[BreakerState, ...] = ("closed", "half-open", "open")
"""In the order of the numbers that the metric gives them."""


class PrometheusInstrumentation(Instrumentation):
    """Counts what happens, how long operations take, and what of the open stores is in use.

    Hand it to `connect`::

        store = connect(instrumentation=PrometheusInstrumentation())
        prometheus_client.start_http_server(9000)

    What is about aggregates is labelled by the stored name of their type, what is about
    projections and commands by their name; nothing is by an id. One instance serves any number of
    stores; a registry takes one instance.

    Args:
        registry: Where the metrics are registered.

    Raises:
        ValueError: The registry has metrics of these names already.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        def counter(name: str, told: str, label: str = "aggregate_type") -> Counter:
            return Counter(name, told, [label], registry=registry)

        def batch(name: str, told: str) -> Callable[[float], None]:
            metric = Histogram(name, told, registry=None, buckets=BATCH_BUCKETS)
            return Late(metric, registry).labelled()

        by_type = ["aggregate_type"]
        saved = Counter("aggregate_events_saved", "Events persisted", by_type, registry=None)
        loaded = Counter("aggregate_events_loaded", "Events retrieved", by_type, registry=None)
        durations = Histogram(
            "aggregate_operation_duration_seconds",
            "Operation latency",
            ["operation", "aggregate_type"],
            registry=None,
            buckets=BUCKETS,
        )
        self._saved = Late(saved, registry).labelled
        self._loaded = Late(loaded, registry).labelled
        self._snapshots = counter("aggregate_snapshots_created", "Snapshots saved")
        self._failed = counter(
            "aggregate_snapshots_failed", "Snapshots that could not be made or kept"
        )
        self._unusable = counter(
            "aggregate_snapshots_unusable", "Stored snapshots that were passed over"
        )
        self._conflicts = counter("aggregate_concurrency_conflicts", "Version conflicts")
        self._retries = counter("event_store_retries", "Calls tried again", "call")
        self._opened = Counter(
            "event_store_breaker_opened", "Times that a circuit breaker opened", registry=registry
        )
        self._batch_appends = batch("event_store_batch_appends", "Appends in a transaction")
        self._batch_events = batch("event_store_batch_events", "Events in a transaction")
        per_type = (self._snapshots, self._failed, self._unusable, self._conflicts)
        observer = Late(durations, registry).labelled

        def first_seen(name: str, aggregate_type: str) -> Callable[[float], None]:
            for metric in per_type:  # From 0 on, for a rate does not see a series' first value.
                metric.labels(aggregate_type)
            return observer(name, aggregate_type)

        self._durations = cache(first_seen)
        self._count_projections(registry)
        commands = Histogram(
            "command_duration_seconds",
            "Commands carried out",
            ["command"],
            registry=None,
            buckets=BUCKETS,
        )
        self._commands = Late(commands, registry).labelled
        self._open_stores = _OpenStores()
        registry.register(self._open_stores)

    def _count_projections(self, registry: CollectorRegistry) -> None:
        by_name = ["projection"]
        handled = Counter("projection_events_handled", "Events handled", by_name, registry=None)
        batches = Histogram(
            "projection_batch_duration_seconds",
            "Batches handled and committed",
            by_name,
            registry=None,
            buckets=BUCKETS,
        )
        parked = Counter("projection_events_parked", "Events set aside", by_name, registry=registry)
        of_handled, of_batches = Late(handled, registry).labelled, Late(batches, registry).labelled

        def first_seen(name: str) -> tuple[Callable[[float], None], Callable[[float], None]]:
            parked.labels(name)
            return of_handled(name), of_batches(name)

        self._projections = cache(first_seen)
        self._parked = parked
        self._lags = _Lags()
        registry.register(self._lags)

    def operation(
        self,
        name: str,
        aggregate_type: str,
        aggregate_id: str | None = None,  # noqa: ARG002  # no metric tells an id
    ) -> "_Timed":
        """See `Instrumentation`, as for all that follow."""
        return _Timed(self._durations(name, aggregate_type))

    def events_saved(self, aggregate_type: str, count: int) -> None:
        """See `Instrumentation`."""
        self._saved(aggregate_type)(count)

    def events_loaded(self, aggregate_type: str, count: int) -> None:
        """See `Instrumentation`."""
        self._loaded(aggregate_type)(count)

    def snapshot_created(self, aggregate_type: str) -> None:
        """See `Instrumentation`."""
        self._snapshots.labels(aggregate_type).inc()

    def snapshot_failed(self, aggregate_type: str) -> None:
        """See `Instrumentation`."""
        self._failed.labels(aggregate_type).inc()

    def snapshot_unusable(self, aggregate_type: str) -> None:
        """See `Instrumentation`."""
        self._unusable.labels(aggregate_type).inc()

    def concurrency_conflict(self, aggregate_type: str) -> None:
        """See `Instrumentation`."""
        self._conflicts.labels(aggregate_type).inc()

    def call_retried(self, name: str) -> None:
        """See `Instrumentation`."""
        self._retries.labels(name).inc()

    def breaker_changed(self, state: BreakerState) -> None:
        """See `Instrumentation`."""
        if state == "open":
            self._opened.inc()

    def batch_written(self, appends: int, events: int) -> None:
        """See `Instrumentation`."""
        self._batch_appends(appends)
        self._batch_events(events)

    def projection_advanced(self, projection: str, events: int, seconds: float) -> None:
        """See `Instrumentation`."""
        handled, batches = self._projections(projection)
        if events:
            handled(events)
            batches(seconds)

    def projection_lag(self, projection: str, events: int, seconds: float) -> None:
        """See `Instrumentation`."""
        self._lags.told[projection] = (events, seconds, monotonic())

    def event_parked(self, projection: str) -> None:
        """See `Instrumentation`."""
        self._parked.labels(projection).inc()

    def command(self, name: str) -> "_Timed":
        """See `Instrumentation`."""
        return _Timed(self._commands(name))

    def store_opened(self, usage: Callable[[], Usage]) -> None:
        """See `Instrumentation`."""
        self._open_stores.add(usage)

    def store_closed(self, usage: Callable[[], Usage]) -> None:
        """See `Instrumentation`."""
        self._open_stores.discard(usage)


class _Timed:
    """Times a block; a class of its own, for a generator takes twice as long."""

    __slots__ = ("_observe", "_started")

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe

    def __enter__(self) -> None:
        self._started = perf_counter()

    def __exit__(self, _kind: object, _error: object, _traceback: object) -> None:
        self._observe(perf_counter() - self._started)


class _OpenStores(Collector):
    """What is in use of all the stores that are open, asked for when Prometheus scrapes."""

    def __init__(self) -> None:
        self._usages: set[Callable[[], Usage]] = set()
        self.add, self.discard = self._usages.add, self._usages.discard
        if sys.platform != "win32":  # A forked child opens stores of its own.
            os.register_at_fork(after_in_child=self._usages.clear)

    def collect(self) -> Iterator[Metric]:
        """The gauges; without a sample where no store is open."""
        usages = [usage() for usage in tuple(self._usages)]
        queue = GaugeMetricFamily("event_store_queue_depth", "Appends that wait to be written")
        breaker = GaugeMetricFamily(
            "event_store_breaker_state", "Circuit breaker: 0 closed, 1 half-open, 2 open"
        )
        if usages:
            queue.add_metric([], sum(usage.queue_depth for usage in usages))
            breaker.add_metric([], max(BREAKER_STATES.index(usage.breaker) for usage in usages))
        yield queue
        yield breaker
        yield from _pool_metrics([usage.pool for usage in usages if usage.pool is not None])


class _Lags(Collector):
    """How far projections are behind: what no worker tells any more is not known."""

    def __init__(self) -> None:
        self.told: dict[str, tuple[int, float, float]] = {}

    def collect(self) -> Iterator[Metric]:
        """The gauges."""
        by_name = ["projection"]
        seconds = GaugeMetricFamily(
            "projection_lag_seconds", "Age of the oldest event not handled", labels=by_name
        )
        events = GaugeMetricFamily(
            "projection_lag_events", "Positions behind the end of the log", labels=by_name
        )
        since = monotonic() - LAG_KEPT
        for projection, (behind, age, told_at) in tuple(self.told.items()):
            if told_at >= since:
                seconds.add_metric([projection], age)
                events.add_metric([projection], behind)
        yield seconds
        yield events


def _pool_metrics(pools: list[PoolUse]) -> Iterator[Metric]:
    connections = GaugeMetricFamily(
        "event_store_pool_connections", "Open connections", labels=["state"]
    )
    limit = GaugeMetricFamily("event_store_pool_limit", "Connections that there may be")
    if pools:
        idle = sum(pool.idle for pool in pools)
        connections.add_metric(["idle"], idle)
        connections.add_metric(["used"], sum(pool.size for pool in pools) - idle)
        limit.add_metric([], sum(pool.limit for pool in pools))
    yield connections
    yield limit
