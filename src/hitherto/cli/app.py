"""The commands, and how their errors are told."""

from collections.abc import Sequence
from importlib.metadata import version

from cyclopts import App, CycloptsError
from rich.console import Console
from rich.text import Text

from hitherto.cli.demo import demo
from hitherto.cli.replay import replay
from hitherto.cli.schema import schema
from hitherto.cli.verify import verify
from hitherto.errors import HithertoError

app = App(
    name="hitherto",
    help="Event sourcing for Python: aggregates, kept as their events.",
    version=version("hitherto"),
    version_flags=["--version"],
    help_format="markdown",
)
app.command(demo)
app.command(schema)
app.command(verify)
app.command(replay)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: Its words; those of the process if left out.

    Returns:
        The exit status: that of the command, mostly 0; 1 after an error of hitherto, 2 for a wrong
        command line.
    """
    try:
        status = app(arguments, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        return 2  # Cyclopts has told it.
    except HithertoError as error:
        line = " ".join(str(error).split())
        Console(stderr=True).print(Text(f"hitherto: {line}", style="red"), soft_wrap=True)
        return 1
    return status if isinstance(status, int) else 0
