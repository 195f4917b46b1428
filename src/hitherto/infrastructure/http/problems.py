"""`Problem`: an error as a client is told of it, by RFC 9457."""

import logging
import math
from http import HTTPStatus
from typing import Any

import msgspec

from hitherto.application.logging import log_event
from hitherto.errors import (
    AggregateError,
    AggregateIDMismatch,
    AggregateLocked,
    AggregateNotFound,
    AggregateVersionConflict,
    HithertoError,
    InvalidInput,
    ProjectionBehind,
    Unavailable,
)
from hitherto.infrastructure.http.conditions import PreconditionFailed, PreconditionRequired
from hitherto.infrastructure.http.headers import InvalidHeader

_RETRY_AFTER, _RETRY_LOCKED_AFTER = 5, 1  # seconds
_STATUSES: dict[type[HithertoError], HTTPStatus] = {  # the first that fits
    InvalidHeader: HTTPStatus.BAD_REQUEST,
    PreconditionFailed: HTTPStatus.PRECONDITION_FAILED,
    PreconditionRequired: HTTPStatus.PRECONDITION_REQUIRED,
    AggregateNotFound: HTTPStatus.NOT_FOUND,
    AggregateIDMismatch: HTTPStatus.NOT_FOUND,
    AggregateVersionConflict: HTTPStatus.CONFLICT,
    InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    AggregateLocked: HTTPStatus.SERVICE_UNAVAILABLE,
    AggregateError: HTTPStatus.UNPROCESSABLE_ENTITY,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    ProjectionBehind: HTTPStatus.SERVICE_UNAVAILABLE,
}
_TITLES = {HTTPStatus.UNPROCESSABLE_ENTITY: "Unprocessable Content"}  # as of Python 3.13
# What these say of themselves is for those who run the service.
_DETAILS: dict[type[HithertoError], str] = {
    AggregateIDMismatch: "there is nothing of this kind with this id",
    AggregateLocked: "somebody else is changing this right now; nothing was done: try again",
    Unavailable: "a part of this service cannot be reached now: try again later",
    ProjectionBehind: "what is asked for is not up to date yet: try again",
}


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What a client is told of an error.

    Attributes:
        status: The status of the answer.
        headers: Its headers, among them ``Retry-After`` in seconds.
        body: Problem details: JSON in which ``error`` names the class of the error, and
            ``aggregate_id``, ``expected`` and ``actual`` tell of a conflict.
    """

    status: int
    headers: dict[str, str]
    body: bytes


def problem_of(
    error: HithertoError, logger: logging.Logger, *, conditional: bool = False
) -> Problem | None:
    """What a client is told of an error; None: nothing, for it is one inside, a plain 500.

    Args:
        error: What was raised.
        logger: Is told what the client is not.
        conditional: Whether the request has If-Match or If-None-Match: then a conflict is a
            precondition that failed.
    """
    cls = next((cls for cls in _STATUSES if isinstance(error, cls)), None)
    if cls is None:
        return None
    status = _STATUSES[cls]
    if conditional and cls is AggregateVersionConflict:
        status = HTTPStatus.PRECONDITION_FAILED
    if cls in _DETAILS:
        log_event(logger, logging.WARNING, "request_failed", status=status.value, error=str(error))
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(status, status.phrase),
        "status": status.value,
        "detail": _DETAILS.get(cls) or _text(error),
        "error": type(error).__name__,
    }
    if isinstance(error, AggregateError):
        names = ("aggregate_id", "expected", "actual")
        body.update({name: getattr(error, name) for name in names if hasattr(error, name)})
    headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers.update(_retrying(error))
    return Problem(status=status.value, headers=headers, body=msgspec.json.encode(body))


def _text(error: HithertoError) -> str:
    """What it says; what a client has sent may be in it, and half a surrogate pair is no UTF-8."""
    return str(error).encode(errors="backslashreplace").decode()


def _retrying(error: HithertoError) -> dict[str, str]:
    seconds = _RETRY_LOCKED_AFTER if isinstance(error, AggregateLocked) else _RETRY_AFTER
    if isinstance(error, Unavailable):
        if not error.transient:
            return {}  # No time is known after which it would help.
        seconds = math.ceil(error.retry_after or seconds)
    return {"Retry-After": str(seconds)}
