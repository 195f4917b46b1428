"""`import_file`: an export into a store."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hitherto.application.moving.lines import Line
from hitherto.application.moving.matching import check_stored
from hitherto.application.moving.reading import Reading
from hitherto.application.ports import EventStore
from hitherto.application.records import PlacedEvent
from hitherto.application.refolding import Progress, in_silence
from hitherto.errors import AggregateVersionConflict, InvalidInput

if TYPE_CHECKING:
    from hitherto.application.store import Store


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a file's events.

    Attributes:
        events: How many the file holds, and the store has.
        written: Stored by this import.
        skipped: Stored before.
    """

    events: int
    written: int
    skipped: int


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is as it was written.

    Attributes:
        path: Where it is.
        name: What to call it.
        events: How many it holds.
        first: The aggregate and the version of the first one; None: there is none.
        begun: Where only later events were exported, or those of some types: aggregates that lack
            their first versions, and the version with which each begins.
    """

    path: Path
    name: str
    events: int
    first: tuple[str, int] | None
    begun: Mapping[str, int]

    def reading(self) -> Reading:
        """It, from its beginning."""
        return Reading(self.path, self.name)


async def check_file(
    path: Path, *, name: str | None = None, progress: Progress = in_silence
) -> Checked:
    """Read a whole export, and see that it is as it was written.

    Args:
        path: What `export_log` has written; its kind is told by its first bytes.
        name: What to call it; left out: its path.
        progress: Told how far it has come.

    Raises:
        InvalidInput: It is not, and where; or it lacks versions between others.
        ConfigurationError: The extra for Parquet is not installed.
    """
    reading = Reading(path, name or str(path))
    total = 0
    first: tuple[str, int] | None = None
    latest: dict[str, int] = {}
    begun: dict[str, int] = {}
    async for lines in reading.each_chunk():
        await asyncio.to_thread(_placed, reading.name, lines)
        first = first or (lines[0].aggregate_id, lines[0].version)
        if reading.header.filter.event_types or reading.header.filter.after:
            for line in lines:
                before = latest.get(line.aggregate_id)
                if before is None and line.version > 1:
                    begun[line.aggregate_id] = line.version
                elif line.version != (before or 0) + 1:
                    raise _gap(reading.name, line.aggregate_id, line.version)
                latest[line.aggregate_id] = line.version
        total += len(lines)
        progress("checking", total, None)
    return Checked(path=path, name=reading.name, events=total, first=first, begun=begun)


async def import_file(
    store: "Store", file: Path | Checked, *, progress: Progress = in_silence
) -> Moved:
    """Store the events of an export as they were: their ids, versions and times.

    The whole file is checked before anything is written. It is written in chunks, each of which is
    stored whole or not at all; an import that was broken off may be run again, and goes on. At the
    end each event is read back and compared with the file.

    Args:
        store: Where to; its other events stay, before or among these.
        file: What `export_log` has written; it is not checked again if it has been.
        progress: Told what is being done, and how far it has come.

    Raises:
        InvalidInput: The file is not as it was written, or is part of a history that the store
            does not hold, or tells another history; or the store has inline projections.
        AggregateIDMismatch: An aggregate is stored under another type.
        ConfigurationError: The extra for Parquet is not installed.
        EventStoreError: The store does not give back what was written.
        EventStoreUnavailable: The store cannot be reached.
    """
    if store.inline:
        raise InvalidInput(
            "a store with inline projections takes no import, which would not run them: "
            "import with a store that has none, then fill their views"
        )
    if isinstance(file, Path):
        file = await check_file(file, progress=progress)
    backend = store.sealed
    for aggregate_id, version in file.begun.items():
        before = version - 1
        if not await backend.read(aggregate_id, from_version=before, to_version=before):
            raise _gap(file.name, aggregate_id, version)
    beginning = await backend.watermark()
    written = await _write(backend, file, progress)
    resumed = written < file.events
    after = await _before(backend, file.first) if resumed else beginning
    await check_stored(backend, file.reading(), after, file.events, progress, before_too=resumed)
    return Moved(events=file.events, written=written, skipped=file.events - written)


async def _before(backend: EventStore, first: tuple[str, int] | None) -> int:
    """The position before that of a file's first event: there an earlier import has begun."""
    if first is None:
        return 0
    aggregate_id, version = first
    events = await backend.read(aggregate_id, from_version=version, to_version=version)
    return events[0].position - 1 if events else 0


async def _write(backend: EventStore, file: Checked, progress: Progress) -> int:
    reading = file.reading()
    done = written = 0
    async for lines in reading.each_chunk():
        events = await asyncio.to_thread(_placed, file.name, lines)
        try:
            written += await backend.import_events(events)
        except AggregateVersionConflict as conflict:
            version = conflict.expected + 1
            if version > conflict.actual:
                raise _gap(file.name, conflict.aggregate_id, version) from conflict
            raise InvalidInput(
                f"{file.name}: the store has another event as version {version} of "
                f"{conflict.aggregate_id!r}: histories are not mixed, import into another store"
            ) from conflict
        done += len(events)
        progress("importing", done, file.events)
    return written


def _placed(name: str, lines: Sequence[Line]) -> list[PlacedEvent]:
    try:
        return [line.placed() for line in lines]
    except ValueError as error:
        raise InvalidInput(f"{name} holds an event that no store takes: {error}") from error


def _gap(name: str, aggregate_id: str, version: int) -> InvalidInput:
    return InvalidInput(
        f"{name}: version {version} of {aggregate_id!r} cannot be stored, for neither the file nor "
        f"the store has version {version - 1}: export without that filter, or import first what "
        "comes before"
    )
