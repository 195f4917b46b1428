"""Who has a transaction: a driver's connection, SQLAlchemy, or Django."""

from collections.abc import Sequence
from typing import Any, Protocol

from hitherto.errors import ConfigurationError
from hitherto.infrastructure.postgres.drivers import Driver, driver_of, not_here, root_of, settled


class Owner(Protocol):
    """Who has a connection, and its transaction.

    Attributes:
        handed: What was handed over.
        remedy: What to do where there is no transaction.
    """

    handed: Any
    remedy: str

    async def connection(self) -> Any:
        """The driver's connection, of now."""
        ...

    async def begin(self, query: str) -> Sequence[Any]:
        """What a query gives; the owner sends it, and may begin its transaction with it."""
        ...

    def errors(self) -> tuple[type[Exception], ...]:
        """What it raises by itself."""
        ...


def owner_of(handed: Any, *, blocking: bool) -> Owner:
    """Who has the transaction, of what was handed over.

    Raises:
        ConfigurationError: Nothing that is known to have one, or it blocks where it must not, or
            the reverse.
    """
    root = root_of(handed)
    if root == "sqlalchemy" and hasattr(handed, "registry"):  # a scoped session
        handed = handed.registry()
    known: type[_SqlAlchemy | _Django] | None = None
    if root == "sqlalchemy" and (hasattr(handed, "flush") or hasattr(handed, "exec_driver_sql")):
        known = _SqlAlchemy
    if root == "django" and hasattr(handed, "ensure_connection"):
        known = _Django
    if known is not None:
        if hasattr(handed, "run_sync") == blocking:  # What is to be awaited has it.
            wanted = "one that blocks" if blocking else "an async one"
            raise not_here(handed, wanted, blocking=blocking)
        return known(handed)
    if root in {"asyncpg", "psycopg"}:
        return _Itself(driver_of(handed, blocking=blocking))
    raise ConfigurationError(
        f"{type(handed).__module__}.{type(handed).__qualname__} has no transaction: give a "
        "connection of asyncpg or psycopg 3, a session or connection of SQLAlchemy's, or "
        "`django.db.connection`"
    )


class _Itself:
    """See `Owner`: the driver's connection was handed over."""

    remedy = "begin one, as by its `transaction()`"

    def __init__(self, driver: Driver) -> None:
        self.handed = driver.connection
        self._driver = driver

    async def connection(self) -> Any:
        return self.handed

    async def begin(self, query: str) -> Sequence[Any]:
        return await self._driver.fetch(query)

    def errors(self) -> tuple[type[Exception], ...]:
        return ()


class _SqlAlchemy:
    """See `Owner`: a session or a connection, which begin by themselves."""

    remedy = "make the engine without isolation_level='AUTOCOMMIT'"

    def __init__(self, handed: Any) -> None:
        self.handed = handed

    async def connection(self) -> Any:
        connection = await self._connection()
        if hasattr(connection, "get_raw_connection"):
            pooled = await connection.get_raw_connection()
        else:
            pooled = connection.connection
        return pooled.driver_connection

    async def begin(self, query: str) -> Sequence[Any]:
        connection = await self._connection()
        found = await settled(connection.exec_driver_sql(query))
        return list(found.all())

    def errors(self) -> tuple[type[Exception], ...]:
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

        return (SQLAlchemyError,)

    async def _connection(self) -> Any:
        if hasattr(self.handed, "flush"):
            return await settled(self.handed.connection())
        return self.handed


class _Django:
    """See `Owner`: this thread's connection of an alias."""

    remedy = "wrap it in `with transaction.atomic():`"

    def __init__(self, handed: Any) -> None:
        if handed.vendor != "postgresql":
            raise ConfigurationError(
                f"Django's connection leads to {handed.vendor}: give that of the PostgreSQL "
                "database which holds the store's tables"
            )
        # django.db.connection stands for another object in each thread.
        self.handed = getattr(handed, "_connections", {handed.alias: handed})[handed.alias]

    async def connection(self) -> Any:
        self.handed.ensure_connection()
        self.handed.validate_no_broken_transaction()  # It will be rolled back, whatever is saved.
        return self.handed.connection

    async def begin(self, query: str) -> Sequence[Any]:
        with self.handed.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    def errors(self) -> tuple[type[Exception], ...]:
        from django.db import Error  # noqa: PLC0415

        return (Error,)
