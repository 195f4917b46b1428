"""What is wrong with the tables, found by the server."""

from collections.abc import Mapping, Sequence

from hitherto.application.findings import Finding, Tally
from hitherto.infrastructure.postgres.connections import Connections
from hitherto.infrastructure.postgres.errors import reading

_FETCH = "FETCH 1000 FROM findings"
# A large store takes long; and the whole result is wanted, not its first rows soon.
_SETTINGS = """SET LOCAL statement_timeout = 0;
               SET LOCAL lock_timeout = '30s';
               SET LOCAL cursor_tuple_fraction = 1"""


async def inspect(connections: Connections, sql: Mapping[str, str]) -> Sequence[Finding]:
    """See `Inspection.inspect`; each query in a transaction of its own, which sees one state."""
    tally = Tally()
    for name, query in sql.items():
        if not name.startswith("inspect_"):
            continue
        with reading(connections.where):
            async with connections.transaction() as connection:
                await connection.execute(_SETTINGS)
                await connection.execute(f"DECLARE findings NO SCROLL CURSOR FOR {query}")
                while rows := await connection.fetch(_FETCH):
                    tally.extend(rows)
    return tally.findings()
