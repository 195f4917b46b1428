"""What the commands that look into a store have in common: options, positions and times."""

from datetime import UTC, datetime
from typing import Annotated, TypeAlias

from cyclopts import Parameter

from hitherto import ConfigurationError
from hitherto.application.looking.values import Wanted
from hitherto.application.ports import Backend
from hitherto.application.records import MAX_POSITION, utc
from hitherto.application.times import MARGIN, position_before
from hitherto.errors import InvalidInput

AsLines: TypeAlias = Annotated[
    bool,
    Parameter(name="--json", negative="", show_default=False, help="Print a line of JSON each."),
]
Occurred: TypeAlias = Annotated[
    bool,
    Parameter(
        negative="",
        show_default=False,
        help="A TIME means when events happened, rather than when they were stored.",
    ),
]


def moment(text: str) -> datetime:
    """The moment, in UTC, that a TIME on the command line means; without a zone it is in UTC.

    Raises:
        InvalidInput: It is no ISO 8601 date or time.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"{text!r} is no time: write it as 2025-03-01, 2025-03-01T12:30 (both in UTC) or "
            "2025-03-01T12:30:00+02:00"
        ) from None
    return utc(found.replace(tzinfo=UTC) if found.tzinfo is None else found)


def place(text: str) -> int | datetime:
    """What POSITION|TIME or VERSION|TIME means: digits alone are a number.

    Raises:
        InvalidInput: It is neither, or a number that is out of range.
    """
    if not (text.isascii() and text.isdecimal()):
        return moment(text)
    number = int(text)
    if number > MAX_POSITION:
        raise InvalidInput(f"{text}: give a number up to {MAX_POSITION}, or a time")
    return number


def check_limit(limit: int | None) -> None:
    """Refuse a limit that makes no sense.

    Raises:
        ConfigurationError: It is below 1.
    """
    if limit is not None and limit < 1:
        raise ConfigurationError(f"--limit={limit}: give at least 1")


async def bounds(
    backend: Backend, after: int | datetime | None, until: int | datetime | None, occurred: bool
) -> tuple[int, int | None, Wanted]:
    """The part of the log that two bounds mean, and what events must match there.

    A time of storing is looked up in the log, so that no other part is read; a time of happening
    has to be compared.
    """
    since = after if isinstance(after, datetime) else None
    up_to = until if isinstance(until, datetime) else None
    low = after if isinstance(after, int) else 0
    high = until if isinstance(until, int) else None
    if occurred:
        return low, high, Wanted(occurred_since=since, occurred_until=up_to)
    if since is not None:
        low = await position_before(backend, max(since, _FIRST) - MARGIN)
    if up_to is not None:
        high = await position_before(backend, up_to)
    return low, high, Wanted(stored_since=since, stored_until=up_to)


_FIRST = datetime.min.replace(tzinfo=UTC) + MARGIN
