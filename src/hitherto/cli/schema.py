"""`hitherto schema`: the tables, and the roles that may use them, for a DBA."""

from typing import Literal

from rich.console import Console

from hitherto.errors import ConfigurationError
from hitherto.infrastructure.sqlite import schema_sql as sqlite_sql


def schema(
    *,
    schema: str = "public",
    roles: bool = False,
    role_prefix: str | None = None,
    backend: Literal["postgres", "sqlite"] = "postgres",
) -> None:
    """Print the SQL that makes the tables, or brings older ones up to date.

    A store does so itself when it is opened, where its role may. Where it may not, a DBA runs this
    script; on tables that are up to date it does nothing:

        hitherto schema --schema shop --roles | psql "$DATABASE_URL"

    Parameters
    ----------
    schema:
        The PostgreSQL schema that is to hold them.
    roles:
        Also make three roles: an owner of the tables, a writer that may add events and never
        change or remove one, and a reader.
    role_prefix:
        Their names are this with _owner, _writer and _reader; by default the schema's name, or
        hitherto for the schema public.
    backend:
        Which database they are for.
    """
    if role_prefix is not None and not roles:
        raise ConfigurationError("--role-prefix names the roles: give --roles too")
    if backend == "sqlite":
        if roles:
            raise ConfigurationError("SQLite knows no roles: the file's permissions say who may")
        sql = sqlite_sql()
    else:
        sql = _postgres_sql(schema, roles=roles, prefix=role_prefix)
    Console().out(sql, highlight=False)


def _postgres_sql(schema: str, *, roles: bool, prefix: str | None) -> str:
    try:
        from hitherto.infrastructure.postgres import schema_sql  # noqa: PLC0415
        from hitherto.infrastructure.postgres.roles import roles_sql  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "PostgreSQL needs its driver: pip install 'hitherto[postgres]'"
        ) from error
    tables = schema_sql(schema)
    return f"{tables}\n\n{roles_sql(schema, prefix)}" if roles else tables
