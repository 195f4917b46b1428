"""The commands of `hitherto projections`."""

from cyclopts import App

from hitherto.cli.projections.changing import pause, reset, resume
from hitherto.cli.projections.listing import list_
from hitherto.cli.projections.parking import parked, retry, skip
from hitherto.cli.projections.rebuilding import rebuild
from hitherto.cli.projections.running import run

projections: App = App(name="projections", help="List, run, rebuild and repair projections.")
projections.command(list_, name="list")
projections.command(run)
projections.command(rebuild)
projections.command(pause)
projections.command(resume)
projections.command(reset)
projections.command(parked)
projections.command(retry)
projections.command(skip)
