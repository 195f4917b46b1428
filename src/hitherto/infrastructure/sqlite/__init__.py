"""The SQLite backend, through apsw: nothing to install, nothing to run."""

from hitherto.infrastructure.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
