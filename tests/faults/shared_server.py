"""One PostgreSQL server for the rows of a process that leave their server whole."""

from functools import cache

from tests.servers import PostgresCluster, new_schema, start_cluster

__all__ = ["new_schema", "shared_server"]


@cache
def shared_server() -> PostgresCluster:
    """It is started when first asked for, and goes with the process; take a schema of your own."""
    return start_cluster()
