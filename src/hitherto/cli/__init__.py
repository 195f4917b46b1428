"""The command `hitherto`; it needs the extra of the same name as this package."""

from hitherto.cli.entry import main

__all__ = ["main"]
