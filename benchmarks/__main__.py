"""The command: ``python -m benchmarks [--quick] [--only NAME ...] [--out FOLDER]``."""

import argparse
import os
import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from benchmarks import plots, report
from benchmarks.plan import FULL, QUICK
from benchmarks.results import Results
from benchmarks.running import Bench, run_family
from benchmarks.server import Server, durability, running
from benchmarks.targets import lines
from benchmarks.workloads import FAMILIES

DOCS = Path("docs/benchmarks")
PAGE = Path("docs/benchmarks.md")
QUICK_OUT = Path("benchmarks/out")
LOG = Path("../shared/data/traffic_fines.jsonl.gz")
_PACKAGES = ("hitherto", "eventsourcing", "eventsource-py", "asyncpg", "psycopg", "apsw")


def main() -> int:
    """Run the benchmarks, and show and write what they find."""
    options = _options()
    begun = time.perf_counter()
    plan = QUICK if options.quick else FULL
    console = Console(width=None if sys.stdout.isatty() else 160)
    results = Results()
    chosen = [
        family
        for family in FAMILIES
        if not options.only or family.name.startswith(tuple(options.only))
    ]
    with running() as server:
        results.facts = _facts(server, plan.name)
        console.print(f"PostgreSQL {server.version}, {plan.name} run, at most {plan.limit:.0f} s")
        bench = Bench(server, plan, options.log, results, console, begun + plan.limit)
        try:
            for family in chosen:
                run_family(bench, family)
        finally:
            bench.stop()
    results.facts["minutes"] = round((time.perf_counter() - begun) / 60, 1)
    _finish(console, results, options.out, into_docs=not options.quick and not options.only)
    return 0


def _finish(console: Console, results: Results, out: Path | None, *, into_docs: bool) -> None:
    """Show the results, and write them where they belong."""
    table = lines(results)
    report.show(console, results, table)
    folder = out or (DOCS if into_docs else QUICK_OUT)
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "results.json", *plots.draw(results, folder)]
    results.write(written[0], [line.told() for line in table])
    if into_docs and out is None:
        report.write(PAGE, results, table)
        written.append(PAGE)
    console.print(f"{results.facts['minutes']} minutes; written: {', '.join(map(str, written))}")


def _options() -> argparse.Namespace:
    names: Sequence[str] = [family.name for family in FAMILIES]
    parser = argparse.ArgumentParser("benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two minutes, small sizes")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help=f"of {', '.join(names)}"
    )
    parser.add_argument("--out", type=Path, help="the folder for JSON and plots")
    parser.add_argument(
        "--log", type=Path, default=LOG, help="the log of 100,000 fines; else the sample is used"
    )
    options = parser.parse_args()
    unknown = [name for name in options.only if not any(each.startswith(name) for each in names)]
    if unknown:
        parser.error(f"no family is called {', '.join(unknown)}: there are {', '.join(names)}")
    return options


def _facts(server: Server, plan: str) -> dict[str, object]:
    packages = {name: version(name) for name in _PACKAGES}
    return {
        "plan": plan,
        "machine": f"{os.cpu_count()} shared cores, {platform.machine()}, {platform.system()}",
        "versions": {
            "Python": platform.python_version(),
            "PostgreSQL": server.version,
            **packages,
        },
        "durability": durability(server),
    }


if __name__ == "__main__":
    sys.exit(main())
