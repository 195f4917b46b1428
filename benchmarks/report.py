"""The results on the screen, and in the page of the docs."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.results import FUNCTIONS, OURS, PEER, RAW, Figure, Results
from benchmarks.targets import Line

BEGIN, END = "<!-- results -->", "<!-- /results -->"
_VERDICTS = {True: "met", False: "MISSED", None: "not measured"}
_COLOURS = {True: "green", False: "red", None: "yellow"}
_COLUMNS = (OURS, PEER, FUNCTIONS, RAW)
_METRICS = {
    "operations_per_s": "operations/s",
    "events_per_s": "events/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "p999_ms": "p99.9 ms",
    "commands_ms": "commands ms",
    "conflicts": "conflicts",
    "retries_per_update": "retries/update",
    "backlog_mean": "mean backlog",
    "backlog_max": "highest backlog",
    "backlog_end": "backlog at the end",
    "sent_p50_ms": "acknowledged p50 ms",
    "rebuild_s": "seconds",
    "appended_per_s": "appended/s",
    "reads": "reads",
    "failed_reads": "reads that failed",
    "max_ms": "worst ms",
    "buffers": "buffers",
    "client_cpu_pct": "client CPU %",
    "server_cpu_pct": "server CPU %",
    "cpu_pct": "CPU % together",
}


def show(console: Console, results: Results, lines: list[Line]) -> None:
    """Print every figure, and then what was demanded."""
    for workload in results.workloads():
        console.print(_details(results, workload))
    table = Table(title="Where it must come out (medians)", title_style="bold")
    for name in ("workload", *_COLUMNS, "must", "found", ""):
        table.add_column(name)
    for line in lines:
        verdicts = [
            f"[{_COLOURS[check.met]}]{_VERDICTS[check.met]}[/{_COLOURS[check.met]}]"
            for check in line.checks
        ]
        table.add_row(
            line.workload,
            *(line.figures[name] for name in _COLUMNS),
            "\n".join(check.must for check in line.checks),
            "\n".join(check.found for check in line.checks),
            "\n".join(verdicts),
            end_section=True,
        )
    console.print(table)


def write(page: Path, results: Results, lines: list[Line]) -> None:
    """Put the results between the page's markers.

    Raises:
        ValueError: It has none.
    """
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no {BEGIN} … {END}")
    told = "\n".join(_markdown(results, lines))
    page.write_text(f"{before}{BEGIN}\n\n{told}\n\n{END}{after}", encoding="utf-8")


def _markdown(results: Results, lines: list[Line]) -> Iterator[str]:
    yield from _run(results)
    yield ""
    yield _row("workload", *_COLUMNS, "must", "found", "")
    yield _row(*["---"] * (len(_COLUMNS) + 4))
    for line in lines:
        figures = [line.figures[name] or "-" for name in _COLUMNS]
        for number, check in enumerate(line.checks):
            first = (line.workload, *figures) if not number else [""] * (len(figures) + 1)
            verdict = _VERDICTS[check.met] if check.met else f"**{_VERDICTS[check.met]}**"
            yield _row(*first, check.must, check.found, verdict)
    for workload in results.workloads():
        metrics = _metrics(results, workload)
        yield ""
        yield f"### {workload[0].upper()}{workload[1:]}"
        yield ""
        yield _row("size", "who", *(_METRICS[metric] for metric in metrics), "")
        yield _row("---:", "---", *["---:"] * len(metrics), "---")
        for cells in _cells(results, workload, metrics):
            yield _row(*cells)


def _run(results: Results) -> Iterator[str]:
    facts = results.facts
    rounds = ", ".join(f"{name} {count}" for name, count in results.rounds.items())
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    settings = ", ".join(f"`{name}={value}`" for name, value in facts["durability"].items())
    yield f"- Run: {facts['plan']}, {facts['minutes']} minutes. Rounds: {rounds}."
    yield f"- Machine: {facts['machine']}."
    yield f"- Versions: {versions}."
    yield f"- PostgreSQL: {settings}."
    for name, value in facts.items():
        if name.startswith(("threads of", "SQLite durability")):
            yield f"- {name[0].upper()}{name[1:]}: {value}."


def _details(results: Results, workload: str) -> Table:
    metrics = _metrics(results, workload)
    table = Table(title=workload, title_justify="left", title_style="bold")
    table.add_column("size", justify="right")
    table.add_column("who")
    for metric in metrics:
        table.add_column(_METRICS[metric], justify="right")
    table.add_column("")
    for cells in _cells(results, workload, metrics):
        table.add_row(*cells)
    return table


def _metrics(results: Results, workload: str) -> list[str]:
    """The metrics that somebody has in this workload."""
    names = {
        name
        for (measured, _, _), samples in results.samples.items()
        if measured == workload
        for sample in samples
        for name in sample.values
    }
    return [name for name in _METRICS if name in names]


def _cells(results: Results, workload: str, metrics: list[str]) -> Iterator[list[str]]:
    for size in results.sizes(workload):
        for contender in results.contenders(workload):
            if (workload, size, contender) not in results.samples:
                continue
            figures = (results.figure(workload, size, contender, name) for name in metrics)
            cells = [_figure(figure) for figure in figures]
            yield [f"{size:,}", contender, *cells, results.note(workload, size, contender)]


def _figure(figure: Figure | None) -> str:
    """The median, with the lowest and the highest where they differ."""
    if figure is None:
        return ""
    middle = _number(figure.median)
    if figure.low == figure.high:
        return middle
    return f"{middle} ({_number(figure.low)} … {_number(figure.high)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
