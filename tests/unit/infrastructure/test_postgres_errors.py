"""Which of hitherto's errors each of the driver's becomes."""

from typing import Any

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from hitherto import (
    AggregateLocked,
    EventStoreError,
    EventStoreUnavailable,
    HithertoError,
    InvalidInput,
    SchemaMismatch,
)
from hitherto.infrastructure.postgres.errors import translated

WHERE = "postgresql://db1:5432/shop"


def from_server(state: str, message: str = "told by the server", **fields: str) -> Exception:
    """The error that asyncpg makes of a server's message."""
    letters = {"detail": "D", "constraint": "n"}
    named = {letters[name]: value for name, value in fields.items()}
    new: Any = asyncpg.PostgresError.new
    error: Exception = new({"C": state, "M": message, **named})
    return error


def raised(error: Exception) -> HithertoError:
    """What a user gets instead."""
    with pytest.raises(HithertoError) as caught, translated(WHERE):
        raise error
    assert caught.value.__cause__ is error
    return caught.value


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("55P03", AggregateLocked),  # lock_timeout
        ("40P01", AggregateLocked),  # deadlock
        ("40001", AggregateLocked),  # serialization failure
        ("08006", EventStoreUnavailable),  # connection failure
        ("28P01", EventStoreUnavailable),  # wrong password
        ("3D000", EventStoreUnavailable),  # no such database
        ("53300", EventStoreUnavailable),  # too many connections
        ("53100", EventStoreUnavailable),  # disk full
        ("57P01", EventStoreUnavailable),  # admin shutdown
        ("57P03", EventStoreUnavailable),  # starting up
        ("57014", EventStoreUnavailable),  # cancelled, as by statement_timeout
        ("58030", EventStoreUnavailable),  # an I/O error
        ("25006", EventStoreUnavailable),  # a standby takes no writes
        ("HH002", EventStoreUnavailable),  # a standby does not know the appends in flight
        ("42501", SchemaMismatch),  # permission denied
        ("42P01", SchemaMismatch),  # no such table
        ("42883", SchemaMismatch),  # no such function
        ("42703", SchemaMismatch),  # no such column
        ("3F000", SchemaMismatch),  # no such schema
        ("HH001", EventStoreError),  # the wrong isolation
        ("XX001", EventStoreError),  # a damaged page
        ("22003", EventStoreError),
    ],
)
def test_a_state_of_the_server_has_one_error(state: str, expected: type[HithertoError]) -> None:
    """And its message is passed on."""
    error = raised(from_server(state))
    assert type(error) is expected
    assert "told by the server" in str(error)


@pytest.mark.parametrize("state", ["55P03", "53100", "HH423", "42P01", "57014"])
def test_another_drivers_error_is_told_by_its_state(state: str) -> None:
    """Whatever its class, or SQLAlchemy's around it, whose text has the statement's values."""

    class Theirs(Exception):
        sqlstate = state

    around = DBAPIError("SELECT secret", {}, Theirs("told by the server"))
    expected = raised(from_server(state))
    for error in (Theirs("told by the server"), around):
        with pytest.raises(type(expected)) as caught, translated(WHERE, type(error)):
            raise error
        assert type(caught.value) is type(expected)
        assert str(caught.value) == str(expected)
        assert getattr(caught.value, "transient", None) == getattr(expected, "transient", None)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "Connect call failed"),
        ConnectionResetError(),
        TimeoutError(),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.InternalClientError("unexpected message"),
    ],
)
def test_a_connection_that_fails_or_breaks_is_an_unavailable_store(error: Exception) -> None:
    """The server is named, and there is always a reason."""
    told = raised(error)
    assert type(told) is EventStoreUnavailable
    assert WHERE in str(told)
    assert not str(told).endswith(": ")


def test_a_timeout_without_text_is_put_in_words() -> None:
    """TimeoutError comes with none."""
    assert str(raised(TimeoutError())).endswith("no answer in time")


def test_an_event_id_that_is_stored_already_is_named() -> None:
    """The driver tells it in the detail alone."""
    error = raised(
        from_server(
            "23505",
            detail="Key (event_id)=(0191e2a0-0000-7000-8000-000000000001) already exists.",
            constraint="event_store_pkey",
        )
    )
    assert type(error) is InvalidInput
    assert "0191e2a0-0000-7000-8000-000000000001" in str(error)


def test_where_the_server_hides_the_detail_the_id_is_left_open() -> None:
    """As with log_error_verbosity = terse, or for a role without rights on the table."""
    error = raised(from_server("23505", constraint="event_store_pkey"))
    assert type(error) is InvalidInput


def test_a_version_that_another_writer_took_may_be_tried_again() -> None:
    """An import does not wait for rivals; its next try sees what they wrote."""
    error = raised(from_server("23505", constraint="idx_event_store_aggregate_version"))
    assert type(error) is AggregateLocked


def test_another_unique_index_is_no_bad_input() -> None:
    """One that a user has added."""
    error = raised(from_server("23505", constraint="somebody_s_index"))
    assert type(error) is EventStoreError


def test_other_errors_pass_unchanged() -> None:
    """Hitherto's own, and bugs."""
    for error in (InvalidInput("x"), KeyError("x"), EventStoreUnavailable("x")):
        with pytest.raises(type(error)) as caught, translated(WHERE):
            raise error
        assert caught.value is error
        assert caught.value.__cause__ is None
