"""Times of storing, and where in the log they are."""

from datetime import UTC, datetime, timedelta

from hitherto.application.ports import EventStore
from hitherto.application.records import utc
from hitherto.errors import InvalidInput

MARGIN = timedelta(minutes=5)
"""How much longer than this no transaction that appends is taken to be open."""

_LAST = datetime.max.replace(tzinfo=UTC)
_PAGE = 1000


def moment_of(text: str) -> datetime:
    """The moment, in UTC, that an ISO 8601 text tells.

    Raises:
        InvalidInput: It tells none, or has no time zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidInput(
            f"{text!r} is no time with a zone: write it as 2025-03-01T12:30:00Z, or with another "
            "offset from UTC, such as +02:00"
        )
    return utc(moment)


async def position_told(backend: EventStore, text: str) -> int:
    """The position that a text gives, or that of the last event up to the time that it tells.

    Raises:
        InvalidInput: It is neither a position nor a time with a zone.
        EventStoreUnavailable: The store cannot be reached.
    """
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        moment = moment_of(text)
    except InvalidInput as error:
        raise InvalidInput(f"not a position, and {error}") from error
    return await position_before(backend, moment)


async def position_before(
    backend: EventStore, moment: datetime, *, margin: timedelta = MARGIN
) -> int:
    """The position of the last event that was stored at or before a moment; 0 if there is none.

    Every event that was stored up to the moment is at or below it. The time of storing is that at
    which the transaction began, while positions have the order in which they were given: so an
    event below it may be later than the moment, by less than the margin. Who wants all events
    since a moment begins after ``position_before(backend, moment - MARGIN)``, and leaves out those
    that are too early.

    It bisects the log, and reads what was stored within the margin after the moment. It is exact
    where times rise along the log but for transactions that were open for less than the margin;
    not so in a store that held events when older ones were imported with their times.

    Args:
        backend: The store's.
        moment: With a time zone.
        margin: The longest that a transaction which appends was open.

    Raises:
        InvalidInput: The moment has no time zone.
        EventStoreUnavailable: The store cannot be reached.
    """
    moment = utc(moment)
    above = min(moment, _LAST - margin) + margin
    high = await _last_up_to(backend, above, await backend.watermark())
    found = checkpoint = await _last_up_to(backend, moment, high)
    while checkpoint < high:
        page = await backend.read_all(after=checkpoint, limit=_PAGE)
        for event in page.events:
            if event.position <= high and event.stored_at <= moment:
                found = event.position
        checkpoint = page.checkpoint
    return found


async def _last_up_to(backend: EventStore, moment: datetime, high: int) -> int:
    """A position, 0 … high, of an event that was stored up to the moment, the next one not."""
    low = 0
    while low < high:
        middle = (low + high) // 2
        events = (await backend.read_all(after=middle, limit=1)).events
        if events and events[0].position <= high and events[0].stored_at <= moment:
            low = events[0].position
        else:
            high = middle
    return low
