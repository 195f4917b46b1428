# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""The tables: made, migrated and checked."""

import re
from typing import Any

import apsw

from hitherto.errors import SchemaMismatch
from hitherto.infrastructure.sql import migrations

_MIGRATIONS_TABLE = """CREATE TABLE IF NOT EXISTS hitherto_migrations (
    version INTEGER NOT NULL PRIMARY KEY,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);"""

_HAS_MIGRATIONS = "SELECT count(*) FROM sqlite_schema WHERE name = 'hitherto_migrations'"
_CREATE = re.compile(r"^CREATE (?:TABLE|(?:UNIQUE )?INDEX|TRIGGER|VIEW) ", re.MULTILINE)
_IF_NOT_EXISTS = r"\g<0>IF NOT EXISTS "


def check(connection: apsw.Connection) -> None:
    """See that the tables are those that this code knows.

    Raises:
        SchemaMismatch: They are older, newer, or not there.
    """
    found: Any = connection.execute(_HAS_MIGRATIONS).get
    version = (found and schema_version(connection)) or 0
    latest = migrations(__package__)[-1][0]
    if version != latest:
        found = f"have version {version}" if version else "are not there"
        remedy = "open the store once with migrate=True, as connect() does"
        raise SchemaMismatch(
            f"the tables {found}, this code needs version {latest}: "
            + (remedy if version < latest else "upgrade hitherto")
        )


def migrate(connection: apsw.Connection) -> None:
    """Make or migrate the tables, if they are not up to date.

    Raises:
        SchemaMismatch: They are newer than the code.
    """
    known = migrations(__package__)
    connection.execute(_MIGRATIONS_TABLE)
    version = schema_version(connection) or 0
    if version > known[-1][0]:
        raise SchemaMismatch(
            f"the tables have version {version}, this code knows {known[-1][0]}: upgrade hitherto"
        )
    for number, text in known:
        if number > version:
            connection.execute(text)
            connection.execute(_applied(number))


def schema_version(connection: apsw.Connection) -> int | None:
    """The version of the tables."""
    found: Any = connection.execute("SELECT max(version) FROM hitherto_migrations").get
    return None if found is None else int(found)


def schema_sql() -> str:
    """All migrations as one script; it makes what the tables lack.

    SQL alone cannot ask SQLite for the version, so each step is to have CREATE statements only,
    and DROP … IF EXISTS before them.
    """
    steps = [
        f"{_CREATE.sub(_IF_NOT_EXISTS, text.strip())}\n{_applied(number, 'INSERT OR IGNORE')}"
        for number, text in migrations(__package__)
    ]
    return "\n".join(["BEGIN;", _MIGRATIONS_TABLE, *steps, "COMMIT;"])


def _applied(number: int, insert: str = "INSERT") -> str:
    return f"{insert} INTO hitherto_migrations (version) VALUES ({number});"
