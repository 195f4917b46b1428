"""Every statement that a driver is about to run passes by here, to be disturbed."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import apsw
from asyncpg.connection import Connection

_METHODS = ("execute", "fetch", "fetchrow", "fetchval", "copy_records_to_table")

Send = Callable[[], Awaitable[Any]]
Around = Callable[[Any, str, Send], Awaitable[Any]]
"""Given asyncpg's connection, what kind of statement it is, and what sends it and waits."""


def kind_of(sql: str) -> str:
    """What a statement of a backend is for: begin, commit, append, snapshot, or something else."""
    first = sql.lstrip().split(maxsplit=1)[0].rstrip(";").lower()
    if first in {"begin", "commit", "rollback"}:
        return first
    if "append_events(" in sql or "append_together(" in sql:
        return "append"
    if "INSERT INTO" in sql:
        return "snapshot" if "aggregate_snapshots" in sql.split("INSERT INTO")[1] else "append"
    return "other"


@contextmanager
def asyncpg_statements(around: Around) -> Iterator[None]:
    """Let `around` have every statement of every asyncpg connection meanwhile."""
    originals = {name: getattr(Connection, name) for name in _METHODS}

    def disturbed(name: str, original: Any) -> Any:
        @wraps(original)
        async def method(self: Any, *arguments: Any, **options: Any) -> Any:
            kind = "copy" if name == "copy_records_to_table" else kind_of(arguments[0])
            return await around(self, kind, lambda: original(self, *arguments, **options))

        return method

    for name, original in originals.items():
        setattr(Connection, name, disturbed(name, original))
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(Connection, name, original)


def disturb_apsw(before: Callable[[str], None], after: Callable[[str], None]) -> None:
    """Tell of the kind of every statement of every apsw connection, for as long as this process."""

    class Disturbed(apsw.Connection):
        def execute(self, statements: str, *arguments: Any, **options: Any) -> Any:
            kind = kind_of(statements)
            before(kind)
            result = super().execute(statements, *arguments, **options)
            after(kind)
            return result

    apsw.Connection = Disturbed  # type: ignore[misc]
