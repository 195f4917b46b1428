"""How a store is: `Health`, which asks the server, and `Usage`, which costs nothing."""

from collections.abc import Sequence
from typing import Literal

import msgspec

BreakerState = Literal["closed", "half-open", "open"]
"""Of the circuit breaker: all calls pass, one is let through to see, or none is."""


class PoolUse(msgspec.Struct, frozen=True, kw_only=True):
    """Connections: how many are open, how many of these are idle, how many there may be."""

    size: int
    idle: int
    limit: int


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What of a store is in use.

    Attributes:
        pool: Use of its connections; None while closed, or where there are none.
        queue_depth: Appends that wait for the next transaction.
        breaker: The state of its circuit breaker.
    """

    pool: PoolUse | None = None
    queue_depth: int = 0
    breaker: BreakerState = "closed"


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a store.

    Attributes:
        status: "unhealthy" when it cannot serve; "degraded" when it serves, but a promise or a
            reader is at risk.
        backend: Which kind of store.
        latency: A round trip, in seconds.
        schema_version: Of the tables; None where there are none.
        pool: Use of its connections.
        breaker: The state of its circuit breaker.
        watermark_lag: How many allocated positions readers can't have yet.
        problems: What is wrong, in sentences.
    """

    status: Literal["healthy", "degraded", "unhealthy"]
    backend: str
    latency: float | None = None
    schema_version: int | None = None
    pool: PoolUse | None = None
    breaker: BreakerState = "closed"
    watermark_lag: int = 0
    problems: tuple[str, ...] = ()


def worse_by(health: Health, problems: Sequence[str]) -> Health:
    """The same with further problems, with which it is degraded at best."""
    if not problems:
        return health
    return msgspec.structs.replace(
        health,
        status="unhealthy" if health.status == "unhealthy" else "degraded",
        problems=(*health.problems, *problems),
    )
