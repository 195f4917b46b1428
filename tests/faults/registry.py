"""The rows of the fault matrix: every module of `tests.faults.rows` is one."""

import importlib
import pkgutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from tests.faults.row import Outcome, Row, Run, Skipped

_PACKAGE = "tests.faults.rows"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How a row went.

    Attributes:
        seconds: How long it took.
        skipped: Why it did not run; "": it did.
    """

    name: str
    row: Row
    outcome: Outcome
    seconds: float
    skipped: str = ""


def names() -> list[str]:
    """Of every row, which is that of its module."""
    folder = Path(__file__).parent / "rows"
    return sorted(module.name for module in pkgutil.iter_modules([str(folder)]))


def row(name: str) -> Row:
    """The row of this name."""
    found: Row = importlib.import_module(f"{_PACKAGE}.{name}").ROW
    return found


async def execute(name: str, row: Row, *, seed: int, count: int) -> Result:
    """Run a row in a directory of its own."""
    start = time.monotonic()
    skipped = ""
    with TemporaryDirectory(prefix=f"hitherto-{name}-") as directory:
        try:
            outcome = await row.run(Run(seed=seed, count=count, directory=Path(directory)))
        except Skipped as reason:
            outcome, skipped = Outcome(), str(reason)
    seconds = time.monotonic() - start
    return Result(name=name, row=row, outcome=outcome, seconds=seconds, skipped=skipped)
