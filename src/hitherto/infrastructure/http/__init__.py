"""What a web framework needs to know of hitherto: problems, preconditions, correlation ids."""

from hitherto.infrastructure.http.conditions import (
    Precondition,
    PreconditionFailed,
    PreconditionRequired,
    etag,
)
from hitherto.infrastructure.http.headers import (
    CORRELATION_HEADER,
    InvalidHeader,
    correlation_id,
    idempotency_key,
)
from hitherto.infrastructure.http.problems import Problem, problem_of

__all__ = [
    "CORRELATION_HEADER",
    "InvalidHeader",
    "Precondition",
    "PreconditionFailed",
    "PreconditionRequired",
    "Problem",
    "correlation_id",
    "etag",
    "idempotency_key",
    "problem_of",
]
