"""`hitherto projections`: how far they are, and what can be done about it."""

from hitherto.cli.projections.app import projections

__all__ = ["projections"]
