"""`hitherto demo`: real aggregates, decided, stored, reloaded and travelled through."""

from hitherto.cli.demo.command import demo

__all__ = ["demo"]
