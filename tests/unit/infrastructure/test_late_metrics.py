"""Values that wait to be counted: nothing is lost, nothing counted twice, and not many wait."""

import threading
from typing import Any

from prometheus_client import CollectorRegistry, Counter

from hitherto.infrastructure import late_metrics


class Interrupted(list[float]):
    """Lets another thread in as it is copied, once."""

    def __init__(self, values: list[float], other: threading.Thread) -> None:
        super().__init__(values)
        self.other = other

    def __getitem__(self, key: Any) -> Any:
        copied = super().__getitem__(key)
        if self.other.ident is None:
            self.other.start()
            self.other.join(0.1)  # It may have to wait for whoever copies.
        return copied


def waiting_with(values: list[float], method: str, *arguments: float) -> list[float]:
    """What is counted of `values` when another thread calls `method` meanwhile."""
    counted: list[float] = []
    waiting = late_metrics._Waiting(counted.extend)
    other = threading.Thread(target=lambda: getattr(waiting, method)(*arguments))
    waiting._values = Interrupted(values, other)
    waiting.count()
    other.join()
    waiting.count()
    return counted


def test_a_value_that_comes_while_others_are_counted_is_counted_next() -> None:
    """A save goes on while Prometheus scrapes."""
    assert waiting_with([1, 2], "add", 3) == [1, 2, 3]


def test_two_that_count_at_once_do_not_count_twice() -> None:
    """A scrape may meet another scrape."""
    assert waiting_with([1, 2], "count") == [1, 2]


def test_what_waits_is_bounded() -> None:
    """Nobody may ever scrape."""
    registry = CollectorRegistry()
    counter = Counter("events", "Events", ["kind"], registry=None)
    count = late_metrics.Late(counter, registry).labelled("User")
    for _ in range(2 * late_metrics.LIMIT + 1):
        count(1)
    counted = [sample.value for metric in counter.collect() for sample in metric.samples]
    assert counted[0] == 2 * late_metrics.LIMIT
    assert registry.get_sample_value("events_total", {"kind": "User"}) == counted[0] + 1
