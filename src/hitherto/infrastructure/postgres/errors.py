"""The drivers' errors, wrapped once, and what each state of the server tells of."""

import re
import ssl
from collections.abc import Generator
from contextlib import contextmanager

import asyncpg

from hitherto.errors import (
    AggregateLocked,
    AlreadyHandled,
    EventStoreError,
    EventStoreUnavailable,
    HithertoError,
    InvalidInput,
    LeaseLost,
    ProjectionSuperseded,
    SchemaMismatch,
)

_LOCKED = {"55P03", "40P01", "40001"}
_UNAVAILABLE_CLASSES = {"08", "28", "3D", "53", "57", "58"}
_UNAVAILABLE = {"HH002"}
_TOLD: dict[str, type[HithertoError]] = {
    "HH208": AlreadyHandled,
    "HH410": ProjectionSuperseded,
    "HH423": LeaseLost,
}
_LASTING_CLASSES = {"28", "3D"}  # a wrong user or password, no such database
_CANCELED = "57014"  # by a statement_timeout, to which it would come again
_READ_ONLY = "25006"
_UNIQUE_VIOLATION = "23505"
_SCHEMA = {"3F000", "42501", "42P01", "42703", "42883"}
_SERVER_CLASSES = {"53", "58"}  # it is full, or its disk is broken
# Values that cannot be stored, a constraint or a trigger that comes at the end, a transaction that
# is aborted, too large a row.
_LEFT_BEHIND_CLASSES = {"21", "22", "23", "25", "44", "54", "P0"}
_DRIVER: tuple[type[Exception], ...] = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


@contextmanager
def translated(where: str, *others: type[Exception]) -> Generator[None]:
    """Raise a driver's errors as hitherto's.

    Args:
        where: Names the server, without secrets.
        others: Errors of another driver than the store's.
    """
    try:
        yield
    except _DRIVER + others as error:
        raise translation(error, where) from error


def translation(error: Exception, where: str) -> HithertoError:
    """What to raise from a driver's error."""
    if state := state_of(error):
        return _server_error(error, state, where)
    return EventStoreUnavailable(
        f"{where} cannot be reached: {told(error)}", transient=not lasting(error)
    )


@contextmanager
def reading(where: str) -> Generator[None]:
    """A lock that a reader meets is one on the tables, as of a migration, not on an aggregate."""
    try:
        yield
    except AggregateLocked as error:
        raise EventStoreUnavailable(f"{where}: the tables are locked: {error}") from error


def state_of(error: BaseException | None) -> str:
    """The SQLSTATE that an error of any driver bears; empty: it is not the server's."""
    found: object = getattr(_origin(error), "sqlstate", None)
    return found if isinstance(found, str) else ""


def is_nobodys(state: str) -> bool:
    """Whether a statement was refused for no fault of its own, and may be sent again."""
    return state in _LOCKED or state == _READ_ONLY or state[:2] in _SERVER_CLASSES


def is_left_behind(state: str) -> bool:
    """Whether it tells of what statements of before have left behind."""
    return state[:2] in _LEFT_BEHIND_CLASSES and not is_nobodys(state)


def lasting(error: BaseException) -> bool:
    """Whether a failure to connect, or to be served, does not pass by itself."""
    state = state_of(error)
    if state[:2] in _LASTING_CLASSES or state == _CANCELED:
        return True
    return isinstance(error, ssl.SSLCertVerificationError)


def _server_error(error: Exception, state: str, where: str) -> HithertoError:
    if own := _own_error(error, state):
        return own
    if state in _LOCKED:
        return AggregateLocked(
            "another transaction holds the aggregate, or what is written with it; nothing was "
            f"written, try again: {told(error)}"
        )
    if state == _READ_ONLY:
        return EventStoreUnavailable(
            f"{where} is a standby, or set to be read-only: {told(error)}; name the primary"
        )
    if state in _UNAVAILABLE or state[:2] in _UNAVAILABLE_CLASSES:
        return EventStoreUnavailable(
            f"{where} refuses to serve: {told(error)}", transient=not lasting(error)
        )
    if state in _SCHEMA:
        return SchemaMismatch(
            f"{told(error)}: create or migrate the tables with a role that may (the SQL is "
            "printed by `hitherto schema`), and grant this role the use of them"
        )
    return EventStoreError(f"{where}: {told(error)}")


def _own_error(error: Exception, state: str) -> HithertoError | None:
    """Of an error that the store's tables or functions raise on purpose."""
    constraint, detail = _violated(error)
    if state == _UNIQUE_VIOLATION and constraint in _TAKEN:
        return _TAKEN[constraint](error, detail)
    return _TOLD[state](told(error)) if state in _TOLD else None


def _violated(error: Exception) -> tuple[str, str]:
    """The constraint that refused a row, and the detail: psycopg keeps both in an object."""
    told = getattr(error, "diag", None)
    if told is not None:
        return told.constraint_name or "", told.message_detail or ""
    return getattr(error, "constraint_name", None) or "", getattr(error, "detail", None) or ""


def _id_taken(_error: Exception, detail: str) -> HithertoError:
    found = re.search(r"=\(([^)]*)\)", detail)
    event_id = found[1] if found else "?"
    return InvalidInput(f"event id {event_id} is stored already: ids are unique")


def _version_taken(error: Exception, _detail: str) -> HithertoError:
    return AggregateLocked(
        f"another writer was first; nothing was written, try again: {told(error)}"
    )


_TAKEN = {
    "event_store_pkey": _id_taken,
    "event_archive_pkey": _id_taken,
    "idx_event_store_aggregate_version": _version_taken,
}


def told(error: BaseException) -> str:
    """What an error says; some of the driver's have no text."""
    if isinstance(error, TimeoutError):
        return str(error) or "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted: {error.verify_message}"
    if isinstance(error, asyncpg.exceptions.TargetServerAttributeNotMatched):
        return "a standby, or set to be read-only"
    return str(_origin(error)) or type(error).__name__


def _origin(error: BaseException | None) -> object:
    """The driver's error; SQLAlchemy's are around it, and tell the statement's values."""
    return getattr(error, "orig", None) or error
