"""What the figures must be, and whether they are: nothing is rounded in our favour."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.results import FUNCTIONS, OURS, PEER, RAW, Results
from benchmarks.running import SQLITE
from benchmarks.workloads import following, growth, projecting, saving, sqlite
from benchmarks.workloads.appending import APPEND
from benchmarks.workloads.reading import LOAD, LOG, SNAPSHOT, SNAPSHOT_AT

PAIRED = "against raw's own change"


@dataclass(frozen=True, slots=True)
class Check:
    """One demand.

    Attributes:
        must: In words.
        found: The figure, in words.
        met: Whether it is; None if it wasn't measured.
    """

    must: str
    found: str
    met: bool | None


@dataclass(slots=True)
class Line:
    """A line of the final table.

    Attributes:
        workload: What was done.
        figures: Of ours, the peer, the peer with functions, and raw; in words.
        checks: What is demanded.
    """

    workload: str
    figures: dict[str, str]
    checks: list[Check] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Row:
    """A workload of the table: which metric, and which way is better."""

    title: str
    workload: str
    size: int
    metric: str = "p50_ms"
    raw: tuple[str, int] | None = None
    who: str = OURS

    @property
    def higher_is_better(self) -> bool:
        return self.metric.endswith("_per_s")


def lines(results: Results) -> list[Line]:
    """The table, as far as it was measured."""
    return [line for line in _lines(results) if any(line.figures.values())]


def _lines(results: Results) -> Iterator[Line]:
    copied = max(results.sizes(saving.COPY), default=0)
    log = max(results.sizes(LOG), default=0)
    yield _line(
        results,
        _Row("lone sequential save", saving.LONE, 1, "operations_per_s"),
        [(PEER, 2.5), (FUNCTIONS, 1.5)],
        _share("of pgbench", 0.55),
    )
    tasks = _Row(
        "1,000 concurrent tasks", saving.TASKS, 1000, "events_per_s", (saving.COPY, copied)
    )
    yield _line(
        results,
        tasks,
        [(PEER, 40.0), (FUNCTIONS, 10.0)],
        _share("of \\copy", 0.45),
        _at_most("p99", saving.TASKS, 1000, "p99_ms", 100.0),
    )
    yield _line(
        results,
        _Row("one append of 10,000 events", APPEND, 10_000, "events_per_s"),
        [(FUNCTIONS, 2.0)],
        _share("of \\copy", 0.75),
    )
    yield _line(
        results,
        _Row("load 1,000 events", LOAD, 1000),
        [(PEER, 8.0)],
        _at_most("", LOAD, 1000, "p50_ms", 5.0),
    )
    yield _line(
        results, _Row("snapshot + 10 events", SNAPSHOT, SNAPSHOT_AT), [(PEER, 4.0)], _round_trips
    )
    yield _line(
        results,
        _Row("catch-up, decoded", LOG, log, "events_per_s"),
        [(PEER, 4.0)],
        _share("of \\copy … to stdout", 0.5),
    )
    for title, workload, size, metric, must in (
        ("lone save", sqlite.LONE, 1, "operations_per_s", 1.5),
        ("1,000 tasks", sqlite.TASKS, 1000, "events_per_s", 30.0),
        ("load 1,000", sqlite.LOAD, 1000, "p50_ms", 8.0),
    ):
        yield _line(results, _Row(SQLITE + title, workload, size, metric), [(PEER, must)])
    yield from _following(results)
    yield from _growth(results)


def _following(results: Results) -> Iterator[Line]:
    size = max(results.sizes(projecting.PROJECTION), default=0)
    yield _line(
        results,
        _Row("catch-up of a SQL view", projecting.PROJECTION, size, "events_per_s"),
        [(PEER, 4.0)],
        _at_least(20_000.0),
    )
    yield _line(
        results, _Row("10 idle subscriptions", following.IDLE, following.SUBSCRIPTIONS, "cpu_pct"),
        [], _below_one_percent,
    )  # fmt: skip
    for who, title in ((OURS, "subscription"), (following.PROJECTED, "projection")):
        row = _Row(f"append → {title}", following.LIVE, following.RATE, who=who)
        yield _line(results, row, [], _soon("p50_ms", 15.0, 0.0), _soon("p99_ms", 60.0, 3.0))


_Demand = Callable[[Results, _Row], Check]


def _line(results: Results, row: _Row, peers: list[tuple[str, float]], *demands: _Demand) -> Line:
    figures = {
        column: _told(results, row.workload, row.size, who, row.metric)
        for column, who in ((OURS, row.who), (PEER, PEER), (FUNCTIONS, FUNCTIONS))
    }
    workload, size = row.raw or (row.workload, row.size)
    figures[RAW] = _told(results, workload, size, RAW, row.metric)
    checks = [_times(results, row, peer, must) for peer, must in peers]
    return Line(row.title, figures, [*checks, *(demand(results, row) for demand in demands)])


def _times(results: Results, row: _Row, peer: str, must: float) -> Check:
    """So many times better than a peer."""
    ours = results.value(row.workload, row.size, OURS, row.metric)
    theirs = results.value(row.workload, row.size, peer, row.metric)
    mode = {PEER: "peer", FUNCTIONS: "functions"}[peer]
    words = f"≥ {must:g}x {mode}"
    if ours is None or theirs is None:
        return Check(words, results.note(row.workload, row.size, peer) or "-", None)
    ratio = ours / theirs if row.higher_is_better else theirs / ours
    return Check(words, f"{ratio:.2f}x", ratio >= must)


def _share(of: str, must: float) -> _Demand:
    """Such a part of the raw figure."""

    def demand(results: Results, row: _Row) -> Check:
        workload, size = row.raw or (row.workload, row.size)
        ours = results.value(row.workload, row.size, OURS, row.metric)
        raw = results.value(workload, size, RAW, row.metric)
        words = f"≥ {100 * must:.0f} % {of}"
        if ours is None or raw is None:
            return Check(words, "-", None)
        return Check(words, f"{100 * ours / raw:.1f} %", ours / raw >= must)

    return demand


def _at_most(name: str, workload: str, size: int, metric: str, must: float) -> _Demand:
    """So many milliseconds, or fewer."""

    def demand(results: Results, _row: _Row) -> Check:
        ours = results.value(workload, size, OURS, metric)
        words = f"{name} ≤ {must:g} ms".strip()
        if ours is None:
            return Check(words, "-", None)
        return Check(words, f"{ours:.2f} ms", ours <= must)

    return demand


def _at_least(must: float) -> _Demand:
    """So many events a second."""

    def demand(results: Results, row: _Row) -> Check:
        ours = results.value(row.workload, row.size, OURS, row.metric)
        words = f"≥ {must:,.0f} events/s"
        if ours is None:
            return Check(words, "-", None)
        return Check(words, f"{ours:,.0f} events/s", ours >= must)

    return demand


def _below_one_percent(results: Results, row: _Row) -> Check:
    """Of a core, client and server together."""
    ours = results.value(row.workload, row.size, OURS, row.metric)
    words = "< 1 % of a core, client and server"
    if ours is None:
        return Check(words, "-", None)
    return Check(words, f"{ours:.2f} %", ours < 1)


def _soon(metric: str, must: float, times: float) -> _Demand:
    """So many milliseconds, or so many times as long as a bare NOTIFY takes."""

    def demand(results: Results, row: _Row) -> Check:
        ours = results.value(row.workload, row.size, row.who, metric)
        bare = results.value(row.workload, row.size, RAW, metric)
        words = f"{metric[:3]} ≤ {must:g} ms" + (f" or {times:g}x NOTIFY's" if times else "")
        if ours is None or bare is None:
            return Check(words, "-", None)
        return Check(words, f"{ours:.2f} ms, {ours / bare:.2f}x", ours <= max(must, times * bare))

    return demand


def _round_trips(results: Results, row: _Row) -> Check:
    ours = results.value(row.workload, row.size, OURS, "p50_ms")
    trip = results.value(row.workload, row.size, RAW, "p50_ms")
    words = "≤ 2.5 round trips"
    if ours is None or trip is None:
        return Check(words, "-", None)
    return Check(words, f"{ours / trip:.2f}", ours / trip <= 2.5)


def _growth(results: Results) -> Iterator[Line]:
    for workload in (growth.APPEND, growth.LOAD):
        sizes = results.sizes(workload)
        if len(sizes) < 2:
            return
        first, last = sizes[0], sizes[-1]
        change = {who: _change(results, workload, (first, last), who) for who in (OURS, RAW)}
        checks = [_buffers(results, workload, first, last)]
        ours, raw = change[OURS], change[RAW]
        if ours and raw:
            paired = ours / raw
            words = f"time ≤ 1.25 {PAIRED}"
            checks.append(Check(words, f"{paired:.2f}", paired <= 1.25))
        told = {who: f"x{value:.2f}" if value else "" for who, value in change.items()}
        figures = {OURS: told[OURS], PEER: "", FUNCTIONS: "", RAW: told[RAW]}
        yield Line(f"{workload}, {first:,} → {last:,} stored", figures, checks)


def _buffers(results: Results, workload: str, first: int, last: int) -> Check:
    """A buffer more for each level that the indexes on its way have grown."""
    levels = results.facts[growth.LEVELS]
    grown = {name: levels[last][name] - levels[first][name] for name in levels[first]}
    by_version = "idx_event_store_aggregate_version"
    allowed = sum(grown.values()) if workload == growth.APPEND else grown[by_version]
    low, high = (results.value(workload, size, OURS, "buffers") for size in (first, last))
    words = f"buffers + ≤ {allowed} (index levels grown)"
    if low is None or high is None:
        return Check(words, "-", None)
    return Check(words, f"{low:.0f} → {high:.0f}", high - low <= allowed)


def _change(results: Results, workload: str, sizes: tuple[int, int], who: str) -> float | None:
    low, high = (results.value(workload, size, who, "p50_ms") for size in sizes)
    return high / low if low and high else None


def _told(results: Results, workload: str, size: int, who: str, metric: str) -> str:
    value = results.value(workload, size, who, metric)
    if value is None:
        return results.note(workload, size, who)
    if metric == "p50_ms":
        return f"{value:.2f} ms"
    if metric == "cpu_pct":
        return f"{value:.2f} %"
    unit = "saves/s" if metric == "operations_per_s" else "events/s"
    return f"{value:,.0f} {unit}"
