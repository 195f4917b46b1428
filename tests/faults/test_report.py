"""What a run of the matrix tells: its exit status, and the table in the docs."""

from collections import Counter
from pathlib import Path

import pytest
from tests.faults import __main__ as program
from tests.faults.registry import Result
from tests.faults.report import PAGE, rewrite, written
from tests.faults.row import Outcome, Row, Run, Skipped


async def _clean(run: Run) -> Outcome:
    return Outcome(
        faults=Counter({"cuts": run.count}), operations=Counter({"ok": 2000}), notes=["a note"]
    )


async def _lying(run: Run) -> Outcome:
    return Outcome(faults=Counter({"cuts": run.count}), violations=["lost: one | two"])


async def _lazy(run: Run) -> Outcome:
    return Outcome()


async def _skipped(run: Run) -> Outcome:
    raise Skipped("there is no such program")


async def _broken(run: Run) -> Outcome:
    raise ZeroDivisionError


_RUNS = (_clean, _lying, _lazy, _skipped, _broken)
ROWS = {
    each.__name__: Row(title=f"The row{each.__name__}", promises="1", run=each, full=3, quick=1)
    for each in _RUNS
}


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the docs' page; and only the rows of this module."""
    copy = tmp_path / "reliability.md"
    copy.write_text(PAGE.read_text())
    monkeypatch.setattr(program, "names", lambda: list(ROWS))
    monkeypatch.setattr(program, "row", ROWS.__getitem__)
    monkeypatch.setattr(program, "rewrite", lambda results, seed: rewrite(results, seed, copy))
    return copy


@pytest.mark.parametrize(
    ("name", "status", "told"),
    [
        ("_clean", 0, "0 violations"),
        ("_lying", 1, "VIOLATION: lost: one | two"),
        ("_lazy", 1, "only 0 of 3 faults were injected"),
        ("_skipped", 0, "skipped: there is no such program"),
        ("_broken", 1, "the row broke off: ZeroDivisionError()"),
    ],
)
def test_a_violation_is_told_and_fails(
    name: str, status: int, told: str, page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So does a row that could not do its harm; one that is skipped says why."""
    before = page.read_text()
    assert program.main(["--row", name, "--seed", "7"]) == status
    printed = capsys.readouterr().out
    assert told in printed
    assert printed.startswith("seed 7\n")
    assert page.read_text() == before


def test_a_quick_run_leaves_the_page_alone(page: Path) -> None:
    """The page tells of the whole matrix."""
    before = page.read_text()
    program.main(["--quick", "--seed", "7"])
    assert page.read_text() == before


def test_a_whole_run_rewrites_the_table(page: Path) -> None:
    """Between its markers, and as often as one likes."""
    before = page.read_text()
    program.main(["--seed", "7"])
    once = page.read_text()
    assert once != before
    assert "seed 7." in once
    assert "| The row_clean | 1 | 3 cuts | 2,000 | 0 | 0 | 0 |" in once
    assert "| The row_skipped | 1 | skipped |" in once
    assert "- The row_skipped: skipped: there is no such program." in once
    assert "- The row_clean: a note." in once
    program.main(["--seed", "8"])
    twice = page.read_text()
    assert "seed 7." not in twice
    assert len(twice) == len(once)
    assert twice.splitlines()[0] == before.splitlines()[0]
    assert twice.splitlines()[-1] == before.splitlines()[-1]


def test_violations_are_counted_and_shown() -> None:
    """They are not hidden in the page either."""
    lying = ROWS["_lying"]
    outcome = Outcome(faults=Counter(cuts=1, kills=2), violations=["lost: one", "lost: two"])
    text = written([Result(name="_lying", row=lying, outcome=outcome, seconds=90.0)], 7)
    assert text.startswith("3 faults in 1 row, 2 violations, 2 minutes.")
    assert "| The row_lying | 1 | 3: 1 cuts, 2 kills | 0 | 0 | 0 | 2 | 90 |" in text
    assert "- The row_lying: VIOLATION: lost: one." in text
