"""What of hitherto HTTP tells, and what it takes from headers."""

import json
import logging
from typing import Any

import pytest
from examples.fastapi_service.accounts import Account

from hitherto import (
    AggregateError,
    AggregateIDMismatch,
    AggregateLocked,
    AggregateNotFound,
    AggregateVersionConflict,
    ConfigurationError,
    EventSerializationFailed,
    EventStoreUnavailable,
    HandlerFailed,
    HithertoError,
    InvalidAggregateState,
    InvalidEventData,
    InvalidInput,
    ProjectionBehind,
    SchemaMismatch,
)
from hitherto.infrastructure.http import (
    InvalidHeader,
    Precondition,
    PreconditionFailed,
    PreconditionRequired,
    correlation_id,
    etag,
    idempotency_key,
    problem_of,
)

LOGGER = logging.getLogger("hitherto")
SECRET = "postgresql://10.0.0.7:5432/shop"


def at_version(version: int) -> Account:
    account = Account("ann")
    account._version = version
    return account


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (InvalidHeader("quote it"), 400, {"detail": "quote it"}),
        (AggregateNotFound("a", "Account"), 404, {"aggregate_id": "a"}),
        (AggregateIDMismatch("'a' is a Payroll"), 404, {}),
        (AggregateVersionConflict("a", 3, 5), 409, {"expected": 3, "actual": 5}),
        (PreconditionFailed("a", '"3"', 5), 412, {"expected": '"3"', "actual": 5}),
        (InvalidInput("too long"), 422, {"detail": "too long"}),
        (InvalidEventData("Opened.owner has"), 422, {"detail": "Opened.owner has"}),
        (InvalidAggregateState("closed"), 422, {"detail": "closed"}),
        (AggregateError("closed for good"), 422, {"detail": "closed for good"}),
        (PreconditionRequired("say If-Match"), 428, {"detail": "say If-Match"}),
        (AggregateLocked("by process 7"), 503, {}),
        (EventStoreUnavailable(SECRET), 503, {}),
        (ProjectionBehind("'Balances'"), 503, {}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_client_is_told_what_concerns_it(
    error: HithertoError, status: int, told: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """As problem details, whose `error` programs can go by; the log has what it is not told."""
    problem = problem_of(error, LOGGER)
    assert problem is not None
    body = json.loads(problem.body)
    assert (problem.status, body["status"], body["error"]) == (status, status, type(error).__name__)
    assert (body["type"], problem.headers["Content-Type"]) == (
        "about:blank", "application/problem+json",
    )  # fmt: skip
    assert told.items() <= body.items()
    if status == 503 or isinstance(error, AggregateIDMismatch):
        assert str(error) not in body["detail"]
        assert str(error) in caplog.text
    else:
        assert caplog.text == ""


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationError(SECRET), EventSerializationFailed("x"), SchemaMismatch("x"),
        HandlerFailed("x"), HithertoError("x"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_what_concerns_no_client_is_no_problem_of_its(error: HithertoError) -> None:
    """It is the framework's plain 500."""
    assert problem_of(error, LOGGER) is None


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (EventStoreUnavailable(""), "5"),
        (EventStoreUnavailable("", retry_after=1.2), "2"),
        (EventStoreUnavailable("", transient=False), None),
        (AggregateLocked(""), "1"),
        (AggregateNotFound("a", "Account"), None),
    ],
)
def test_a_client_is_told_when_to_come_back(error: HithertoError, seconds: str | None) -> None:
    """Where that helps: as the breaker says, or soon."""
    problem = problem_of(error, LOGGER)
    assert problem is not None
    assert problem.headers.get("Retry-After") == seconds


def test_a_conflict_of_a_conditional_request_is_its_precondition_that_failed() -> None:
    """Though the other writer came only after the check."""
    problem = problem_of(AggregateVersionConflict("a", 3, 5), LOGGER, conditional=True)
    assert problem is not None
    assert (problem.status, json.loads(problem.body)["title"]) == (412, "Precondition Failed")


@pytest.mark.parametrize(
    "headers", [(), ['"3"'], ['"1", "3"'], ['"1"', ' W/"9" ,"3",'], ["*"], ['W/"3","3"']]
)
def test_if_match_lets_pass_what_it_names(headers: list[str]) -> None:
    """Or anything that is there, by a star or where there is none."""
    Precondition.of(headers).check(at_version(3))


@pytest.mark.parametrize("header", ['"2"', 'W/"3"', '"33"', '"a", "b"', '""'])
def test_if_match_refuses_what_it_does_not_name(header: str) -> None:
    """A weak tag never matches."""
    with pytest.raises(PreconditionFailed) as caught:
        Precondition.of([header]).check(at_version(3))
    assert (caught.value.expected, caught.value.actual) == (header, 3)


def test_a_star_needs_something_that_is_there() -> None:
    """A new aggregate is not."""
    with pytest.raises(PreconditionFailed):
        Precondition.of(["*"]).check(at_version(0))


@pytest.mark.parametrize(
    "header", ["3", "", '"3" "4"', '"3', "*, *", "'3'", '" 3"', 'w/"3"', '"\n"']
)
def test_an_if_match_that_cannot_be_read_is_refused(header: str) -> None:
    """Rather than taken for another version."""
    with pytest.raises(InvalidHeader, match="in its quotes"):
        Precondition.of([header])


def test_if_match_may_be_required() -> None:
    """By those who let nobody overwrite unseen."""
    with pytest.raises(PreconditionRequired, match="needs If-Match"):
        Precondition.of([], required=True)
    assert Precondition.of([etag(3)], required=True) == Precondition('"3"')
    assert etag(at_version(3)) == etag(3) == '"3"'


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("given", "traceparent", "expected"),
    [
        ("request-1", None, "request-1"),
        ("request-1", f"00-{TRACE}-00f067aa0ba902b7-01", "request-1"),
        (None, f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
        (None, f"cc-{TRACE}-00f067aa0ba902b7-01-more", TRACE),
        ("x" * 129, f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
        ("x" * 128, None, "x" * 128),
    ],
)
def test_a_request_has_the_correlation_id_of_its_headers(
    given: str | None, traceparent: str | None, expected: str
) -> None:
    """What the client names, or else its trace."""
    assert correlation_id(given, traceparent) == expected


@pytest.mark.parametrize(
    ("given", "traceparent"),
    [
        (None, None),
        ("", None),
        ("a\r\nSet-Cookie: b=c", None),
        ("<script>", "nonsense"),
        ("a, b", f"ff-{TRACE}-00f067aa0ba902b7-01"),
        ("é", f"00-{'0' * 32}-00f067aa0ba902b7-01"),
        ("a b", f"00-{TRACE.upper()}-00f067aa0ba902b7-01"),
        ("a\n", f"00-{TRACE}-{'0' * 16}-01\n"),
    ],
)
def test_what_is_no_plain_name_is_replaced(given: str | None, traceparent: str | None) -> None:
    """By a new one each time; the request goes on."""
    made = {correlation_id(given, traceparent) for _ in range(2)}
    assert len(made) == 2
    assert all(len(each) == 32 and each.isalnum() for each in made)


def test_an_idempotency_key_may_be_quoted() -> None:
    """As the draft has it, or plain, as most send it."""
    assert idempotency_key('"key-1"') == idempotency_key("key-1") == "key-1"
    assert idempotency_key(None) is None


@pytest.mark.parametrize("header", ["", '""', '"', "a b", "x" * 129, "é", 'a"b', "a\n"])
def test_an_idempotency_key_that_cannot_be_one_is_refused(header: str) -> None:
    """For the client relies on it."""
    with pytest.raises(InvalidHeader, match="Idempotency-Key"):
        idempotency_key(header)


def test_what_a_client_has_sent_can_be_told_to_it_whatever_it_is() -> None:
    """JSON may hold half a surrogate pair, which is no UTF-8."""
    found = problem_of(InvalidAggregateState("\ud800 is no customer"), LOGGER)
    assert found is not None
    assert json.loads(found.body)["detail"] == "\\ud800 is no customer"
