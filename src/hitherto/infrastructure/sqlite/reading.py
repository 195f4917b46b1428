# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""Reads from SQLite, inside a transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import apsw

from hitherto.application.records import MAX_VERSION, Snapshot, StoredEvent, Stream
from hitherto.infrastructure.sql import named_queries

_SQL = named_queries("hitherto.infrastructure.sqlite")


def select(
    connection: apsw.Connection, query: str, bindings: Sequence[Any] | Mapping[str, Any] = ()
) -> list[Any]:
    """All rows of a query."""
    return list(connection.execute(query, bindings))


def highest_position(connection: apsw.Connection) -> int:
    """The watermark: there is one writer, so positions are committed in order."""
    return int(select(connection, _SQL["watermark"])[0][0])


def stream_of(
    connection: apsw.Connection, aggregate_id: str, fingerprint: str | None, to_version: int | None
) -> Stream:
    """See `EventStore.load`."""
    snapshot = snapshot_of(connection, aggregate_id) if fingerprint is not None else None
    last = to_version or MAX_VERSION
    if snapshot is not None and snapshot.version > last:
        snapshot = None
    usable = snapshot is not None and snapshot.fingerprint == fingerprint
    first = snapshot.version if snapshot is not None and usable else 1
    events = select(connection, _SQL["load"], (aggregate_id, first, last))
    if not events or events[0][0] != first:
        events = select(connection, _SQL["load_archived"], (aggregate_id, first, last))
    return Stream(
        snapshot=snapshot if usable else None,
        unusable=snapshot.version if snapshot is not None and not usable else None,
        events=events,
    )


def snapshot_of(connection: apsw.Connection, aggregate_id: str) -> Snapshot | None:
    """See `SnapshotStore.read_snapshot`."""
    rows = select(connection, _SQL["read_snapshot"], (aggregate_id,))
    if not rows:
        return None
    _, aggregate_type, version, fingerprint, data = rows[0]
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""  # It cannot be decoded either, so the snapshot is passed over.
    if not isinstance(version, int):  # SQLite keeps what it is given.
        version, text = 0, ""
    return Snapshot(
        aggregate_id=aggregate_id,
        aggregate_type=aggregate_type,
        version=version,
        fingerprint=fingerprint,
        data=text,
    )


def stored_event(row: Sequence[Any]) -> StoredEvent:
    """A row of one of the queries that read events."""
    (
        position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
        version, data, metadata, occurred_at, stored_at,
    ) = row  # fmt: skip
    return StoredEvent(
        position=position,
        event_id=UUID(event_id),
        event_type=event_type,
        schema_version=schema_version,
        aggregate_id=aggregate_id,
        aggregate_type=aggregate_type,
        version=version,
        data=data,
        metadata=metadata,
        occurred_at=datetime.fromisoformat(occurred_at),
        stored_at=datetime.fromisoformat(stored_at),
    )
