"""Whether a store holds what an export tells."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from uuid import UUID

import msgspec

from hitherto.application.moving.lines import Line, line_of
from hitherto.application.moving.reading import Reading
from hitherto.application.moving.selecting import Filter, pages
from hitherto.application.ports import EventStore
from hitherto.application.records import StoredEvent
from hitherto.application.refolding import Progress
from hitherto.errors import EventStoreError


async def check_stored(
    backend: EventStore,
    reading: Reading,
    after: int,
    total: int,
    progress: Progress,
    *,
    before_too: bool,
) -> None:
    """See whether every event of a file is stored as the file tells it, its position aside.

    The file and the log are read side by side. Where both have the events in one order, little is
    kept in memory; else, what one has told before the other.

    Args:
        backend: The store's.
        reading: The file.
        after: The position above which its events are.
        total: How many it has.
        progress: Told how many were found.
        before_too: Whether some may be at or below that position.

    Raises:
        EventStoreError: An event is missing, or differs.
    """
    matching = _Matching(backend, reading.name)
    log = pages(backend, Filter(after=after), await backend.watermark())
    async with aclosing(log) as stored:
        async for lines in reading.each_chunk():
            await matching.told(lines)
            read = 0
            while read < len(lines) and (page := await anext(stored, None)):
                await matching.stored(page.events)
                read += len(page.events)
            progress("verifying", matching.found, total)
        matching.ahead = None
        while matching.waiting and (page := await anext(stored, None)):
            await matching.stored(page.events)
            progress("verifying", matching.found, total)
    async with aclosing(pages(backend, Filter(), after)) as earlier:
        while before_too and matching.waiting and (page := await anext(earlier, None)):
            await matching.stored(page.events)
            progress("verifying", matching.found, total)
    await matching.look_for_the_rest()
    progress("verifying", total, total)


class _Matching:
    """Lines of a file and events of a log, each of which waits for the other.

    Attributes:
        waiting: Lines whose event the log has not had yet.
        ahead: Digests of events that the file has not told yet; None when it has told all.
        found: How many have met.
    """

    def __init__(self, backend: EventStore, name: str) -> None:
        self._backend = backend
        self._name = name
        self.waiting: dict[UUID, Line] = {}
        self.ahead: dict[UUID, bytes] | None = {}
        self.found = 0

    async def told(self, lines: Sequence[Line]) -> None:
        ahead = self.ahead or {}
        for line in lines:
            digest = ahead.pop(line.event_id, None)
            if digest is None:
                self.waiting[line.event_id] = line
            else:
                await self._compare(line, digest)

    async def stored(self, events: Sequence[StoredEvent]) -> None:
        for event_id, digest in await asyncio.to_thread(_digests, events):
            line = self.waiting.pop(event_id, None)
            if line is not None:
                await self._compare(line, digest)
            elif self.ahead is not None:
                self.ahead[event_id] = digest

    async def look_for_the_rest(self) -> None:
        """Of what is not below the watermark yet: somebody's transaction has been open for long."""
        for line in self.waiting.values():
            event = await self._event(line)
            await self._compare(line, b"" if event is None else line_of(event).digest())

    async def _compare(self, line: Line, digest: bytes) -> None:
        if line.digest() == digest:
            self.found += 1
            return
        event = await self._event(line)
        raise EventStoreError(
            f"version {line.version} of {line.aggregate_id!r} is not stored as {self._name} tells "
            f"it: {'it is missing' if event is None else _difference(line, event)}"
        )

    async def _event(self, line: Line) -> StoredEvent | None:
        events = await self._backend.read(
            line.aggregate_id, from_version=line.version, to_version=line.version
        )
        return events[0] if events else None


def _digests(events: Sequence[StoredEvent]) -> list[tuple[UUID, bytes]]:
    return [(event.event_id, line_of(event).digest()) for event in events]


def _difference(line: Line, event: StoredEvent) -> str:
    ours, theirs = msgspec.structs.asdict(line), msgspec.structs.asdict(line_of(event))
    names = [name for name in theirs if name != "position" and ours[name] != theirs[name]]
    return f"its {', '.join(names)} differ"
