"""The fault matrix: ``python -m tests.faults``, or ``make faults``."""

import argparse
import asyncio
import logging
import secrets
import sys
import traceback
from collections.abc import Mapping, Sequence

from tests.faults.registry import Result, execute, names, row
from tests.faults.report import one_line, rewrite
from tests.faults.row import Outcome, Row


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rows one after the other; returns 1 if a promise was broken."""
    given = _arguments(arguments)
    chosen = {name: row(name) for name in given.row or names()}
    print(f"seed {given.seed}", flush=True)
    logger = logging.getLogger("hitherto")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # it would tell of every retry
    try:
        results = _results(chosen, given)
    finally:
        logger.setLevel(level)
    if not given.quick and not given.row:
        rewrite(results, given.seed)
    violations = sum(len(result.outcome.violations) for result in results)
    print(f"{violations} violations; --seed {given.seed} makes the same choices again")
    return 1 if violations else 0


def _results(chosen: Mapping[str, Row], given: argparse.Namespace) -> list[Result]:
    results: list[Result] = []
    for number, (name, each) in enumerate(chosen.items(), 1):
        count = each.quick if given.quick else each.full
        print(f"[{number}/{len(chosen)}] {name}: {each.title}, {count} times …", flush=True)
        results.append(_executed(name, each, given.seed, count))
        _tell(results[-1])
    return results


def _executed(name: str, chosen: Row, seed: int, count: int) -> Result:
    try:
        result = asyncio.run(execute(name, chosen, seed=seed, count=count))
    except Exception as error:  # noqa: BLE001  # the other rows are to run all the same
        traceback.print_exc()
        outcome = Outcome(violations=[f"the row broke off: {error!r}"])
        return Result(name=name, row=chosen, outcome=outcome, seconds=0.0)
    done = result.outcome.faults.total()
    if not result.skipped and done < count:
        result.outcome.violations.append(f"only {done} of {count} faults were injected")
    return result


def _tell(result: Result) -> None:
    print(f"    {one_line(result)}")
    for note in result.outcome.notes:
        print(f"    {note}")
    for violation in result.outcome.violations:
        print(f"    VIOLATION: {violation}")
    sys.stdout.flush()


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="as much as `make test` does")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--row", nargs="+", default=[], choices=names(), metavar="NAME")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
