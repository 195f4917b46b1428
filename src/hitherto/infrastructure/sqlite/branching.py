# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""`branch`: a store up to a position, as a new SQLite file."""

from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path

import apsw

from hitherto.application.moving import Filter, made_whole, pages
from hitherto.application.ports import EventStore
from hitherto.application.records import StoredEvent
from hitherto.application.refolding import Progress, in_silence
from hitherto.infrastructure.sql import named_queries
from hitherto.infrastructure.sqlite.appending import row_of, time_text
from hitherto.infrastructure.sqlite.connections import Connections

_SQL = named_queries("hitherto.infrastructure.sqlite")


async def branch(
    backend: EventStore,
    path: Path,
    *,
    until: int | None = None,
    progress: Progress = in_silence,
) -> int:
    """Copy the events of a store, with their positions and times, into a new SQLite file.

    Snapshots are not copied, for they are made again of events; nor is what projections hold.

    Args:
        backend: The store's.
        path: The file; it is there when it is whole.
        until: Copy up to this position; None: up to the watermark, as in any case.
        progress: Told how far it has come, in positions.

    Returns:
        How many events it has.

    Raises:
        InvalidInput: There is a file of that name, or the position makes no sense.
        EventStoreUnavailable: The store cannot be reached, or the file not be written.
    """
    wanted = Filter(until=until)
    with made_whole(path) as unfinished:
        watermark = await backend.watermark()
        end = watermark if until is None else min(until, watermark)
        connections = Connections(str(unfinished), max_readers=1)
        try:
            await connections.open()
            return await _copy(backend, connections, wanted, end, progress)
        finally:
            await connections.close()


async def _copy(
    backend: EventStore, connections: Connections, wanted: Filter, end: int, progress: Progress
) -> int:
    count = 0
    async with aclosing(pages(backend, wanted, end)) as log:
        async for page in log:
            await connections.write(partial(_insert, page.events), durable=False)
            count += len(page.events)
            progress("copying", page.checkpoint, end)
    return count


def _insert(events: Sequence[StoredEvent], connection: apsw.Connection) -> None:
    connection.executemany(
        _SQL["insert_at"],
        [
            (
                *row_of(
                    event, event.aggregate_id, event.aggregate_type, event.version,
                    time_text(event.stored_at),
                ),
                event.position,
            )
            for event in events
        ],
    )  # fmt: skip
