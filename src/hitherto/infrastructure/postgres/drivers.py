"""Statements through connections that somebody else has opened, by asyncpg or psycopg 3."""

import inspect
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar, cast
from uuid import UUID

import asyncpg

from hitherto.errors import ConfigurationError

T = TypeVar("T")


class Driver(Protocol):
    """One connection of somebody else's.

    Attributes:
        connection: The driver's own.
        errors: What it raises.
    """

    connection: Any
    errors: tuple[type[Exception], ...]

    def is_in_transaction(self) -> bool:
        """Whether what is written now waits for a commit of its owner's."""
        ...

    async def fetch(self, query: str, *arguments: Any) -> Sequence[Any]:
        """The rows that a query gives, in which ``$1`` stands for the first argument."""
        ...

    async def execute(self, statements: str) -> None:
        """Run statements that have no places, and give no rows."""
        ...

    def terminate(self) -> None:
        """Close the connection at once, and with it the transaction."""
        ...


def driver_of(connection: Any, *, blocking: bool) -> Driver:
    """Who runs statements on a driver's connection.

    Raises:
        ConfigurationError: It is of another driver, or it blocks where it must not, or the reverse.
    """
    root = root_of(connection)
    if root == "asyncpg" and hasattr(connection, "is_in_transaction") and not blocking:
        return AsyncpgDriver(connection)
    if root == "psycopg" and hasattr(connection, "info"):
        from hitherto.infrastructure.postgres.psycopg_driver import (  # noqa: PLC0415
            PsycopgDriver,
        )

        if PsycopgDriver.blocks(connection) == blocking:
            return PsycopgDriver(connection)
    wanted = "a blocking one of psycopg 3" if blocking else "one of asyncpg, or psycopg's async one"
    raise not_here(connection, wanted, blocking=blocking)


def not_here(handed: object, wanted: str, *, blocking: bool) -> ConfigurationError:
    """The error for what is another driver's, or for the other face."""
    face = "an async one belongs to `hitherto`" if blocking else "others belong to `hitherto.sync`"
    return ConfigurationError(
        f"a {type(handed).__module__}.{type(handed).__qualname__} cannot be used here: give "
        f"{wanted} ({face})"
    )


def root_of(thing: object) -> str:
    """The package that it, or what it inherits from, comes from; empty: none of those known."""
    known = {"asyncpg", "psycopg", "sqlalchemy", "django"}
    roots = [each.__module__.partition(".")[0] for each in type(thing).__mro__]
    return next((root for root in roots if root in known), "")


class AsyncpgDriver:
    """See `Driver`."""

    errors: tuple[type[Exception], ...] = (
        OSError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
    )

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def is_in_transaction(self) -> bool:
        """See `Driver.is_in_transaction`."""
        return bool(self.connection.is_in_transaction())

    async def fetch(self, query: str, *arguments: Any) -> Sequence[Any]:
        """See `Driver.fetch`."""
        found = await self.connection.fetch(query, *map(as_text, arguments))
        return cast("Sequence[Any]", found)

    async def execute(self, statements: str) -> None:
        """See `Driver.execute`."""
        await self.connection.execute(statements)

    def terminate(self) -> None:
        """See `Driver.terminate`."""
        self.connection.terminate()


def as_text(argument: Any) -> Any:
    """What drivers may have been taught to send in a way of their own."""
    match argument:
        case [*each]:
            return list(map(as_text, each))
        case UUID():
            return str(argument)
        case datetime():
            return argument.isoformat()
        case bytes():
            return f"\\x{argument.hex()}"
        case _:
            return argument


async def settled(result: Any) -> Any:
    """What a call has given that is to be awaited or not."""
    return await result if inspect.isawaitable(result) else result
