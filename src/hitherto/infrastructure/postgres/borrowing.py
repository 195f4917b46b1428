"""`Borrowed`: a transaction of the caller's, in which statements of the store's own are run."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from hitherto.application.within import CallersTransaction
from hitherto.errors import ConfigurationError, HithertoError
from hitherto.infrastructure.postgres.drivers import Driver, driver_of, root_of
from hitherto.infrastructure.postgres.errors import state_of, translation
from hitherto.infrastructure.postgres.owners import owner_of

_WHERE = "the transaction that was handed over"
_NO_TRANSACTION = "25P01"
_NO_TABLES = {"3F000", "42P01"}
_SAME = "give a connection to the same database"
_ENCODING = "the connection's client_encoding cannot tell all texts: make it UTF8"
_UNDO = "ROLLBACK TO SAVEPOINT hitherto; RELEASE SAVEPOINT hitherto"
_in_use: dict[int, object] = {}


class Borrowed:
    """A transaction of the caller's.

    It is looked at before anything is done in it: once, unless its owner goes on with another
    connection or another transaction.

    Args:
        transaction: The caller's.
        look: The query that tells of isolation and tables.
        tables: What it has to tell of the tables.

    Attributes:
        where: Names it in errors.

    Raises:
        ConfigurationError: What was handed over is no connection, and no session.
    """

    where = _WHERE

    def __init__(self, transaction: CallersTransaction, look: str, tables: str) -> None:
        self._blocking = transaction.run is not None
        self._owner = owner_of(transaction.handed, blocking=self._blocking)
        self._look = look
        self._tables = tables
        self._seen: Driver | None = None

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[Driver]:
        """For statements that only read; drivers' errors inside leave as hitherto's.

        Raises:
            ConfigurationError: There is no transaction, or none that will do.
        """
        with self._translated(), _alone(self._owner.handed):
            yield await self._driver()

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[Driver]:
        """As `session`, but what fails inside leaves nothing, and the transaction as it was."""
        async with self.session() as driver:
            await driver.execute("SAVEPOINT hitherto")
            try:
                yield driver
                await driver.execute("RELEASE SAVEPOINT hitherto")
            except BaseException:
                await _undo(driver)
                raise

    async def _driver(self) -> Driver:
        connection = await self._owner.connection()
        driver = self._seen
        if driver is None or driver.connection is not connection:
            driver = driver_of(connection, blocking=self._blocking)
        if driver is not self._seen or not driver.is_in_transaction():
            ((isolation, tables),) = await self._owner.begin(self._look)
            self._check(driver, isolation, tables)
            self._seen = driver
        return driver

    def _check(self, driver: Driver, isolation: str, tables: str) -> None:
        if not driver.is_in_transaction():
            raise ConfigurationError(
                f"the connection is in no transaction, or in autocommit: {self._owner.remedy}"
            )
        if isinstance(isolation, bytes):  # psycopg's text in SQL_ASCII
            raise ConfigurationError(_ENCODING)
        if isolation != "read committed":
            raise ConfigurationError(
                f"the transaction is {isolation.upper()}, and an append needs to see what others "
                "have committed: begin it as READ COMMITTED"
            )
        if tables != self._tables:
            raise ConfigurationError(
                f"the connection leads to the tables {tables}, and the store's are "
                f"{self._tables} (database/table/time of making): {_SAME}"
            )

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except HithertoError:
            raise
        except UnicodeError as error:
            raise ConfigurationError(_ENCODING) from error
        except Exception as error:
            cause = _cause(error)
            if state_of(cause) == _NO_TRANSACTION:
                raise ConfigurationError(
                    f"the connection is in no transaction any more: {self._owner.remedy}"
                ) from error
            if state_of(cause) in _NO_TABLES:
                raise ConfigurationError(
                    f"the connection sees none of the store's tables: {_SAME}"
                ) from error
            if cause is not None:
                raise translation(cause, _WHERE) from error
            if isinstance(error, self._owner.errors()):
                raise ConfigurationError(f"{_WHERE} cannot be used: {error}") from error
            raise


async def _undo(driver: Driver) -> None:
    try:
        await driver.execute(_UNDO)
    except BaseException as error:
        if state_of(error):  # The server's: the transaction is over, which is as good.
            return
        driver.terminate()  # What has failed, or was cancelled, must not be committed.
        if not isinstance(error, driver.errors):
            raise


@contextmanager
def _alone(handed: object) -> Generator[None]:
    """Savepoints of two tasks would enclose each other."""
    here = object()
    if _in_use.setdefault(id(handed), here) is not here:
        raise ConfigurationError(
            "another task is at work in the transaction: await one call after the other, or save "
            "several aggregates by `save_all`"
        )
    try:
        yield
    finally:
        del _in_use[id(handed)]


def _cause(error: Exception) -> Exception | None:
    """The driver's own error, which an owner may have wrapped."""
    for each in (getattr(error, "orig", None), error, error.__cause__):
        if isinstance(each, Exception) and (
            state_of(each) or root_of(each) in {"asyncpg", "psycopg"} or isinstance(each, OSError)
        ):
            return each
    return None
