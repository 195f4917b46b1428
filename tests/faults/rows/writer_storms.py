"""Twelve writers in every way against three kinds of consumer, who are given each event once."""

from tests.faults.backends import Place
from tests.faults.consumers import consumed
from tests.faults.row import Outcome, Row, Run
from tests.faults.shared_server import new_schema, shared_server

_QUICK = 20  # faults
_SECONDS = 60.0


async def run(run: Run) -> Outcome:
    """For a minute; other projects' readers, beside them, are the control."""
    place = Place("postgresql", shared_server().url(), {"schema": new_schema()})
    seconds = _SECONDS if run.count > _QUICK else 2.0
    found = await consumed(place, run.random("storm"), seconds=seconds, faults=run.count)
    outcome = Outcome(faults=found.faults, violations=found.violations)
    outcome.notes.append(
        f"{found.events:,} events in {seconds:g} s; of these a plain reader lost {found.lost:,}, "
        f"and one that goes by transaction ids was given {found.inverted:,} out of order or not"
    )
    if run.count > _QUICK and not (found.lost and found.inverted):
        outcome.violations.append("the controls were given all events in order: the storm is weak")
    return outcome


ROW = Row(
    title="A storm of writers (rolled back, prepared, killed, held), and workers that come and go",
    promises="3",
    run=run,
    full=1000,
    quick=_QUICK,
)
