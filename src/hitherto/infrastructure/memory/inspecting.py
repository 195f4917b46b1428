"""What can be wrong with a log and its snapshots, in plain Python: the reference."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from hitherto.application.findings import Finding, Row, Tally
from hitherto.application.records import Snapshot, StoredEvent

_NOT_JSON = "not JSON"
_JSON_NAMES = {
    dict: "object", list: "array", str: "string", int: "number", float: "number", bool: "boolean",
    type(None): "null",
}  # fmt: skip


def inspect(log: Sequence[StoredEvent], snapshots: Iterable[Snapshot]) -> Sequence[Finding]:
    """See `Inspection.inspect`."""
    tally = Tally()
    tally.extend(_content(log))
    tally.extend(_identities(log))
    by_place = sorted(log, key=lambda event: (event.aggregate_id, event.version))
    streams = {
        aggregate_id: list(events)
        for aggregate_id, events in groupby(by_place, lambda event: event.aggregate_id)
    }
    for stream in streams.values():
        tally.extend(_versions(stream))
    for snapshot in snapshots:
        tally.extend(_snapshot(snapshot, streams.get(snapshot.aggregate_id, [])))
    return tally.findings()


def _content(log: Iterable[StoredEvent]) -> Iterator[Row]:
    for event in log:
        place = (event.aggregate_id, event.version, event.position)
        if event.schema_version < 1:
            yield "schema-version-out-of-range", *place, event.schema_version
        if (found := _json_name(event.data)) != "object":
            yield "data-not-object", *place, found
        if event.metadata is not None and (found := _json_name(event.metadata)) != "object":
            yield "metadata-not-object", *place, found


def _identities(log: Iterable[StoredEvent]) -> Iterator[Row]:
    ids = Counter(event.event_id for event in log)
    positions = Counter(event.position for event in log)
    for event in log:
        place = (event.aggregate_id, event.version, event.position)
        if ids[event.event_id] > 1:
            yield "event-id-twice", *place, event.event_id
        if positions[event.position] > 1:
            yield "position-twice", *place, None
        if event.position < 1:
            yield "position-out-of-range", *place, None


def _versions(stream: Iterable[StoredEvent]) -> Iterator[Row]:
    before: StoredEvent | None = None
    for event in stream:
        place = (event.aggregate_id, event.version, event.position)
        head = before.version if before is not None else 0
        if event.version < 1:
            yield "version-out-of-range", *place, None
        if before is not None and event.version == head:
            yield "version-twice", *place, None
        if event.version > max(head, 0) + 1:
            yield "version-gap", *place, head
        if before is not None and event.aggregate_type != before.aggregate_type:
            yield "type-mixed", *place, event.aggregate_type
        before = event


def _snapshot(snapshot: Snapshot, stream: Sequence[StoredEvent]) -> Iterator[Row]:
    place = (snapshot.aggregate_id, snapshot.version, None)
    if not stream:
        yield "snapshot-without-events", *place, None
        return
    if snapshot.aggregate_type not in {event.aggregate_type for event in stream}:
        yield "snapshot-of-another-type", *place, snapshot.aggregate_type
    if snapshot.version < 1:
        yield "snapshot-out-of-range", *place, None
    if snapshot.version > stream[-1].version:
        yield "snapshot-ahead", *place, stream[-1].version
    if _json_name(snapshot.data) == _NOT_JSON:
        yield "snapshot-not-json", *place, None


def _json_name(text: str) -> str:
    """What kind of JSON it is, if any."""
    try:
        return _JSON_NAMES[type(json.loads(text))]
    except (ValueError, RecursionError):
        return _NOT_JSON
