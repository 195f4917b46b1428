"""`legacy_table`: from a URL and a name to a table of before."""

from urllib.parse import unquote

from hitherto.application.adopting import LegacyTable
from hitherto.errors import ConfigurationError
from hitherto.infrastructure.urls import without_password

_LONGEST_NAME = 40  # bytes; what is made for the capture has longer ones
_BODY_TAG = "$function$"


def legacy_table(url: str, table: str, *, key: str = "id") -> LegacyTable:
    """A table of before; open it.

    Args:
        url: Of its database: ``sqlite:///path``, ``postgresql://…`` or ``postgres://…``.
        table: Its name, on PostgreSQL perhaps with the schema's before a dot; as it is stored.
        key: The column that tells rows apart.

    Raises:
        ConfigurationError: The URL or a name is wrong, or the driver is not installed.
    """
    for what, name in (("table", table), ("key", key)):
        if not name or any(bad in name for bad in ("\0", '"', _BODY_TAG)):
            raise ConfigurationError(f"{what}={name!r} is no name: give it as it is stored")
    if len(table.rpartition(".")[2].encode()) > _LONGEST_NAME:
        raise ConfigurationError(
            f"table={table!r} is too long a name: {_LONGEST_NAME} bytes at most"
        )
    if url.startswith("sqlite:///"):
        from hitherto.infrastructure.sqlite.adopting import SqliteTable  # noqa: PLC0415

        return SqliteTable(unquote(url.removeprefix("sqlite:///")), table, key)
    if not url.startswith(("postgresql://", "postgres://")):
        raise ConfigurationError(
            f"{without_password(url)} has no tables to adopt: give the URL of a PostgreSQL or "
            "SQLite database"
        )
    try:
        from hitherto.infrastructure.postgres.adopting import PostgresTable  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "PostgreSQL needs its driver: pip install 'hitherto[postgres]'"
        ) from error
    return PostgresTable(url, table, key)
