"""What a terminal would obey is written out in the tables of `hitherto projections`, too."""

import io
from datetime import UTC, datetime
from uuid import uuid4

from rich.console import Console

from hitherto.application.checkpoints import ParkedEvent
from hitherto.cli.projections.parking import _table


def test_an_error_cannot_clear_the_screen() -> None:
    """Nor can an id: both come from whoever sent the command."""
    told = ParkedEvent(
        name="n", generation=1, partition=0, position=1, event_id=uuid4(), event_type="Put",
        aggregate_id="a\x1b[2J", version=1, attempts=5, error="ValueError: \x1b[2J", retry=False,
        parked_at=datetime.now(UTC),
    )  # fmt: skip
    shown = io.StringIO()
    Console(file=shown, width=200).print(_table([told]))
    assert "\x1b" not in shown.getvalue()
    assert shown.getvalue().count("\\x1b[2J") == 2
