"""`HithertoMiddleware`, and what a view reads from a request's headers."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from hitherto.domain.metadata import metadata_context
from hitherto.errors import HithertoError
from hitherto.infrastructure.http import (
    CORRELATION_HEADER,
    Precondition,
    correlation_id,
    idempotency_key,
    problem_of,
)

_LOGGER = logging.getLogger("hitherto")


class HithertoMiddleware:
    """Names what is saved during a request, and tells errors.

    What is saved has the correlation id of ``X-Correlation-ID``, else the trace's of
    ``traceparent``, else a new one; the answer tells it in ``X-Correlation-ID``. One that is no
    plain name of at most 128 characters is replaced.

    Errors of hitherto that a view lets out and that concern a client become problem details
    (RFC 9457); all others remain what Django makes of any exception.
    """

    sync_capable: ClassVar[bool] = True
    async_capable: ClassVar[bool] = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._awaits = iscoroutinefunction(get_response)  # pyright: ignore[reportDeprecated]
        if self._awaits:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Handle a request, without await where Django does."""
        if self._awaits:
            return self._acall(request)
        name = _correlation_id(request)
        with metadata_context(correlation_id=name):
            response = cast("HttpResponseBase", self.get_response(request))
        response[CORRELATION_HEADER] = name
        return response

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        name = _correlation_id(request)
        with metadata_context(correlation_id=name):
            response = cast("HttpResponseBase", await self.get_response(request))
        response[CORRELATION_HEADER] = name
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """What is answered after an error in a view; None: what Django does."""
        if not isinstance(error, HithertoError):
            return None
        conditional = "If-Match" in request.headers or "If-None-Match" in request.headers
        problem = problem_of(error, _LOGGER, conditional=conditional)
        if problem is None:
            return None
        return HttpResponse(problem.body, status=problem.status, headers=problem.headers)


def if_match(request: HttpRequest, *, required: bool = False) -> Precondition:
    """What the request's If-Match expects; see `Precondition`.

    Raises:
        InvalidHeader: It is no list of entity tags; a 400.
        PreconditionRequired: There is none, but there has to be; a 428.
    """
    header = request.headers.get("If-Match")
    return Precondition.of(() if header is None else (header,), required=required)


def idempotency_key_of(request: HttpRequest) -> str | None:
    """The request's Idempotency-Key, an id for `CommandBus.send`; None: it has none.

    Put the sender's name in front where two senders could choose the same.

    Raises:
        InvalidHeader: It cannot be one; a 400.
    """
    return idempotency_key(request.headers.get("Idempotency-Key"))


def _correlation_id(request: HttpRequest) -> str:
    headers = request.headers
    return correlation_id(headers.get(CORRELATION_HEADER), headers.get("traceparent"))
