"""The SQLite backend, through apsw: nothing to install, nothing to run."""

from hitherto.infrastructure.sqlite.schema import schema_sql
from hitherto.infrastructure.sqlite.store import SqliteStore

__all__ = ["SqliteStore", "schema_sql"]
