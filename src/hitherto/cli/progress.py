"""A bar for each step of a long command, where somebody is looking."""

from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from hitherto.application.refolding import Progress, in_silence


@contextmanager
def bars() -> Generator[Progress]:
    """What to tell of the progress; it shows on stderr, if that is a terminal, and then goes."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield in_silence
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    tasks: dict[str, TaskID] = {}
    with Bars(*columns, console=console, transient=True) as shown:

        def tell(step: str, done: int, total: int | None) -> None:
            if step not in tasks:
                tasks[step] = shown.add_task(step, total=total)
            shown.update(tasks[step], completed=done, total=total)

        yield tell
