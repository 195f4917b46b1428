"""How the commands on projections show tables and times."""

from collections.abc import Collection
from datetime import UTC, datetime

from rich.table import Table

_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def table(*columns: str, right: Collection[str]) -> Table:
    """A table whose cells wrap rather than be cut off; the columns in `right` hold numbers."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return made


def age(seconds: float) -> str:
    """A span of time, short: in the unit of which there are some."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    size, unit = next((size, unit) for size, unit in _UNITS if seconds >= 2 * size)
    return f"{seconds / size:,.0f} {unit}"


def since(moment: datetime | None) -> str:
    """How long ago something was."""
    if moment is None:
        return "never"
    return f"{age(max((datetime.now(UTC) - moment).total_seconds(), 0))} ago"
