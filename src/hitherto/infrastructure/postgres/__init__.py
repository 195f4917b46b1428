"""The PostgreSQL backend, through asyncpg."""

from hitherto.infrastructure.postgres.schema import schema_sql
from hitherto.infrastructure.postgres.store import PostgresStore

__all__ = ["PostgresStore", "schema_sql"]
