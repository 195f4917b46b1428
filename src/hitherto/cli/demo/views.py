"""How the demo looks: for a terminal of 80 columns, and for a file."""

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal

from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from hitherto.cli.demo.steps import LATER, PAYMENT, Comparison, Moment, Race, Year
from hitherto.examples.traffic_fines import (
    Fine,
    FineCreated,
    FineEvent,
    FineNotified,
    FineSent,
    Imported,
    JudgeAppealed,
    PaymentReceived,
    PenaltyAdded,
    PrefectureAppealSent,
)
from hitherto.examples.traffic_fines.importing import PER_TRANSACTION

_BAR = 24
_INDENT = (0, 0, 0, 2)


def chapter(console: Console, title: str, code: str) -> None:
    """A heading, and the line of Python that the chapter is about."""
    console.print()
    console.print(Rule(Text(title, style="bold"), align="left", style="dim"))
    console.print(Padding(Text(code, style="cyan"), _INDENT))


@contextmanager
def progress(console: Console, fines: int) -> Generator[Callable[[Imported], None]]:
    """A progress bar over an import; gives the function that moves it."""
    chapter(
        console,
        "Real fines, stored by commands",
        f"await fines.save_all(*some)  # {PER_TRANSACTION} fines in one transaction",
    )
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("importing", total=fines)
        yield lambda done: bar.update(task, completed=done.fines + done.skipped)


def show_import(console: Console, imported: Imported, seconds: float, counts: Counter[str]) -> None:
    """What was stored, and how fast."""
    table = _table("Activity", "Events", "")
    most = max(counts.values(), default=1)
    for activity, count in counts.most_common():
        table.add_row(activity, f"{count:,}", _bar(count / most))
    _show(console, table)
    _say(
        console,
        f"{imported.fines:,} fines with {imported.events:,} events in {seconds:.2f} s: "
        f"{imported.events / seconds:,.0f} events a second.",
        "Source: M. de Leoni, F. Mannhardt, Road Traffic Fine Management Process, 2015,",
        "doi:10.4121/uuid:270fd440-1057-4fb9-89a9-b699b47990f5 (a sample)",
    )


def show_history(console: Console, fine_id: str, moments: Sequence[Moment]) -> None:
    """One fine's events."""
    chapter(console, f"The history of fine {fine_id}", f"await fines.history({fine_id!r})")
    table = _table("", "Day", "Event", "", "Open", right={0, 4})
    for moment in moments:
        recorded = moment.recorded
        table.add_row(
            str(recorded.version),
            f"{recorded.event.at:%Y-%m-%d}",
            recorded.event_type,
            _details(recorded.event),
            _euros(moment.outstanding),
        )
    _show(console, table)


def show_time_travel(console: Console, before: Fine, now: Fine) -> None:
    """A fine as it was, beside what it is."""
    chapter(
        console,
        "The same fine two events earlier",
        f"await fines.load({now.id!r}, version={before.version})",
    )
    table = _table("", f"Version {before.version}", f"Version {now.version}", right={1, 2})
    for name, value in _state(now).items():
        earlier = _state(before)[name]
        style = "" if earlier == value else "bold yellow"
        table.add_row(name, Text(earlier), Text(value, style=style))
    _show(console, table)


def show_race(console: Console, race: Race) -> None:
    """Two writers, and how it ended."""
    chapter(
        console,
        "Two clerks book a payment at once",
        "await asyncio.gather(fines.save(annas), fines.save(brunos))",
    )
    fine, version = race.settled, race.decided_on
    table = _table("Clerk", "", "")
    both = f"load version {version}, book {PAYMENT} euros"
    table.add_row(f"{race.winner}, {race.loser}", both, "")
    table.add_row(race.winner, f"saves: version {version + 1}", Text("stored", style="green"))
    refused = Text(type(race.conflict).__name__, style="red")
    table.add_row(race.loser, f"saves: version {version + 1} as well", refused)
    table.add_row(race.loser, "decides anew with fines.update(…)", Text("stored", style="green"))
    _show(console, table)
    _say(
        console,
        f"{race.loser} was told: {race.conflict}.",
        f"Now at version {fine.version}: both payments are in, {_euros(fine.outstanding)} euros "
        "are outstanding.",
    )


