"""`hitherto schema`: the tables, for a DBA."""

from typing import Literal

from rich.console import Console

from hitherto.errors import ConfigurationError
from hitherto.infrastructure.sqlite import schema_sql as sqlite_sql


def schema(*, schema: str = "public", backend: Literal["postgres", "sqlite"] = "postgres") -> None:
    """Print the SQL that makes the tables, or brings older ones up to date.

    A store does so itself when it is opened, where its role may. Where it may not, a DBA runs this
    script; on tables that are up to date it does nothing:

        hitherto schema --schema shop | psql "$DATABASE_URL"

    Parameters
    ----------
    schema:
        The PostgreSQL schema that is to hold them.
    backend:
        Which database they are for.
    """
    sql = sqlite_sql() if backend == "sqlite" else _postgres_sql(schema)
    Console().out(sql, highlight=False)


def _postgres_sql(schema: str) -> str:
    try:
        from hitherto.infrastructure.postgres import schema_sql  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "PostgreSQL needs its driver: pip install 'hitherto[postgres]'"
        ) from error
    return schema_sql(schema)
