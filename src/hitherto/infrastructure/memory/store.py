"""`MemoryStore`: the reference implementation of the ports. Nothing outlives it."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from uuid import UUID

from hitherto.application.alongside import Alongside, Timer
from hitherto.application.findings import Finding
from hitherto.application.health import Health, Usage
from hitherto.application.ports.personal import TextPlace
from hitherto.application.records import (
    TOMBSTONED,
    Append,
    LogPage,
    NewEvent,
    PlacedEvent,
    Snapshot,
    StoredEvent,
    Stream,
    check_group,
    check_id_page,
    check_open,
    check_page,
    check_range,
    check_taken,
    divided,
    refusal,
)
from hitherto.errors import EventStoreUnavailable, InvalidInput
from hitherto.infrastructure.memory.archive import MemoryArchive
from hitherto.infrastructure.memory.chain import MemoryChain
from hitherto.infrastructure.memory.checkpoints import MemoryCheckpoints
from hitherto.infrastructure.memory.erasures import MemoryErasures
from hitherto.infrastructure.memory.handlers import run
from hitherto.infrastructure.memory.inspecting import inspect
from hitherto.infrastructure.memory.looking import MemoryLooking
from hitherto.infrastructure.memory.messages import Messages
from hitherto.infrastructure.memory.personal import MemoryPersonal
from hitherto.infrastructure.memory.placing import placed
from hitherto.infrastructure.opening import Opening
from hitherto.infrastructure.waiting import Waiters


class MemoryStore:
    """Keeps everything in this process; one event loop at a time may use it.

    Attributes:
        checkpoints: Those of projections.
        looking: For people who look into it.
        chain: The hashes of its events.
        personal: The keys of personal fields.
        archive: Moves closed aggregates aside.
        erasures: Replaces payloads that must go.
    """

    def __init__(self) -> None:
        self._log: list[StoredEvent] = []
        self._streams: dict[str, list[StoredEvent]] = {}
        self._by_id: dict[UUID, StoredEvent] = {}
        self._snapshots: dict[str, Snapshot] = {}
        self._messages = Messages()
        self._closed = False
        self._writing = Opening()  # one at a time, for effects may be awaited
        self._waiters = Waiters()
        self.checkpoints: MemoryCheckpoints = MemoryCheckpoints(self._log, self._writing)
        self.looking: MemoryLooking = MemoryLooking(self._log, self._snapshots)
        self.chain: MemoryChain = MemoryChain(self._log, self._streams)
        self.personal: MemoryPersonal = MemoryPersonal(self._snapshots, self._texts)
        self.archive: MemoryArchive = MemoryArchive(self._streams, self._writing)
        self.erasures: MemoryErasures = MemoryErasures(self._by_id, self._replace, self._snapshots)

    def _texts(self) -> Iterator[tuple[TextPlace, str]]:
        """All that is stored as text, with its place."""
        for event in self._log:
            place = TextPlace(table="event_store", name=event.aggregate_id, key=str(event.version))
            yield place, f"{event.aggregate_id} {event.data} {event.metadata}"
        for name, snapshot in self._snapshots.items():
            key = str(snapshot.version)
            yield TextPlace(table="aggregate_snapshots", name=name, key=key), snapshot.data
        yield from self.checkpoints.texts()
        yield from self._messages.texts()
        yield from self.erasures.texts()

    async def open(self) -> None:
        """Nothing to open."""
        self._closed = False

    async def close(self) -> None:
        """Nothing to let go of: what was stored stays for as long as the object lives."""
        self._closed = True
        self._waiters.wake()

    async def append(
        self, appends: Sequence[Append], *, alongside: Alongside | None = None
    ) -> tuple[int, ...]:
        """See `EventStore.append`."""
        if appends or alongside is None:
            check_group(appends)
        async with self._writing.lock():
            standing = [self._check(append) for append in appends]
            made = self._made(appends, standing)
            if alongside is not None and (made or not appends):
                await self._write_alongside(alongside, made)
            self._keep(made, (event for append in appends for event in append.events))
            return tuple([self._last(append).position for append in appends])

    async def import_events(self, events: Sequence[PlacedEvent]) -> int:
        """See `EventStore.import_events`."""
        async with self._writing.lock():
            return self._import(events)

    async def load(
        self, aggregate_id: str, *, fingerprint: str | None, to_version: int | None = None
    ) -> Stream:
        """See `EventStore.load`."""
        events = self._streams.get(aggregate_id, [])[:to_version]
        stored = self._snapshots.get(aggregate_id) if fingerprint is not None else None
        if stored is not None and to_version is not None and stored.version > to_version:
            stored = None
        usable = stored if stored is not None and stored.fingerprint == fingerprint else None
        first = usable.version - 1 if usable is not None else 0
        return Stream(
            snapshot=usable,
            unusable=stored.version if stored is not None and usable is None else None,
            events=[
                (
                    event.version,
                    event.event_type,
                    event.schema_version,
                    event.data,
                    event.aggregate_type,
                )
                for event in events[first:]
            ],
        )

    async def load_many(
        self, aggregate_ids: Sequence[str], *, fingerprint: str | None
    ) -> Mapping[str, Stream]:
        """See `EventStore.load_many`."""
        return {
            aggregate_id: await self.load(aggregate_id, fingerprint=fingerprint)
            for aggregate_id in aggregate_ids
            if aggregate_id in self._streams
        }

    async def read(
        self,
        aggregate_id: str,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        limit: int | None = None,
        backward: bool = False,
    ) -> Sequence[StoredEvent]:
        """See `EventStore.read`."""
        check_range(from_version, to_version, limit)
        found = self._streams.get(aggregate_id, [])[from_version - 1 : to_version]
        return (found[::-1] if backward else found)[:limit]

    async def read_all(
        self,
        *,
        after: int = 0,
        limit: int = 1000,
        event_types: Sequence[str] | None = None,
        aggregate_types: Sequence[str] | None = None,
    ) -> LogPage:
        """See `EventStore.read_all`."""
        check_page(after, limit, event_types=event_types, aggregate_types=aggregate_types)
        events: list[StoredEvent] = []
        for event in islice(self._log, after, None):
            if (event_types is None or event.event_type in event_types) and (
                aggregate_types is None or event.aggregate_type in aggregate_types
            ):
                events.append(event)
                if len(events) == limit:
                    return LogPage(events=events, checkpoint=event.position)
        return LogPage(events=events, checkpoint=max(after, len(self._log)))

    async def aggregate_ids(
        self, aggregate_type: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[str]:
        """See `EventStore.aggregate_ids`."""
        check_id_page(aggregate_type, after, limit)
        types = {each: stream[0].aggregate_type for each, stream in self._streams.items()}
        return _page(types, aggregate_type, after, limit)

    async def watermark(self) -> int:
        """See `EventStore.watermark`."""
        return len(self._log)

    async def wait(self, after: int) -> int:
        """See `EventStore.wait`."""
        while not self._closed and len(self._log) <= after:
            await self._waiters.wait()
        if self._closed:
            raise EventStoreUnavailable("the store is closed: open it first", transient=False)
        return len(self._log)

    async def handled(self, scope: str, keys: Sequence[str]) -> Collection[str]:
        """See `EventStore.handled`."""
        return self._messages.handled(scope, keys)

    async def forget_handled(self, scope: str, *, before: datetime) -> int:
        """See `EventStore.forget_handled`."""
        return self._messages.forget_handled(scope, before)

    async def due_timers(self, process: str, *, until: datetime, limit: int) -> Sequence[Timer]:
        """See `EventStore.due_timers`."""
        return self._messages.due_timers(process, until, limit)

    async def health_check(self) -> Health:
        """See `EventStore.health_check`."""
        return Health(
            status="degraded",
            backend="memory",
            latency=0.0,
            problems=("events are kept in memory only: they end with the process",),
        )

    def usage(self) -> Usage:
        """See `EventStore.usage`."""
        return Usage()

    async def save_snapshot(self, snapshot: Snapshot, *, replacing: int | None = None) -> bool:
        """See `SnapshotStore.save_snapshot`."""
        kept = self._snapshots.get(snapshot.aggregate_id)
        if kept is not None and kept.version >= snapshot.version and kept.version != replacing:
            return False
        self._snapshots[snapshot.aggregate_id] = snapshot
        return True

    async def read_snapshot(self, aggregate_id: str) -> Snapshot | None:
        """See `SnapshotStore.read_snapshot`."""
        return self._snapshots.get(aggregate_id)

    async def snapshot_ids(
        self, aggregate_type: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[str]:
        """See `SnapshotStore.snapshot_ids`."""
        check_id_page(aggregate_type, after, limit)
        types = {each: snapshot.aggregate_type for each, snapshot in self._snapshots.items()}
        return _page(types, aggregate_type, after, limit)

    async def inspect(self) -> Sequence[Finding]:
        """See `Inspection.inspect`."""
        return inspect(self._log, self._snapshots.values())

    def _check(self, append: Append) -> int:
        """How many of the append's events stand already; raise if it has lost."""
        stream = self._streams.get(append.aggregate_id, [])
        actual = len(stream)
        actual_type = stream[0].aggregate_type if stream else None
        standing = 0
        for event, stored in zip(append.events, stream[append.expected_version :], strict=False):
            if event.event_id != stored.event_id:
                break
            standing += 1
        at_head = actual == append.expected_version + standing
        complete = standing == len(append.events)
        closed = append.aggregate_id in self.archive.closed
        loses = not complete and (closed or not at_head)
        if loses or actual_type not in {None, append.aggregate_type}:
            raise refusal(append, TOMBSTONED if closed else actual, actual_type)
        self._check_ids(append.events[standing:])
        return standing

    def _check_ids(self, events: Sequence[NewEvent]) -> None:
        seen: set[UUID] = set()
        for event in events:
            if event.event_id in self._by_id or event.event_id in seen:
                raise InvalidInput(f"event id {event.event_id} is stored already: ids are unique")
            seen.add(event.event_id)

    def _made(self, appends: Sequence[Append], standing: Sequence[int]) -> list[StoredEvent]:
        """The events that are to be written."""
        events = (
            (event, (append.aggregate_id, append.aggregate_type, version), None)
            for append, count in zip(appends, standing, strict=True)
            for version, event in enumerate(
                append.events[count:], append.expected_version + count + 1
            )
        )
        return placed(events, len(self._log) + 1)

    async def _write_alongside(self, alongside: Alongside, made: Sequence[StoredEvent]) -> None:
        self._messages.check(alongside)
        for name, version in alongside.inline:
            self.checkpoints.check_inline(name, version)
        if alongside.effects is not None:
            await run("what was to be done with the append", partial(alongside.effects, made, None))
        self._messages.write(alongside)

    def _keep(self, made: Iterable[StoredEvent], given: Iterable[NewEvent]) -> None:
        hashes = {event.event_id: event.content_hash for event in given}
        for event in made:
            self._log.append(event)
            self._by_id[event.event_id] = event
            self._streams.setdefault(event.aggregate_id, []).append(event)
            if (content_hash := hashes[event.event_id]) is not None:
                self.chain.extend(event, content_hash)
        self._waiters.wake()

    def _replace(self, event: StoredEvent) -> None:
        self._log[event.position - 1] = event
        self._by_id[event.event_id] = event
        self._streams[event.aggregate_id][event.version - 1] = event

    def _last(self, append: Append) -> StoredEvent:
        version = append.expected_version + len(append.events)
        return self._streams[append.aggregate_id][version - 1]

    def _import(self, events: Sequence[PlacedEvent]) -> int:
        heads = {
            aggregate_id: (len(stream), stream[0].aggregate_type)
            for aggregate_id in {event.aggregate_id for event in events}
            if (stream := self._streams.get(aggregate_id))
        }
        fresh, taken = divided(events, heads)
        places = [(event.aggregate_id, event.version) for event in taken]
        check_taken(
            taken,
            {
                (each, version): self._streams[each][version - 1].event_id
                for each, version in places
            },
            heads,
        )
        check_open(fresh, self.archive.closed)
        self._check_ids(fresh)
        told = (
            (event, (event.aggregate_id, event.aggregate_type, event.version), event.stored_at)
            for event in fresh
        )
        self._keep(placed(told, len(self._log) + 1), fresh)
        return len(fresh)


def _page(types: Mapping[str, str], aggregate_type: str, after: str, limit: int) -> list[str]:
    ids = (each for each, found in types.items() if found == aggregate_type and each > after)
    return sorted(ids)[:limit]
