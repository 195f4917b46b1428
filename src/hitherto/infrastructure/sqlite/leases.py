# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""Who holds which partition, and how far it has come, in the writer's transaction."""

import json
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import apsw

from hitherto.application.checkpoints import Attendance, Generation, Lease, ParkedEvent, Progress
from hitherto.infrastructure.checkpoints import lease_lost
from hitherto.infrastructure.sql import named_queries
from hitherto.infrastructure.sqlite.appending import time_text
from hitherto.infrastructure.sqlite.documents import write_documents
from hitherto.infrastructure.sqlite.reading import select

_SQL = named_queries("hitherto.infrastructure.sqlite", "projections.sql")
_FORGET_AFTER = 60.0  # seconds since a worker was last alive


def attend(
    connection: apsw.Connection,
    generation: Generation,
    worker: str,
    *,
    lease: float,
    held: Mapping[int, int],
) -> Attendance:
    """See `Checkpoints.attend`."""
    which = _which(generation)
    found = select(connection, _SQL["state"], which)
    if not found:
        return Attendance(leases=(), share=0, state="retired", paused=False)
    ((state, paused, inline, partitions),) = found
    now = time.time()
    connection.execute(_SQL["attend"], (*which, worker, now + lease))
    connection.execute(_SQL["forget_workers"], (*which, now - _FORGET_AFTER))
    ((live,),) = select(connection, _SQL["live_workers"], (*which, now))
    share = 0 if inline else -(-partitions // live)
    holders = select(connection, _SQL["holders"], which)
    mine = [each for each, token, _ in holders if held.get(each) == token]
    free = [each for each, _, until in holders if each not in mine and until < now]
    taken = [] if paused else free[: max(share - len(mine), 0)]
    connection.executemany(_SQL["take"], [(worker, *which, each) for each in taken])
    mine += taken
    connection.executemany(_SQL["renew"], [(now + lease, *which, each) for each in mine])
    wanted = (*which, json.dumps(mine))
    return Attendance(
        leases=tuple(map(_lease, select(connection, _SQL["leases"], wanted))),
        share=share,
        state=state,
        paused=bool(paused),
        retry=bool(select(connection, _SQL["to_retry"], wanted)),
    )


def begin(connection: apsw.Connection, generation: Generation, held: Mapping[int, int]) -> None:
    """See `Checkpoints.begin`."""
    which = _which(generation)
    rows = [(*which, partition, token) for partition, token in held.items()]
    _change(connection, _SQL["begin"], rows, generation)


def advance(connection: apsw.Connection, progress: Progress) -> None:
    """See `Checkpoints.advance`; what the step stands for has been done in this transaction."""
    generation = progress.generation
    which = _which(generation)
    if not select(connection, _SQL["state"], which):
        raise lease_lost(generation)
    now = time_text(datetime.now(UTC))
    rows = [
        {
            "name": generation.name,
            "generation": generation.number,
            "partition": partition,
            "token": token,
            "position": progress.position,
            "after": progress.after.get(partition),
            "handled": progress.handled.get(partition, 0),
            "begun": progress.begun,
            "leased_until": time.time() + progress.lease,
            "now": now,
        }
        for partition, token in progress.leases.items()
    ]
    _change(connection, _SQL["advance"], rows, generation)
    _change(connection, _SQL["unpark"], [(*which, each) for each in progress.unparked], generation)
    connection.executemany(_SQL["park"], [_parked(each, which, now) for each in progress.parked])
    write_documents(connection, generation, progress.documents)


def release(
    connection: apsw.Connection,
    generation: Generation,
    worker: str,
    held: Mapping[int, int],
    *,
    leave: bool,
) -> None:
    """See `Checkpoints.release`."""
    which = _which(generation)
    rows = [(*which, partition, token) for partition, token in held.items()]
    connection.executemany(_SQL["release"], rows)
    if leave:
        connection.execute(_SQL["leave"], (*which, worker))


def _which(generation: Generation) -> tuple[str, int]:
    return generation.name, generation.number


def _change(
    connection: apsw.Connection, query: str, rows: list[Any], generation: Generation
) -> None:
    """Change a row for each of `rows`.

    Raises:
        LeaseLost: One has another token by now.
    """
    before = connection.total_changes()
    connection.executemany(query, rows)
    if connection.total_changes() - before < len(rows):
        raise lease_lost(generation)


def _lease(row: Iterable[Any]) -> Lease:
    partition, token, position, attempts, silent_until, intact = row
    return Lease(
        partition=partition,
        token=token,
        position=position,
        attempts=attempts,
        silent_until=silent_until,
        intact=bool(intact),
    )


def _parked(parked: ParkedEvent, which: tuple[str, int], now: str) -> tuple[Any, ...]:
    return (
        *which, parked.position, parked.partition, str(parked.event_id), parked.event_type,
        parked.aggregate_id, parked.version, parked.attempts, parked.error, now,
    )  # fmt: skip
