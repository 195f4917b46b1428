"""How the commands that look into a store show what they find, on a screen and in pipes."""

import io
import os
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.pager import SystemPager
from rich.table import Table
from rich.text import Text

from hitherto.application.records import StoredEvent
from hitherto.cli.printing import plain, written

_KEPT = 2_000_000  # characters


def cell(text: str, style: str = "") -> Text:
    """A stored text in a table; no markup is read into it."""
    return Text(plain(text), style=style)


def short(text: str | None, most: int = 200) -> Text:
    """The beginning of some JSON, in one line."""
    shown = plain((text or "")[: most + 1])
    return Text(
        f"{shown[:most]}…" if len(shown) > most else shown, no_wrap=True, overflow="ellipsis"
    )


def time_of(moment: datetime) -> str:
    """A moment in UTC, to the millisecond."""
    return moment.replace(tzinfo=None).isoformat(" ", "milliseconds")


def table(*columns: str, right: Sequence[str] = (), title: str | None = None) -> Table:
    """A table whose cells wrap; the columns in `right` hold numbers."""
    made = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="bold",
        title=title,
        title_justify="left",
        title_style="bold",
    )
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return made


def amount(size: float) -> str:
    """A number of bytes, short."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def raw(text: str | None) -> Any:
    """Stored JSON as it is, to the last digit, in one line; as text where it is none."""
    if text is None:
        return None
    try:
        return msgspec.Raw(msgspec.json.format(text.encode(), indent=-1))
    except (ValueError, RecursionError):
        return text


def told(event: StoredEvent) -> dict[str, Any]:
    """All of a stored event, for JSON."""
    fields = msgspec.structs.asdict(event)
    return {**fields, "data": raw(event.data), "metadata": raw(event.metadata)}


def print_lines(events: Sequence[StoredEvent]) -> None:
    """Print events for programs, each in a line of JSON; it is flushed, for they may wait."""
    for event in events:
        sys.stdout.write(f"{written(told(event))}\n")
    sys.stdout.flush()


@contextmanager
def screen(*, paged: bool = True) -> Generator[Console]:
    """Where to print. What does not fit the screen goes through the pager, in the end.

    Without a terminal there is none; nor for very much, which is printed as it comes.

    Args:
        paged: Whether to.
    """
    console = Console(highlight=False)
    if not (paged and console.is_terminal):
        yield console
        return
    kept = _Kept(console.file.write)
    lines = console.height
    yield Console(highlight=False, file=kept, force_terminal=True, width=console.width)
    if kept.spilled:
        return
    text = kept.getvalue()
    if text.count("\n") < lines:
        console.file.write(text)
    else:
        os.environ.setdefault("LESS", "-R")  # so that colours are colours there
        SystemPager().show(text)


class _Kept(io.StringIO):
    """Keeps what is printed, until that is too much."""

    def __init__(self, spill: Callable[[str], object]) -> None:
        super().__init__()
        self.spilled = False
        self._spill = spill

    def write(self, text: str, /) -> int:
        if self.spilled:
            self._spill(text)
            return len(text)
        written = super().write(text)
        if self.tell() > _KEPT:
            self.spilled = True
            self._spill(self.getvalue())
        return written
