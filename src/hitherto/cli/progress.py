"""A bar for each step of a long command, where somebody is looking."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from hitherto.application.refolding import Progress, in_silence


class _Pace(ProgressColumn):
    """How many a second, and how long it will take at that pace."""

    max_refresh = 0.5  # seconds

    def render(self, task: Task) -> Text:
        if task.speed is None or task.finished:
            return Text()
        pace = f"{task.speed:,.0f}/s"
        if task.time_remaining is None:
            return Text(pace)
        return Text(f"{pace}, {timedelta(seconds=task.time_remaining)} left")


@contextmanager
def bars() -> Generator[Progress]:
    """What to tell of the progress; it shows on stderr, if that is a terminal, and then goes."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield in_silence
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        _Pace(),
    )
    tasks: dict[str, TaskID] = {}
    with Bars(*columns, console=console, transient=True) as shown:

        def tell(step: str, done: int, total: int | None) -> None:
            if step not in tasks:
                tasks[step] = shown.add_task(step, total=total)
            shown.update(tasks[step], completed=done, total=total)

        yield tell
