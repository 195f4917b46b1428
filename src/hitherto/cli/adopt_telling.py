"""What `hitherto adopt` prints."""

from collections.abc import Sequence

import msgspec
from rich.console import Console

from hitherto.application.adopting import Adopted, Compared, Difference, Refusal
from hitherto.application.adopting.ports import Refused
from hitherto.cli.printing import print_json, say


def tell_adopted(table: str, result: Adopted, *, as_json: bool) -> None:
    """Tell what became of the rows."""
    if as_json:
        print_json({"table": table, **msgspec.structs.asdict(result)})
        return
    console = Console(highlight=False)
    if result.refused:
        say(console, f"{table}: {result.refused:,} of {result.rows:,} rows were refused.", "red")
    else:
        say(console, f"{table}: all {result.rows:,} rows are aggregates.", "green")
    say(console, f"Taken over now: {result.written:,}")
    say(console, f"Taken over before: {result.skipped:,}")
    _refusals(console, result.refused, result.refusals)


def tell_compared(table: str, result: Compared, *, as_json: bool) -> None:
    """Tell what differs."""
    if as_json:
        print_json({"table": table, "equal": result.equal, **msgspec.structs.asdict(result)})
        return
    console = Console(highlight=False)
    if result.equal:
        say(console, f"{table} is what its aggregates say.", "green")
    else:
        say(console, f"{table} is not what its aggregates say.", "red")
    say(console, f"Rows: {result.rows:,}")
    say(console, f"Aggregates: {result.aggregates:,}")
    if result.equal:
        return
    say(console, f"Rows that differ: {result.counts['differs']:,}")
    say(console, f"Rows without an aggregate: {result.counts['missing']:,}")
    say(console, f"Aggregates without a row: {result.counts['extra']:,}")
    if result.counts["unreadable"]:
        say(console, f"Could not be compared: {result.counts['unreadable']:,}")
    for each in result.differences:
        _difference(console, each)
    _more(console, sum(result.counts.values()) - len(result.differences))


def tell_begun(table: str) -> None:
    """Tell that both sides are being kept in step."""
    say(Console(highlight=False), f"Keeping {table} and its aggregates in step.")


def tell_kept(
    taken: int, written: int, refused: int, places: Sequence[Refused], *, as_json: bool
) -> None:
    """Tell what was done."""
    if as_json:
        print_json({"taken": taken, "written": written, "refused": refused, "refusals": places})
        return
    console = Console(highlight=False)
    say(console, f"Changes taken over: {taken:,}")
    say(console, f"Rows written back: {written:,}")
    if refused:
        say(console, f"Changes that were refused, and wait: {refused:,}", "red")
    _refusals(console, refused, [Refusal(key=each.key, reason=each.reason) for each in places])


def tell_captured(table: str, *, captured: bool, as_json: bool) -> None:
    """Tell whether changes are captured from now on."""
    if as_json:
        print_json({"table": table, "captured": captured})
    elif captured:
        say(Console(highlight=False), f"Each write to {table} is captured from now on.", "green")
    else:
        say(Console(highlight=False), f"Writes to {table} are captured no more.", "green")


def _refusals(console: Console, count: int, refusals: Sequence[Refusal]) -> None:
    for each in refusals:
        say(console, f"  {each.key}: {each.reason}")
    _more(console, count - len(refusals))


def _difference(console: Console, difference: Difference) -> None:
    key, aggregate_id = difference.key, difference.aggregate_id
    if difference.kind == "missing":
        say(console, f"  {key}: there is a row, but {aggregate_id} has none")
    elif difference.kind == "extra":
        say(console, f"  {key}: there is no row, but {aggregate_id} has one")
    elif difference.kind == "unreadable":
        say(console, f"  {key}: {difference.reason}")
    for name, (row, fold) in difference.columns.items():
        say(console, f"  {key}: {name} is {row} in the row, {fold} in {aggregate_id}")


def _more(console: Console, count: int) -> None:
    if count > 0:
        say(console, f"  … and {count:,} more")
