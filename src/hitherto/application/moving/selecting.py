"""`Filter`: which events of a log are wanted."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import msgspec

from hitherto.application.ports import EventStore
from hitherto.application.records import LogPage, StoredEvent, check_page
from hitherto.domain.identifiers import check_identifier
from hitherto.errors import InvalidInput

_PAGE = 2000


class Filter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which events of a log are wanted: those that match all that is given.

    Attributes:
        event_types: Of one of these types; none: of any.
        aggregate_types: Of an aggregate of one of these types.
        aggregates: Of an aggregate with one of these ids.
        after: Only above this position.
        until: Only up to this position; None: up to the watermark, as in any case.

    Raises:
        InvalidInput: A name or a position that there cannot be.
    """

    event_types: tuple[str, ...] = ()
    aggregate_types: tuple[str, ...] = ()
    aggregates: tuple[str, ...] = ()
    after: int = 0
    until: int | None = None

    def __post_init__(self) -> None:
        check_page(
            self.after, 1, event_types=self.event_types, aggregate_types=self.aggregate_types
        )
        for each in self.aggregates:
            check_identifier("aggregate id", each)
        if self.until is not None and self.until < self.after:
            raise InvalidInput(
                f"until={self.until} is before after={self.after}: give a later position"
            )


async def pages(backend: EventStore, wanted: Filter, until: int) -> AsyncGenerator[LogPage]:
    """What of the log is wanted, in order and up to a position; a page is read ahead.

    Of named aggregates all that is wanted is read at once.
    """
    if wanted.aggregates:
        yield LogPage(events=await _named(backend, wanted, until), checkpoint=until)
        return
    reading = asyncio.create_task(_page(backend, wanted, wanted.after))
    try:
        while True:
            page = await reading
            if page.checkpoint < until:
                reading = asyncio.create_task(_page(backend, wanted, page.checkpoint))
            events = [event for event in page.events if event.position <= until]
            yield LogPage(events=events, checkpoint=min(page.checkpoint, until))
            if page.checkpoint >= until:
                return
    finally:
        reading.cancel()


async def _page(backend: EventStore, wanted: Filter, after: int) -> LogPage:
    return await backend.read_all(
        after=after,
        limit=_PAGE,
        event_types=wanted.event_types or None,
        aggregate_types=wanted.aggregate_types or None,
    )


async def _named(backend: EventStore, wanted: Filter, until: int) -> Sequence[StoredEvent]:
    found: list[StoredEvent] = []
    for each in dict.fromkeys(wanted.aggregates):
        found += await backend.read(each)
    return sorted(
        (
            event
            for event in found
            if wanted.after < event.position <= until
            and (not wanted.event_types or event.event_type in wanted.event_types)
            and (not wanted.aggregate_types or event.aggregate_type in wanted.aggregate_types)
        ),
        key=lambda event: event.position,
    )
