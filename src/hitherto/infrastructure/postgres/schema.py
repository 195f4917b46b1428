"""The tables: made, migrated and checked."""

import re
from typing import Any

from hitherto.errors import ConfigurationError, SchemaMismatch
from hitherto.infrastructure.sql import migrations, named_queries

_OLDEST_SERVER = 14
_BODY_TAG, _STEP_TAG = "$hitherto$", "$migration$"
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('hitherto.migrate', 0))"
_STEP = """DO {tag} BEGIN
IF (SELECT coalesce(max(version), 0) FROM {{schema}}.hitherto_migrations) < {number} THEN

{text}
{applied}

END IF;
END {tag};
"""
# to_regclass would do, but within a transaction it may not see what another one has just made.
_HAS_MIGRATIONS = """SELECT EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = 'hitherto_migrations')"""
_PLACE = re.compile(r"\{schema(?:_text)?\}")
_EVENTS = re.compile(r"\{schema\}\.event_store\b")


class Schema:
    """The PostgreSQL schema that holds one store's tables.

    Args:
        name: What it is called.
        migrate: Whether `prepare` makes or migrates the tables, or only looks.

    Attributes:
        tables: Tells these tables from all others; empty until `prepare` has seen them.

    Raises:
        ConfigurationError: The name is empty, over 63 bytes, or cannot be quoted.
    """

    def __init__(self, name: str, *, migrate: bool = True) -> None:
        tags = (_BODY_TAG, _STEP_TAG)
        if not 1 <= _length(name) <= 63 or any(bad in name for bad in ("\0", *tags)):
            raise ConfigurationError(f"schema={name!r}: give a PostgreSQL name of 1 to 63 bytes")
        if name.startswith("pg_"):
            raise ConfigurationError(f"schema={name!r}: PostgreSQL keeps names with pg_ for itself")
        self.name = name
        self.tables: str = ""
        self._may_migrate = migrate
        self._identifier = '"' + name.replace('"', '""') + '"'

    def sql(self, template: str) -> str:
        """`template` with the schema's quoted name in its places."""
        values = {
            "{schema}": self._identifier,
            "{schema_text}": self._identifier.replace("'", "''"),
        }
        # In one pass: a schema may be called "{schema}".
        return _PLACE.sub(lambda place: values[place[0]], template)

    def queries(self, resource: str, *, archived: bool = False) -> dict[str, str]:
        """The named queries of a file beside this one.

        Args:
            resource: The file.
            archived: Let those that read `event_store` read the archive, too.
        """
        found = named_queries(__package__, resource)
        if archived:
            found = {name: _EVENTS.sub(r"\g<0>_and_archive", text) for name, text in found.items()}
        return {name: self.sql(text) for name, text in found.items()}

    async def prepare(self, connection: Any) -> None:
        """Make or migrate the tables, if they are not up to date; else only look.

        Raises:
            SchemaMismatch: They are newer than the code, or may not be migrated, or the server
                does not fit.
        """
        await self._check_server(connection)
        version = await self._version(connection)
        if version < latest_version():
            if not self._may_migrate:
                found = f"have version {version}" if version else "are not there"
                raise SchemaMismatch(
                    f"the tables in schema {self.name!r} {found}, this code needs version "
                    f"{latest_version()}: open the store once with migrate=True, as connect() "
                    "does, or run what `hitherto schema` prints"
                )
            await connection.execute(_LOCK)
            await self._migrate(connection, await self._version(connection))
        looked = await connection.fetchrow(self.queries("within.sql")["look"])
        self.tables = looked[1]

    async def _check_server(self, connection: Any) -> None:
        encoding = await connection.fetchval("SELECT current_setting('server_encoding')")
        if encoding != "UTF8":
            raise SchemaMismatch(
                f"the database's encoding is {encoding}: events need a database in UTF8, made "
                "with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
            )
        server = connection.get_server_version()
        if server.major < _OLDEST_SERVER:
            raise SchemaMismatch(
                f"the server is PostgreSQL {server.major}: {_OLDEST_SERVER} or later is needed"
            )

    async def _version(self, connection: Any) -> int:
        if not await connection.fetchval(_HAS_MIGRATIONS, self.name):
            return 0
        version = await connection.fetchval(
            self.sql("SELECT max(version) FROM {schema}.hitherto_migrations")
        )
        if version and version > latest_version():
            raise SchemaMismatch(
                f"the tables in schema {self.name!r} have version {version}, this code knows "
                f"{latest_version()}: upgrade hitherto"
            )
        return int(version or 0)

    async def _migrate(self, connection: Any, version: int) -> None:
        exists = await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", self.name
        )
        if not exists:
            await connection.execute(self.sql("CREATE SCHEMA {schema}"))
        await connection.execute(self.sql(_migrations_table()))
        for number, text in migrations(__package__):
            if number > version:
                await connection.execute(self.sql(text))
                await connection.execute(self.sql(_applied(number)))


def latest_version() -> int:
    """The version of the tables that this code makes."""
    return migrations(__package__)[-1][0]


def schema_sql(schema: str) -> str:
    """All migrations as one script for a DBA; it does those that the tables lack.

    Raises:
        ConfigurationError: The schema's name cannot be used.
    """
    steps = [
        _STEP.format(tag=_STEP_TAG, number=number, text=text, applied=_applied(number))
        for number, text in migrations(__package__)
    ]
    head = [
        "BEGIN ISOLATION LEVEL READ COMMITTED;",
        f"{_LOCK};",
        "CREATE SCHEMA IF NOT EXISTS {schema};",
        _migrations_table(),
        "",
    ]
    return Schema(schema).sql("\n".join([*head, *steps, "COMMIT;"]))


def _migrations_table() -> str:
    return """CREATE TABLE IF NOT EXISTS {schema}.hitherto_migrations (
    version INTEGER NOT NULL PRIMARY KEY,
    applied_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now()
);"""


def _applied(number: int) -> str:
    return f"INSERT INTO {{schema}}.hitherto_migrations (version) VALUES ({number});"  # noqa: S608


def _length(name: str) -> int:
    """In bytes; 0 if the name cannot be encoded."""
    try:
        return len(name.encode())
    except UnicodeEncodeError:
        return 0
