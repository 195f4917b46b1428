"""Rows of the server's, as what the port speaks of."""

from collections.abc import Sequence
from datetime import UTC
from typing import Any

import msgspec

from hitherto.application.records import Snapshot, StoredEvent, Stream


def stream(aggregate_id: str, rows: Sequence[Any]) -> Stream:
    """Tell the snapshot's row, which comes first and has schema version 0, from the events'."""
    if not rows or rows[0][2] != 0:
        return Stream(snapshot=None, unusable=None, events=rows)
    version, fingerprint, _, data, aggregate_type = rows[0]
    events = rows[1:]
    if data is None:
        return Stream(snapshot=None, unusable=version, events=events)
    snapshot = Snapshot(
        aggregate_id=aggregate_id,
        aggregate_type=aggregate_type,
        version=version,
        fingerprint=fingerprint,
        data=data,
    )
    return Stream(snapshot=snapshot, unusable=None, events=events)


def stored_event(row: Sequence[Any]) -> StoredEvent:
    """An event of the log."""
    event = StoredEvent(*row)
    if event.occurred_at.tzinfo is None or event.stored_at.tzinfo is None:
        # asyncpg takes the first and the last moment of all for infinities, without a zone.
        return msgspec.structs.replace(
            event,
            occurred_at=event.occurred_at.replace(tzinfo=UTC),
            stored_at=event.stored_at.replace(tzinfo=UTC),
        )
    return event


def lacks_first(found: Stream, to_version: int | None) -> bool:
    """Whether events may be in the archive that were to be loaded.

    What is not in the archive is the end of an aggregate, with no gap, and never nothing.
    """
    if not found.events:
        return to_version is not None
    first = found.snapshot.version if found.snapshot is not None else 1
    return bool(found.events[0][0] > first)


def lacks_some(
    found: Sequence[StoredEvent],
    from_version: int,
    to_version: int | None,
    limit: int | None,
    *,
    backward: bool,
) -> bool:
    """Whether events may be in the archive that were to be read; see `lacks_first`."""
    if not found:
        return to_version is not None
    if backward and len(found) == limit:
        return False
    return found[-1 if backward else 0].version > from_version
