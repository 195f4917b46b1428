"""`hitherto show`, `events`, `log`, `stats` and `why`: for whoever is on call."""

from hitherto.cli.looking.events import events
from hitherto.cli.looking.log import log
from hitherto.cli.looking.show import show
from hitherto.cli.looking.stats import stats
from hitherto.cli.looking.why import why

__all__ = ["events", "log", "show", "stats", "why"]
