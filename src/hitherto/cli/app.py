"""The commands, and how their errors are told."""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter
from rich.console import Console
from rich.text import Text

from hitherto.cli.adopt import adopt_table
from hitherto.cli.archive import archive, restore, tombstone
from hitherto.cli.branch import branch
from hitherto.cli.check import check
from hitherto.cli.complaints import complaint
from hitherto.cli.completion import completion
from hitherto.cli.demo import demo
from hitherto.cli.erase import erase, erasures
from hitherto.cli.export import export
from hitherto.cli.forget import forget
from hitherto.cli.health import health
from hitherto.cli.import_ import import_
from hitherto.cli.logs import LogFormat, LogLevel, shown
from hitherto.cli.looking import events, log, show, stats, why
from hitherto.cli.new import new
from hitherto.cli.printing import plain
from hitherto.cli.projections import projections
from hitherto.cli.replay import replay
from hitherto.cli.replay_diff.command import replay_diff
from hitherto.cli.schema import schema
from hitherto.cli.seal import seal
from hitherto.cli.verify import verify
from hitherto.errors import HithertoError

app: App = App(
    name="hitherto",
    help="Event sourcing for Python: aggregates, kept as their events.",
    version=version("hitherto"),
    version_flags=["--version"],
    help_format="markdown",
    error_formatter=complaint,
)
app.meta.group_parameters = Group("Logging", sort_key=1)
app.command(new)
app.command(demo)
app.command(schema)
app.command(verify)
app.command(seal)
app.command(replay)
app.command(replay_diff)
app.command(check)
app.command(health)
app.command(forget)
app.command(erase)
app.command(erasures)
app.command(archive)
app.command(restore)
app.command(tombstone)
app.command(completion)
app.command(show)
app.command(events)
app.command(log)
app.command(stats)
app.command(why)
app.command(projections)
app.command(export)
app.command(import_, name="import")
app.command(branch)
app.command(adopt_table, name="adopt")


@app.meta.default
def _with_logging(
    *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    log_format: Annotated[LogFormat, Parameter(env_var="HITHERTO_LOG_FORMAT")] = "console",
    log_level: Annotated[LogLevel, Parameter(env_var="HITHERTO_LOG_LEVEL")] = "warning",
) -> Any:
    """Run a command.

    Parameters
    ----------
    words:
        The command.
    log_format:
        How the log is written, on stderr: for people, or a line of JSON for each event.
    log_level:
        What to log: this, and what is worse.
    """
    with shown(log_format, log_level):
        return app(words, exit_on_error=False, result_action="return_value")


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: Its words; those of the process if left out.

    Returns:
        The exit status: that of the command, mostly 0; 1 after an error of hitherto, 2 for a wrong
        command line.
    """
    try:
        status = app.meta(arguments, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        return 2  # Cyclopts has told it.
    except HithertoError as error:
        line = " ".join(str(error).split())
        Console(stderr=True).print(Text(f"hitherto: {plain(line)}", style="red"), soft_wrap=True)
        return 1
    except BrokenPipeError:  # Who reads has seen enough; nothing is to be told at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        sys.stderr.write(f"hitherto: {error}\n")
        return 1
    return status if isinstance(status, int) else 0
