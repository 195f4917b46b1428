"""The tables of a view while it is rebuilt: filled under other names, then put in place."""

import inspect
from collections.abc import Awaitable, Iterator
from typing import Any

from hitherto.application.checkpoints import Change, Generation
from hitherto.application.ports import Checkpoints
from hitherto.application.projection import Projection, batch_of, in_order, table_name
from hitherto.errors import InvalidInput


def drop_and_set_up(projection: Projection[Any], checkpoints: Checkpoints) -> Change:
    """What makes a generation's tables, and drops those of the one that it takes the place of.

    It fails where `setup` has not made one of them.
    """

    def steps(connection: Any, made: Generation, old: Generation | None) -> Iterator[Any]:
        if old is not None:
            yield from _dropped(connection, projection, old)
        silent = made.state == "filling"
        yield projection.setup(connection, batch_of(projection, made, connection, silent=silent))
        for table in projection.tables:
            name = table_name(table, made)
            yield _check_made(projection, name, checkpoints.has_table(connection, name))

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


def _check_made(
    projection: Projection[Any], table: str, found: Awaitable[bool] | bool
) -> Awaitable[None] | None:
    if inspect.isawaitable(found):
        return _check_made_later(projection, table, found)
    if not found:
        raise InvalidInput(
            f"{type(projection).__qualname__}.setup made no table {table!r}: it is to make each of "
            "`tables`, by the name that `batch.table` gives, and on PostgreSQL to await that"
        )
    return None


async def _check_made_later(
    projection: Projection[Any], table: str, found: Awaitable[bool]
) -> None:
    _check_made(projection, table, await found)
