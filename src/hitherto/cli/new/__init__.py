"""`hitherto new`: a project to start from; its files are those of the folder template."""

from hitherto.cli.new.command import new

__all__ = ["new"]
