"""How the demo looks where its own run does not go."""

import io
from collections import Counter
from decimal import Decimal

import pytest
from rich.console import Console

from hitherto.cli.demo import views
from hitherto.cli.demo.steps import Comparison, Year
from hitherto.examples.traffic_fines import Imported


@pytest.fixture
def console() -> Console:
    """A file of 80 columns."""
    return Console(
        file=io.StringIO(), width=80, force_terminal=False, highlight=False, legacy_windows=False
    )


def shown(console: Console) -> list[str]:
    """What was printed, line by line."""
    assert isinstance(console.file, io.StringIO)
    return [line.strip() for line in console.file.getvalue().splitlines()]


def test_states_that_differ_are_told_to_be_a_bug(console: Console) -> None:
    """It never should be seen."""
    views.show_comparison(console, Comparison(5000, 4980, 0.01, 0.001, equal=False))
    assert "The two states are DIFFERENT: this is a bug." in shown(console)


@pytest.mark.parametrize(("from_snapshot", "bar"), [(0.0004, 1), (0.05, 12), (0.1, 24), (0.3, 24)])
def test_times_are_drawn_against_the_full_fold(
    from_snapshot: float, bar: int, console: Console
) -> None:
    """In 24 steps; as one at least, and a slower snapshot as no more than the full fold."""
    views.show_comparison(console, Comparison(50, 30, 0.1, from_snapshot, equal=True))
    lines = shown(console)
    assert "".join(lines).count("█") == 24 + bar
    assert any(f" {1000 * from_snapshot:.2f} ms" in line for line in lines)


def test_an_import_of_nothing_can_be_shown(console: Console) -> None:
    """As when all was skipped."""
    views.show_import(console, Imported(skipped=3), 0.5, Counter())
    assert "0 fines with 0 events in 0.50 s: 0 events a second." in shown(console)


def test_years_without_debts_have_no_bar(console: Console) -> None:
    """And nothing is divided by it."""
    views.show_years(console, {2006: Year(fines=2, owed=Decimal(1000))})
    lines = shown(console)
    assert any(line.split() == ["2006", "2", "1,000.00", "0.00"] for line in lines)
    assert any(line.split() == ["all", "2", "1,000.00", "0.00", "euros"] for line in lines)


def test_no_years_can_be_shown(console: Console) -> None:
    """Their sum is nothing."""
    views.show_years(console, {})
    assert any(line.split() == ["all", "0", "0.00", "0.00", "euros"] for line in shown(console))


def test_a_command_is_printed_in_one_piece(console: Console) -> None:
    """So that it can be copied; no markup is read into it."""
    command = "python -c '" + "print([1]); " * 20 + "'"
    views.show_next(console, "It is in [a file].", [command])
    assert f"$ {command}" in shown(console)
    assert "It is in [a file]." in shown(console)


def test_progress_counts_what_is_skipped_too(console: Console) -> None:
    """It is done with as well."""
    with views.progress(console, 5) as advance:
        advance(Imported(fines=1))
        advance(Imported(fines=2, skipped=3))
    assert any("importing" in line and "5/5" in line for line in shown(console))
