"""The tables of a view while it is rebuilt: filled under other names, then put in place."""

from collections.abc import Iterator
from typing import Any

from hitherto.application.checkpoints import Change, Generation
from hitherto.application.projection import Projection, batch_of, in_order, table_name


def drop_and_set_up(projection: Projection[Any]) -> Change:
    """What makes a generation's tables, and drops those of the one that it takes the place of."""

    def steps(connection: Any, made: Generation, old: Generation | None) -> Iterator[Any]:
        if old is not None:
            yield from _dropped(connection, projection, old)
        silent = made.state == "filling"
        yield projection.setup(connection, batch_of(projection, made, connection, silent=silent))

    return lambda connection, made, old: in_order(steps(connection, made, old))


def put_in_place(projection: Projection[Any]) -> Change:
    """What drops the tables of the old generation, and gives their names to the new one's."""

    def steps(connection: Any, new: Generation, old: Generation | None) -> Iterator[Any]:
        if old is not None:
            yield from _dropped(connection, projection, old)
        for table in projection.tables:
            name = table.rpartition(".")[2]
            yield connection.execute(f"ALTER TABLE {table_name(table, new)} RENAME TO {name}")

    return lambda connection, new, old: in_order(steps(connection, new, old))


def _dropped(connection: Any, projection: Projection[Any], old: Generation) -> Iterator[Any]:
    for table in projection.tables:
        yield connection.execute(f"DROP TABLE IF EXISTS {table_name(table, old)}")
