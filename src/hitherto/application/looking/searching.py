"""Walks along the log, in stretches that a store can look through in a moment."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from hitherto.application.looking.values import Wanted
from hitherto.application.ports import Backend
from hitherto.application.records import LogPage
from hitherto.errors import EventStoreUnavailable

_PAGE = 500
_STRETCH = 100_000  # positions
_QUICK, _SLOW = 0.3, 3.0  # seconds
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds


async def matching(
    backend: Backend,
    wanted: Wanted,
    *,
    after: int = 0,
    until: int | None = None,
    limit: int | None = None,
    backward: bool = False,
) -> AsyncGenerator[LogPage]:
    """The events of a part of the log that match, in pages; see `Looking.search`.

    Where no index helps, the store looks through a stretch of the log at a time, so that no call
    takes long, however rare they are. A page may be empty.
    """
    end = await backend.watermark()
    end = end if until is None else min(until, end)
    left, width = limit, _STRETCH
    while after < end and left != 0:
        low, high = (max(after, end - width), end) if backward else (after, min(end, after + width))
        started = time.monotonic()
        page = await backend.looking.search(
            wanted,
            after=low,
            until=high,
            limit=_PAGE if left is None else min(left, _PAGE),
            backward=backward,
        )
        took = time.monotonic() - started
        yield page
        left = None if left is None else left - len(page.events)
        after, end = (after, page.checkpoint) if backward else (page.checkpoint, end)
        if took < _QUICK:
            width *= 2
        elif took > _SLOW:
            width = max(width // 2, 1)


async def following(backend: Backend, wanted: Wanted, after: int) -> AsyncGenerator[LogPage]:
    """The events after a position that match, those that come too; it does not end.

    It waits for a store that is out.

    Raises:
        EventStoreUnavailable: The store was closed, or refuses for good.
    """
    pause = _FIRST_PAUSE
    while True:
        try:
            async with aclosing(matching(backend, wanted, after=after)) as pages:
                async for page in pages:
                    after = page.checkpoint
                    yield page
            await backend.wait(after)
            pause = _FIRST_PAUSE
        except EventStoreUnavailable as error:
            if not error.transient:
                raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
