"""`export_log`: stored events as lines."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import msgspec

from hitherto.application.moving.files import Write
from hitherto.application.moving.lines import Header, Seal, encode, line_of
from hitherto.application.moving.selecting import Filter, pages
from hitherto.application.ports import EventStore
from hitherto.application.records import StoredEvent
from hitherto.application.refolding import Progress, in_silence

_WHOLE = Filter()


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What an export holds.

    Attributes:
        events: How many.
        sha256: Of all lines but the last, which tells it too.
    """

    events: int
    sha256: str


async def export_log(
    backend: EventStore,
    write: Write,
    wanted: Filter = _WHOLE,
    *,
    positions: bool = False,
    progress: Progress = in_silence,
) -> Exported:
    """Write a log, up to the watermark of the beginning, in canonical form.

    The same events make the same lines, whatever kind of store they are in; so do they without
    their positions after they were moved.

    Args:
        backend: The store's.
        write: Takes the lines, as what `writing` gives for a file; in a thread.
        wanted: Which events.
        positions: Whether to tell the events' positions in the log.
        progress: Told how far it has come, in positions.

    Raises:
        EventSerializationFailed: The data or metadata of an event are no JSON.
        InvalidInput: The filter makes no sense.
        EventStoreUnavailable: The store cannot be reached.
    """
    watermark = await backend.watermark()
    until = watermark if wanted.until is None else min(wanted.until, watermark)
    seal = Seal()
    count = 0

    def write_events(events: Sequence[StoredEvent]) -> None:
        lines = (encode(line_of(event, position=positions)) for event in events)
        write(seal.seal(line[:-1]) for line in lines)

    header = encode(Header(positions=positions, filter=wanted))
    await asyncio.to_thread(write, [seal.seal(header[:-1])])
    async with aclosing(pages(backend, wanted, until)) as log:
        async for page in log:
            await asyncio.to_thread(write_events, page.events)
            count += len(page.events)
            progress("exporting", page.checkpoint - wanted.after, until - wanted.after)
    await asyncio.to_thread(write, [seal.last(count)])
    return Exported(events=count, sha256=seal.sha256)
