"""`Late`: a metric of prometheus-client that counts many values at once."""

import os
from bisect import bisect_right
from collections.abc import Callable, Iterable
from functools import cache
from threading import Lock
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

LIMIT = 1000
"""How many values of a child may wait."""


class Late(Collector):
    """Counts a metric's values when it is scraped, or when `LIMIT` of them wait.

    To count each for itself, under its locks, takes three times as long.

    Args:
        metric: What counts; it is registered nowhere itself.
        registry: Where to register.

    Attributes:
        labelled: Gives what takes the values for some labels.
    """

    def __init__(self, metric: Counter | Histogram, registry: CollectorRegistry) -> None:
        self._metric = metric
        self._waiting: list[_Waiting] = []
        self.labelled: Callable[..., Callable[[float], None]] = cache(self._labelled)
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """The metric, up to date."""
        for waiting in self._waiting:
            waiting.count()
        return self._metric.collect()

    def describe(self) -> Iterable[Metric]:
        """The metric's names, without a sample."""
        return self._metric.describe()

    def _labelled(self, *labels: str) -> Callable[[float], None]:
        child = self._metric.labels(*labels) if labels else self._metric
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:  # Whoever is scraped can't see what waits.
            return child.inc if isinstance(child, Counter) else child.observe
        waiting = _Waiting(_counter_of_many(child))
        self._waiting.append(waiting)
        return waiting.add


class _Waiting:
    """Values that wait to be counted: a list takes them from any thread without a lock."""

    __slots__ = ("_count_many", "_lock", "_values")

    def __init__(self, count_many: Callable[[list[float]], None]) -> None:
        self._count_many = count_many
        self._values: list[float] = []
        self._lock = Lock()

    def add(self, value: float) -> None:
        values = self._values
        values.append(value)
        if len(values) >= LIMIT:
            self.count()

    def count(self) -> None:
        with self._lock:
            values = self._values[:]
            del self._values[: len(values)]  # Others append meanwhile.
            self._count_many(values)


def _counter_of_many(child: Counter | Histogram) -> Callable[[list[float]], None]:
    if isinstance(child, Counter):
        return lambda values: child.inc(sum(values))
    # As Histogram.observe does for one value; for many there is nothing public.
    bounds = child._upper_bounds
    internal: Any = child

    def observe_many(values: list[float]) -> None:
        internal._sum.inc(sum(values))
        values.sort()
        counted = 0
        for bound, bucket in zip(bounds, internal._buckets, strict=True):
            up_to = bisect_right(values, bound)
            bucket.inc(up_to - counted)
            counted = up_to

    return observe_many
