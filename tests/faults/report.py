"""The report of a run of the whole matrix, in `docs/reliability.md`."""

import os
import platform
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw
from tests.faults.registry import Result
from tests.servers import wheel_bin_dir

PAGE = Path(__file__).parents[2] / "docs/reliability.md"
_BEGIN = "<!-- begin of what `make faults` writes -->\n"
_END = "<!-- end of what `make faults` writes -->\n"
_HEAD = (
    "Row",
    "Promises",
    "Faults",
    "Saves: ok",
    "failed",
    "unknown",
    "Violations",
    "Seconds",
)


def rewrite(results: Sequence[Result], seed: int, page: Path = PAGE) -> None:
    """Put the results in the place of the last ones."""
    before, _, rest = page.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    page.write_text(f"{before}{_BEGIN}{written(results, seed)}{_END}{after}")


def written(results: Sequence[Result], seed: int) -> str:
    """The results in Markdown."""
    ran = [result for result in results if not result.skipped]
    faults = sum(result.outcome.faults.total() for result in ran)
    violations = sum(len(result.outcome.violations) for result in ran)
    minutes = sum(result.seconds for result in ran) / 60
    summary = (
        f"{_counted(faults, 'fault')} in {_counted(len(ran), 'row')}, "
        f"{_counted(violations, 'violation')}, {minutes:.0f} minutes. {_surroundings()}; "
        f"seed {seed}."
    )
    columns = _line(["---", "---", "---", *["---:"] * 5])
    table = [_line(_HEAD), columns, *(_line(_cells(result)) for result in results)]
    return "\n".join((summary, "", *table, "", *_remarks(results), ""))


def one_line(result: Result) -> str:
    """A result for the terminal."""
    if result.skipped:
        return f"skipped: {result.skipped}"
    outcome = result.outcome
    told = outcome.operations
    return (
        f"{_faults(outcome.faults)}; saves: {told['ok']} ok, {told['failed']} failed, "
        f"{told['unknown']} unknown; {_counted(len(outcome.violations), 'violation')}; "
        f"{result.seconds:.0f} s"
    )


def _cells(result: Result) -> list[str]:
    outcome = result.outcome
    if result.skipped:
        return [result.row.title, result.row.promises, "skipped", *[""] * 5]
    return [
        result.row.title,
        result.row.promises,
        _faults(outcome.faults),
        *(f"{outcome.operations[each]:,}" for each in ("ok", "failed", "unknown")),
        str(len(outcome.violations)),
        f"{result.seconds:.0f}",
    ]


def _faults(faults: Counter[str]) -> str:
    kinds = [f"{count:,} {kind}" for kind, count in faults.items()]
    return kinds[0] if len(kinds) == 1 else f"{faults.total():,}: {', '.join(kinds)}"


def _remarks(results: Sequence[Result]) -> Iterator[str]:
    for result in results:
        for remark in (
            *([f"skipped: {result.skipped}"] if result.skipped else []),
            *(f"VIOLATION: {each}" for each in result.outcome.violations[:10]),
            *result.outcome.notes,
        ):
            yield f"- {result.row.title}: {remark}."


def _surroundings() -> str:
    server = subprocess.run(
        [str(wheel_bin_dir() / "postgres"), "--version"],
        capture_output=True, text=True, check=True,
    ).stdout.split()[2]  # fmt: skip
    return (
        f"PostgreSQL {server}, SQLite {apsw.sqlite_lib_version()}, Python "
        f"{platform.python_version()}, {_counted(os.cpu_count() or 1, 'core')}"
    )


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
