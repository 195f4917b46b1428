"""Holds a history against the store that came out of it: what contradicts the promises."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec
from tests.faults.history import Asked, Ended, Invoked, Line, Seen

from hitherto.application.ports import Backend
from hitherto.application.records import StoredEvent

_PAGE = 1000


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asked for, and what it was told; an end that was never written is unknown."""

    asked: Invoked
    ended: Ended

    @property
    def name(self) -> str:
        return f"{self.asked.client}#{self.asked.number}"

    def events(self) -> Iterator[tuple[str, Asked, int]]:
        """Each event's id, its part, and the version at which it is to stand."""
        for part in self.asked.parts:
            for version, event_id in enumerate(part.event_ids, part.expected_version + 1):
                yield event_id, part, version


def operations(lines: Sequence[Line]) -> list[Operation]:
    """The appends of a history, each with its end."""
    ends = {(line.client, line.number): line for line in lines if isinstance(line, Ended)}
    return [
        Operation(
            asked=line,
            ended=ends.get((line.client, line.number))
            or Ended(client=line.client, number=line.number, outcome="unknown", error="no answer"),
        )
        for line in lines
        if isinstance(line, Invoked)
    ]


def outcomes(lines: Sequence[Line]) -> Counter[str]:
    """How many appends ended "ok", "failed" or "unknown"."""
    return Counter(operation.ended.outcome for operation in operations(lines))


async def check(
    backend: Backend, lines: Sequence[Line], *, unrecorded: Collection[str] = ()
) -> list[str]:
    """Read the whole store, and tell in sentences what contradicts the promises.

    Args:
        backend: Open, and at rest: nobody writes any more.
        lines: Of all clients.
        unrecorded: Aggregates to which others have written besides, without a history.
    """
    log = await read_log(backend)
    asked = operations(lines)
    world = _World(log, asked, unrecorded)
    return [
        *_malformed(log),
        *await _streams_differ(backend, world),
        *world.strangers(),
        *(each for operation in asked for each in world.told_wrongly(operation)),
        *world.half_or_failed(),
        *_misled_followers(log, lines),
    ]


async def read_log(backend: Backend) -> list[StoredEvent]:
    """Every event of the store, in order."""
    log: list[StoredEvent] = []
    after = 0
    while True:
        page = await backend.read_all(after=after, limit=_PAGE)
        log += page.events
        after = page.checkpoint
        if len(page.events) < _PAGE:
            return log


class _World:
    """The log, and who asked for what of it."""

    def __init__(
        self, log: Sequence[StoredEvent], asked: Sequence[Operation], unrecorded: Collection[str]
    ) -> None:
        self._unrecorded = unrecorded
        self._stored = {str(event.event_id): event for event in log}
        self._at = {(event.aggregate_id, event.version): event for event in log}
        self.heads: dict[str, int] = {}
        for event in log:
            self.heads[event.aggregate_id] = max(
                event.version, self.heads.get(event.aggregate_id, 0)
            )
        self._asking: dict[str, list[Operation]] = {}
        for operation in asked:
            for event_id, part, _ in operation.events():
                self._asking.setdefault(event_id, []).append(operation)
                self.heads.setdefault(part.aggregate_id, 0)

    def told_wrongly(self, operation: Operation) -> Iterator[str]:
        """An acknowledgement or a conflict that is not so."""
        ended = operation.ended
        if ended.outcome == "ok":
            for event_id, part, version in operation.events():
                if not self._stands(event_id, part, version):
                    yield (
                        f"lost: {operation.name} was acknowledged, but its event {event_id} does "
                        f"not stand at version {version} of {part.aggregate_id!r}"
                    )
            yield from self._misplaced(operation)
        elif ended.actual is not None:
            yield from self._false_conflict(operation, ended.actual)

    def half_or_failed(self) -> Iterator[str]:
        """Events that stand although no append that may have been written put them there."""
        for event_id in self._stored.keys() & self._asking.keys():
            asking = self._asking[event_id]
            if any(each.ended.outcome != "failed" and self._whole(each) for each in asking):
                continue
            names = ", ".join(f"{each.name} ({each.ended.error or 'ok'})" for each in asking)
            stored = self._stored[event_id]
            place = f"version {stored.version} of {stored.aggregate_id!r}"
            if all(each.ended.outcome == "failed" for each in asking):
                yield f"failed, but written: event {event_id} stands at {place}, asked by {names}"
            else:
                yield f"written in part: event {event_id} stands at {place}, not all of {names}"

    def strangers(self) -> Iterator[str]:
        """Events that nobody asked for, as when a retry makes new ids."""
        for event_id, event in self._stored.items():
            if event_id not in self._asking and event.aggregate_id not in self._unrecorded:
                yield (
                    f"nobody asked for event {event_id} at version {event.version} of "
                    f"{event.aggregate_id!r}"
                )

    def _whole(self, operation: Operation) -> bool:
        return all(self._stands(*each) for each in operation.events())

    def _stands(self, event_id: str, part: Asked, version: int) -> bool:
        stored = self._stored.get(event_id)
        return stored is not None and (
            (stored.aggregate_id, stored.aggregate_type, stored.version)
            == (part.aggregate_id, part.aggregate_type, version)
        )

    def _misplaced(self, operation: Operation) -> Iterator[str]:
        asked, told = operation.asked, operation.ended.positions
        if len(told) != len(asked.parts):
            yield f"{operation.name} was told {len(told)} positions for {len(asked.parts)} appends"
            return
        for part, position in zip(asked.parts, told, strict=True):
            stored = self._stored.get(part.event_ids[-1])
            if stored is not None and stored.position != position:
                yield (
                    f"{operation.name} was told position {position} for event "
                    f"{part.event_ids[-1]}, which is at {stored.position}"
                )

    def _false_conflict(self, operation: Operation, actual: int) -> Iterator[str]:
        """A conflict is true if another's event stands where this one was to go.

        A writer that is ahead of the whole stream is refused rightly too; how it came to be ahead
        is told by whoever was acknowledged what it knows.
        """
        told = operation.ended.aggregate_id
        part = next((each for each in operation.asked.parts if each.aggregate_id == told), None)
        if part is None:
            yield f"{operation.name} was told a conflict on {told!r}, to which it does not write"
            return
        place = part.expected_version + 1
        rival = self._at.get((told, place))
        head = self.heads[told]
        if rival is not None and str(rival.event_id) == part.event_ids[0]:
            yield f"false conflict: {operation.name} lost version {place} of {told!r} to itself"
        elif rival is None and head == part.expected_version:
            yield (
                f"false conflict: {operation.name} lost version {place} of {told!r}, at which "
                "nothing stands"
            )
        if actual > head or actual == part.expected_version:
            yield (
                f"{operation.name} was told that {told!r} is at version {actual}, not at "
                f"{part.expected_version}; in the end it is at {head}"
            )


