"""The plots of the docs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from benchmarks.results import EVENTSOURCE_PY, FUNCTIONS, OURS, PEER, RAW, Results
from benchmarks.workloads import growth
from benchmarks.workloads.reading import LOAD
from benchmarks.workloads.saving import COPY, TASKS

_COLOURS = {
    OURS: "#0b6e4f",
    PEER: "#c8553d",
    FUNCTIONS: "#e09f3e",
    EVENTSOURCE_PY: "#7768ae",
    RAW: "#555555",
}
_STYLE: Any = {
    "svg.hashsalt": "hitherto",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw what was measured; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with rc_context(_STYLE):
        for name, plot in (
            ("throughput", _throughput),
            ("latency", _latency),
            ("streams", _streams),
            ("growth", _growth),
        ):
            figure = plot(results)
            if figure is None:
                continue
            path = folder / f"{name}.svg"
            figure.savefig(path, metadata={"Date": None})
            written.append(path)
    return written


def _throughput(results: Results) -> Figure | None:
    """Events a second against concurrent tasks."""
    if not results.sizes(TASKS):
        return None
    figure = Figure(figsize=(7, 4.2))
    axes = figure.subplots()
    for contender in results.contenders(TASKS):
        label = "pgbench, one event each" if contender == RAW else contender
        _line(axes, results, TASKS, contender, "events_per_s", label=label)
    copied = results.value(COPY, max(results.sizes(COPY), default=0), RAW, "events_per_s")
    if copied:
        axes.axhline(copied, color=_COLOURS[RAW], linestyle=":", label="\\copy of the same rows")
    _label(axes, "concurrent tasks", "events stored a second")
    return figure


def _latency(results: Results) -> Figure | None:
    """The median and the 99th percentile of a save."""
    if not results.sizes(TASKS):
        return None
    figure = Figure(figsize=(9, 4.2))
    pair = figure.subplots(1, 2, sharey=True)
    for axes, metric, title in zip(pair, ("p50_ms", "p99_ms"), ("median", "p99"), strict=True):
        for contender in results.contenders(TASKS):
            if contender != RAW:
                _line(axes, results, TASKS, contender, metric)
        axes.set_title(title)
        _label(axes, "concurrent tasks", "ms until a fine is stored")
    return figure


def _streams(results: Results) -> Figure | None:
    """The time of a load against the length of the stream."""
    if not results.sizes(LOAD):
        return None
    figure = Figure(figsize=(7, 4.2))
    axes = figure.subplots()
    for contender in results.contenders(LOAD):
        label = "the same SELECT, not decoded" if contender == RAW else contender
        _line(axes, results, LOAD, contender, "p50_ms", label=label)
    _label(axes, "events of the aggregate", "ms to load it")
    return figure


def _growth(results: Results) -> Figure | None:
    """Times against the number of stored events."""
    workloads = (growth.APPEND, growth.LOAD, growth.PAGES)
    if not all(results.sizes(workload) for workload in workloads):
        return None
    figure = Figure(figsize=(11, 3.8))
    axes = figure.subplots(1, 3)
    for each, workload in zip(axes, workloads, strict=True):
        for contender in (OURS, RAW):
            _line(each, results, workload, contender, "p50_ms")
        each.set_title(workload.removeprefix("growth: "))
        _label(each, "stored events", "ms")
        each.set_yscale("linear")
        each.set_ylim(bottom=0)
    return figure


def _line(
    axes: Any, results: Results, workload: str, contender: str, metric: str, *, label: str = ""
) -> None:
    """A contender's medians, with its lowest and highest as bars."""
    sizes, figures = [], []
    for size in results.sizes(workload):
        figure = results.figure(workload, size, contender, metric)
        if figure is not None:
            sizes.append(size)
            figures.append(figure)
    if not figures:
        return
    middle = [figure.median for figure in figures]
    below: Sequence[float] = [figure.median - figure.low for figure in figures]
    above: Sequence[float] = [figure.high - figure.median for figure in figures]
    axes.errorbar(
        sizes,
        middle,
        yerr=[below, above],
        color=_COLOURS[contender],
        marker="o",
        markersize=4,
        capsize=2,
        linestyle="--" if contender == RAW else "-",
        label=label or contender,
    )


def _label(axes: Any, x: str, y: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(fontsize="small", loc="best")
