"""The driver's errors, wrapped once."""

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

LOCKED = {"55P03", "40P01", "40001"}
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
_SCHEMA = {"3F000", "42501", "42P01", "42703", "42883"}


@contextmanager
def translated(where: str) -> Generator[None]:
    """Raise the driver's errors as hitherto's; `where` names the server, without secrets."""
    try:
        yield
    except asyncpg.PostgresError as error:
        raise _server_error(error, where) from error
    except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise EventStoreUnavailable(
            f"{where} cannot be reached: {told(error)}", transient=not lasting(error)
        ) from error


@contextmanager
def reading(where: str) -> Generator[None]:
    """A lock that a reader meets is one on the tables, as of a migration, not on an aggregate."""
    try:
        yield
    except AggregateLocked as error:
        raise EventStoreUnavailable(f"{where}: the tables are locked: {error}") from error


def lasting(error: BaseException) -> bool:
    """Whether a failure to connect, or to be served, does not pass by itself."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state[:2] in _LASTING_CLASSES or state == _CANCELED
    return isinstance(error, ssl.SSLCertVerificationError)


def _server_error(error: asyncpg.PostgresError, where: str) -> HithertoError:
    state = error.sqlstate or ""
    if own := _own_error(error, state):
        return own
    if state in LOCKED:
        return AggregateLocked(
            "another transaction holds the aggregate; nothing was written, try again: "
            f"{told(error)}"
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


def _own_error(error: asyncpg.PostgresError, state: str) -> HithertoError | None:
    """Of an error that the store's tables or functions raise on purpose."""
    if state == "23505" and error.constraint_name in _TAKEN:
        return _TAKEN[error.constraint_name](error)
    return _TOLD[state](str(error)) if state in _TOLD else None


def _id_taken(error: asyncpg.PostgresError) -> HithertoError:
    found = re.search(r"=\(([^)]*)\)", error.detail or "")
    event_id = found[1] if found else "?"
    return InvalidInput(f"event id {event_id} is stored already: ids are unique")


def _version_taken(error: asyncpg.PostgresError) -> HithertoError:
    return AggregateLocked(
        f"another writer was first; nothing was written, try again: {told(error)}"
    )


_TAKEN = {
    "event_store_pkey": _id_taken,
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
    return str(error) or type(error).__name__