def _malformed(log: Sequence[StoredEvent]) -> Iterator[str]:
    """Events twice, versions twice or left out, positions that do not rise."""
    for event_id, count in Counter(event.event_id for event in log).items():
        if count > 1:
            yield f"twice: event {event_id} stands {count} times"
    versions: dict[str, int] = {}
    kinds: dict[str, str] = {}
    last = 0
    for event in log:
        which = f"{event.aggregate_id!r} at position {event.position}"
        if event.position <= last:
            yield f"out of order: position {event.position} comes after {last}"
        last = event.position
        expected = versions.get(event.aggregate_id, 0) + 1
        if event.version != expected:
            yield f"version {event.version} of {which} comes where {expected} should"
        versions[event.aggregate_id] = event.version
        if kinds.setdefault(event.aggregate_id, event.aggregate_type) != event.aggregate_type:
            yield f"{which} is a {event.aggregate_type!r}, before it was another type"


async def _streams_differ(backend: Backend, world: _World) -> list[str]:
    """Whether the aggregates, loaded, have the versions that the log has of them."""
    wrong: list[str] = []
    ids = list(world.heads)
    for start in range(0, len(ids), _PAGE):
        some = ids[start : start + _PAGE]
        streams = await backend.load_many(some, fingerprint=None)
        for each in some:
            found = [row[0] for row in streams[each].events] if each in streams else []
            if found != list(range(1, world.heads[each] + 1)):
                wrong.append(
                    f"{each!r} loads with {len(found)} events, up to version "
                    f"{max(found, default=0)}; the log has {world.heads[each]}"
                )
    return wrong


def _misled_followers(log: Sequence[StoredEvent], lines: Sequence[Line]) -> Iterator[str]:
    """A page is to be just what the log has between where it starts and its checkpoint."""
    checkpoints: dict[str, int] = {}
    positions = [event.position for event in log]
    known: Mapping[int, str] = {event.position: str(event.event_id) for event in log}
    for line in lines:
        if not isinstance(line, Seen):
            continue
        before = checkpoints.get(line.client, line.after)
        if line.after != before:
            yield f"{line.client} read on after {line.after}, its checkpoint was {before}"
        checkpoints[line.client] = line.checkpoint
        start = bisect_right(positions, line.after)
        end = bisect_right(positions, line.checkpoint)
        expected = [(position, known[position]) for position in positions[start:end]]
        if list(line.events) != expected:
            yield f"{line.client} {_difference(line, expected)}"


def _difference(page: Seen, expected: Sequence[tuple[int, str]]) -> str:
    where = f"in ({page.after}, {page.checkpoint}]"
    seen = list(page.events)
    if skipped := [position for position, _ in expected if position not in dict(seen)]:
        return f"skipped positions {skipped[:5]} {where}"
    if vanished := [each for each in seen if each not in expected]:
        return f"saw {vanished[:5]} {where}, which the log does not have there"
    if len(seen) > len(expected):
        return f"was given an event twice {where}"
    return f"was given events out of order {where}"
