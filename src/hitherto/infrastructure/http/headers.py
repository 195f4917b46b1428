"""Headers of a request that go into what is saved: `correlation_id`, `idempotency_key`."""

import re
from uuid import uuid4

from hitherto.errors import InvalidInput

CORRELATION_HEADER = "X-Correlation-ID"

_CORRELATION_ID = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}")
_TRACE_PARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"
)
_KEY = re.compile(r"[!#-~]{1,128}")  # printable, without blanks and quotes


class InvalidHeader(InvalidInput):
    """A header of a request is not written as it should be."""


def correlation_id(given: str | None, traceparent: str | None = None) -> str:
    """The id of a request's whole conversation.

    It is that of ``X-Correlation-ID``, else the trace's id of a W3C ``traceparent``, else a new
    one. What is no plain name of at most 128 characters is passed over rather than refused: the
    header is often a proxy's, and a request should not fail for it.
    """
    if given is not None and _CORRELATION_ID.fullmatch(given):
        return given
    trace = _TRACE_PARENT.fullmatch(traceparent or "")
    return trace[1] if trace else uuid4().hex


def idempotency_key(header: str | None) -> str | None:
    """The value of an ``Idempotency-Key``, without the quotes that it may have; None: no header.

    Raises:
        InvalidHeader: It is empty, longer than 128 characters, or has others than printable ASCII.
    """
    if header is None:
        return None
    key = header[1:-1] if len(header) > 1 and header[0] == header[-1] == '"' else header
    if not _KEY.fullmatch(key):
        raise InvalidHeader(
            "Idempotency-Key: give 1 to 128 printable ASCII characters without blanks and quotes, "
            'such as "8e03978e-40d5-43dd-bc93-6894a57f9324"'
        )
    return key