def show_comparison(console: Console, comparison: Comparison) -> None:
    """What a snapshot saves."""
    chapter(
        console,
        "A snapshot against the full fold",
        "await fines.snapshot(fine)  # unless told otherwise, taken every 100 events",
    )
    longest = comparison.full_fold
    table = _table("", "Events read", "Time", "", right={1, 2})
    for name, events, seconds in (
        ("full fold", comparison.events, comparison.full_fold),
        ("snapshot + later events", LATER, comparison.from_snapshot),
    ):
        table.add_row(
            name, f"{events:,}", f"{1000 * seconds:.2f} ms", _bar(min(seconds / longest, 1))
        )
    _show(console, table)
    verdict = "the same in every field" if comparison.equal else "DIFFERENT: this is a bug"
    _say(
        console,
        f"A fine paid in instalments, {comparison.events:,} events, its snapshot at "
        f"{comparison.snapshot_at:,}; median of five loads.",
        f"The two states are {verdict}.",
    )


def show_years(console: Console, years: Mapping[int, Year]) -> None:
    """Money outstanding by year."""
    chapter(
        console,
        "Money outstanding, by the year of the fine",
        "sum(fine.outstanding for fine in (await fines.load_many(ids)).values())",
    )
    table = _table("Year", "Fines", "Owed", "Outstanding", "", right={1, 2, 3})
    most = max((year.outstanding for year in years.values()), default=Decimal(0)) or Decimal(1)
    for number, year in years.items():
        table.add_row(
            str(number),
            f"{year.fines:,}",
            _euros(year.owed),
            _euros(year.outstanding),
            _bar(float(year.outstanding / most)),
        )
    table.add_section()
    table.add_row(
        "all",
        f"{sum(year.fines for year in years.values()):,}",
        _euros(sum((year.owed for year in years.values()), Decimal(0))),
        _euros(sum((year.outstanding for year in years.values()), Decimal(0))),
        "euros",
    )
    _show(console, table)


def show_next(console: Console, left: str, commands: Sequence[str]) -> None:
    """What the demo has left, and what to try."""
    console.print()
    console.print(Rule(Text("What to try next", style="bold"), align="left", style="dim"))
    console.print(Padding(Text(left), (0, 0, 1, 2)))
    for command in commands:
        # Not wrapped by us, so that it can be copied in one piece.
        console.print(Text(f"$ {command}", style="cyan"), soft_wrap=True)


def _table(*headings: str, right: set[int] | None = None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for number, heading in enumerate(headings):
        is_number = number in ({1} if right is None and "Events" in headings else right or set())
        table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
    return table


def _show(console: Console, content: RenderableType) -> None:
    console.print(Padding(content, _INDENT))


def _say(console: Console, *lines: str) -> None:
    for line in lines:
        _show(console, Text(line))


def _bar(share: float) -> Text:
    return Text("█" * max(round(share * _BAR), 1 if share else 0), style="blue")


def _euros(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def _state(fine: Fine) -> dict[str, str]:
    return {
        "amount": _euros(fine.amount),
        "postage": _euros(fine.expense),
        "paid": _euros(fine.paid),
        "outstanding": _euros(fine.outstanding),
        "steps": str(len(fine.steps)),
        "latest event": f"{fine.last_at:%Y-%m-%d}",
    }


def _details(event: FineEvent) -> str:  # noqa: PLR0911
    match event:
        case FineCreated(amount=amount, article=article):
            return f"{_euros(amount)}, article {article}"
        case FineSent(expense=expense):
            return f"postage {_euros(expense)}"
        case FineNotified(notification_type=code):
            return f"type {code}"
        case PenaltyAdded(amount=amount):
            return f"now {_euros(amount)}"
        case PaymentReceived(amount=amount):
            return f"paid {_euros(amount)}"
        case PrefectureAppealSent(dismissal=code) | JudgeAppealed(dismissal=code):
            return f"dismissal {code}"
        case _:
            return ""
