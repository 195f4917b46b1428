"""What the hooks cost: ``python -m benchmarks.hooks [--rounds N]``.

Client CPU a save, of one user whose 100 tasks save one-event aggregates on PostgreSQL, in four
processes that take turns: the package without its hooks (a copy whose calls of them are cut out of
the source), with hooks that do nothing, with metrics, and with traces. Each round compares the
processes with the first one; the median of the rounds counts.
"""

import argparse
import ast
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.servers import start_cluster

SOURCE = Path("src/hitherto")
ALLOWED = {"off": 1.05, "metrics": 1.10}
TASKS, SAVES = 100, 4000
_HOOKS = {"instrumentation", "_hooks", "hooks"}
_AROUND = {"operation", "store_call", "_operation"}


def main() -> int:
    """Measure, and print the medians; 1 if the hooks cost more than allowed."""
    parser = argparse.ArgumentParser("benchmarks.hooks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--serve", metavar="VARIANT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(_serve(options.serve, os.environ["DATABASE_URL"]))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "hitherto"
        cut = without_hooks(bare)
        print(f"{cut} calls of hooks cut out of {SOURCE}")
        return _compare(options.rounds, bare.parent)


def _compare(rounds: int, bare: Path) -> int:
    cluster = start_cluster()
    variants = ("none", "off", "metrics", "traces")
    children = {
        variant: subprocess.Popen(
            [sys.executable, "-m", "benchmarks.hooks", "--serve", variant],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "DATABASE_URL": cluster.url(),
                "PYTHONPATH": f"{bare if variant == 'none' else SOURCE.parent}:.",
            },
        )
        for variant in variants
    }
    found: dict[str, list[float]] = {variant: [] for variant in variants}
    try:
        for number in range(rounds + 1):
            turn = variants if number % 2 else tuple(reversed(variants))
            for variant in turn:
                cost = _ask(children[variant])
                if number:  # The first round warms up.
                    found[variant].append(cost)
    finally:
        for child in children.values():
            child.communicate("")
        cluster.stop()
    return _report(found)


def _ask(child: "subprocess.Popen[str]") -> float:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write("go\n")
    child.stdin.flush()
    return float(child.stdout.readline())


def _report(found: dict[str, list[float]]) -> int:
    missed = 0
    for variant, costs in found.items():
        ratio = statistics.median(
            cost / base for cost, base in zip(costs, found["none"], strict=True)
        )
        allowed = ALLOWED.get(variant)
        verdict = "" if allowed is None else ("met" if ratio <= allowed else "MISSED")
        missed += verdict == "MISSED"
        print(
            f"{variant:8} {statistics.median(costs):6.2f} µs CPU a save, x {ratio:.3f}"
            + (f" (at most {allowed:.2f}: {verdict})" if allowed else "")
        )
    return int(missed > 0)


async def _serve(variant: str, url: str) -> None:
    """Run a round for each line that comes in, and answer with its CPU a save, in µs."""
    from hitherto import Aggregate, Event, Instrumentation, Repository, connect  # noqa: PLC0415

    class Opened(Event):
        owner: str

    class Account(Aggregate[Opened]):
        owner: str = ""

        def apply(self, event: Opened) -> None:
            self.owner = event.owner

    def instrumentation() -> Instrumentation | None:
        if variant == "metrics":
            from hitherto.infrastructure.prometheus import (  # noqa: PLC0415
                PrometheusInstrumentation,
            )

            return PrometheusInstrumentation()
        if variant == "traces":
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

            from hitherto.infrastructure.opentelemetry import (  # noqa: PLC0415
                OpenTelemetryInstrumentation,
            )

            return OpenTelemetryInstrumentation(TracerProvider())
        return None

    async def save(accounts: Repository[Account], numbers: list[str]) -> None:
        for number in numbers:
            account = Account(number)
            account.record(Opened(owner="Ada"))
            await accounts.save(account)

    async with connect(url, schema=variant, instrumentation=instrumentation()) as store:
        accounts = Repository(store, Account, snapshot_every=None)
        taken = 0
        while sys.stdin.readline():
            ids = [f"account-{taken + number}" for number in range(SAVES)]
            taken += SAVES
            start = time.process_time()
            await asyncio.gather(*(save(accounts, ids[task::TASKS]) for task in range(TASKS)))
            print((time.process_time() - start) * 1e6 / SAVES, flush=True)


def without_hooks(target: Path) -> int:
    """Copy the package to `target` with the calls of hooks cut out; returns how many those were."""
    shutil.copytree(SOURCE, target, ignore=shutil.ignore_patterns("__pycache__"))
    cut = 0
    for path in target.rglob("*.py"):
        if path.name != "instrumentation.py":
            tree = ast.parse(path.read_text())
            cutter = _Cutter()
            path.write_text(ast.unparse(ast.fix_missing_locations(cutter.visit(tree))))
            cut += cutter.cut
    return cut


class _Cutter(ast.NodeTransformer):
    """Takes statements that tell a hook away, and blocks that are around one apart."""

    def __init__(self) -> None:
        self.cut = 0

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if _is_hook(node.value):
            self.cut += 1
            return ast.Pass()
        return node

    def visit_With(self, node: ast.With) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        kept = [item for item in node.items if not _is_hook(item.context_expr)]
        self.cut += len(node.items) - len(kept)
        if kept:
            node.items = kept
            return node
        return node.body

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        if _is_hook(node.value):
            self.cut += 1
            node.value = ast.Constant(None)
        return node


def _is_hook(node: ast.expr) -> bool:
    """Whether it calls a method of the instrumentation, or `Repository._operation`."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    owner = node.func.value
    name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", None)
    return name in _HOOKS or node.func.attr in _AROUND


if __name__ == "__main__":
    sys.exit(main())
