"""What one measurement finds: times, and the CPU that the client and the server spent."""

import resource
import statistics
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field

Values = dict[str, float]


@dataclass(slots=True)
class Sample:
    """One measurement of one contender.

    Attributes:
        values: By name, with the unit in the name: "events_per_s", "p99_ms" …
        note: What a reader must know, such as that it was stopped.
    """

    values: Values = field(default_factory=dict)
    note: str = ""


@dataclass(slots=True)
class Timings:
    """How operations went.

    Attributes:
        latencies: Of each operation, in seconds.
        events: How many events they handled together.
        seconds: From the first operation's start to the last one's end.
        cpu: What was spent meanwhile.
    """

    latencies: list[float] = field(default_factory=list)
    events: int = 0
    seconds: float = 0.0
    cpu: Values = field(default_factory=dict)

    def rates(self) -> Values:
        """Throughput, latency and CPU."""
        return {
            "operations_per_s": len(self.latencies) / self.seconds,
            "events_per_s": self.events / self.seconds,
            **percentiles(self.latencies),
            **self.cpu,
            "operations": float(len(self.latencies)),
        }


def percentiles(latencies: Iterable[float]) -> Values:
    """Median, 99th and 99.9th percentile and the worst, in milliseconds."""
    ordered = sorted(latencies)
    if not ordered:
        return {}
    last = len(ordered) - 1
    found = {
        name: ordered[min(last, int(len(ordered) * part))]
        for name, part in (("p50_ms", 0.5), ("p99_ms", 0.99), ("p999_ms", 0.999))
    }
    return {name: 1000 * value for name, value in {**found, "max_ms": ordered[-1]}.items()}


def median(values: Iterable[float]) -> float:
    """The median."""
    return statistics.median(values)


@contextmanager
def spent(timings: Timings, server_cpu: Callable[[], float]) -> Generator[None]:
    """Write the time and the CPU that the block takes into `timings`.

    CPU is told in percent of one core; the client's includes that of programs it ran.
    """
    server, client, start = server_cpu(), _client_cpu(), time.perf_counter()
    try:
        yield
    finally:
        timings.seconds = time.perf_counter() - start
        timings.cpu = {
            "client_cpu_pct": 100 * (_client_cpu() - client) / timings.seconds,
            "server_cpu_pct": 100 * (server_cpu() - server) / timings.seconds,
        }


def _client_cpu() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
