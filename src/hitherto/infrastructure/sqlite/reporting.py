# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""What is told of projections: their status, and the events that they have set aside."""

import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import apsw

from hitherto.application.checkpoints import Generation, ParkedEvent, ProjectionStatus
from hitherto.infrastructure.sql import named_queries
from hitherto.infrastructure.sqlite.generations import current
from hitherto.infrastructure.sqlite.reading import highest_position, select

_SQL = named_queries("hitherto.infrastructure.sqlite", "projections.sql")


def status(connection: apsw.Connection, name: str | None) -> list[ProjectionStatus]:
    """See `Checkpoints.status`."""
    names = select(connection, _SQL["current_names"]) if name is None else [(name,)]
    return [
        _status(connection, generation)
        for (each,) in names
        for generation in current(connection, each).values()
    ]


def position(connection: apsw.Connection, name: str) -> int | None:
    """See `Checkpoints.position`."""
    active = current(connection, name).get("active")
    if active is None:
        return None
    lowest: int = select(connection, _SQL["extent"], (name, active.number))[0][0]
    return lowest


def parked(connection: apsw.Connection, name: str, generation: int | None) -> list[ParkedEvent]:
    """See `Checkpoints.parked`."""
    if generation is None:
        active = current(connection, name).get("active")
        generation = active.number if active else 0
    rows = select(connection, _SQL["parked"], (name, generation))
    return [_parked(name, generation, row) for row in rows]


def retry_parked(
    connection: apsw.Connection, name: str, aggregate_id: str | None, *, skip: bool
) -> int:
    """See `Checkpoints.retry_parked`."""
    active = current(connection, name).get("active")
    if active is None:
        return 0
    which = (name, active.number, aggregate_id)
    skipped = select(connection, _SQL["skip_failed"], which) if skip else []
    return len(skipped) + len(select(connection, _SQL["retry_parked"], which))


def _status(connection: apsw.Connection, generation: Generation) -> ProjectionStatus:
    which = (generation.name, generation.number)
    ((state, paused, _, partitions),) = select(connection, _SQL["state"], which)
    now = time.time()
    ((lowest, _),) = select(connection, _SQL["extent"], which)
    ((handled, updated_at, parked_events),) = select(connection, _SQL["status"], which)
    following = select(connection, _SQL["next_event"], (lowest,))
    behind = now - datetime.fromisoformat(following[0][0]).timestamp() if following else 0.0
    return ProjectionStatus(
        name=generation.name,
        generation=generation.number,
        version=generation.version,
        state=state,
        paused=bool(paused),
        partitions=partitions,
        position=lowest,
        handled=handled,
        lag_events=max(highest_position(connection) - lowest, 0),
        lag_seconds=max(behind, 0.0),
        parked=parked_events,
        owners=dict(select(connection, _SQL["owners"], (*which, now))),
        updated_at=datetime.fromisoformat(updated_at) if updated_at else None,
    )


def _parked(name: str, generation: int, row: Iterable[Any]) -> ParkedEvent:
    (
        partition, position, event_id, event_type, aggregate_id, version, attempts, error, retry,
        parked_at,
    ) = row  # fmt: skip
    return ParkedEvent(
        name=name,
        generation=generation,
        partition=partition,
        position=position,
        event_id=UUID(event_id),
        event_type=event_type,
        aggregate_id=aggregate_id,
        version=version,
        attempts=attempts,
        error=error,
        retry=bool(retry),
        parked_at=datetime.fromisoformat(parked_at),
    )
