"""Where the command starts; it works without the extra, so as to say what is missing."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, that of the process if left out; returns the exit status."""
    missing = [name for name in ("cyclopts", "rich", "structlog") if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"The command needs {' and '.join(missing)}: pip install 'hitherto[cli]'\n"
        )
        return 2
    from hitherto.cli.app import run  # noqa: PLC0415

    return run(arguments)
