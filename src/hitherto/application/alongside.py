"""What an append writes besides events: marks of messages, timers, and what projections do."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from hitherto.application.records import StoredEvent

FORGOTTEN = 10_000
"""The most marks of messages that are dropped at once."""


class Timer(msgspec.Struct, frozen=True, kw_only=True):
    """When a process is to be woken.

    Attributes:
        process: Its stored name.
        aggregate_id: Which instance of it.
        name: One of the instance's timers; setting it again replaces it.
        due: When, with a time zone; None: it is cancelled.
    """

    process: str
    aggregate_id: str
    name: str
    due: datetime | None


Effects = Callable[[Sequence[StoredEvent], Any], Awaitable[None] | None]
"""Is given what the transaction has appended, and the connection, before it ends."""


class Alongside(msgspec.Struct, frozen=True, kw_only=True):
    """What the transaction of an append writes besides events.

    Attributes:
        scope: Whose messages `handled` names.
        handled: The ids of messages that are handled by this append; each may be so once.
        fired: Timers that this append is the answer to: each must stand as given, and is gone.
        timers: Timers to set and to cancel, thereafter.
        inline: Name and version of the projections that `effects` runs.
        effects: Run with the connection.
    """

    scope: str = ""
    handled: Sequence[str] = ()
    fired: Sequence[Timer] = ()
    timers: Sequence[Timer] = ()
    inline: Sequence[tuple[str, int]] = ()
    effects: Effects | None = None
