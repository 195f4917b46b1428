# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""Appends to SQLite that write something alongside, inside the writer's transaction."""

from collections.abc import Sequence
from datetime import UTC, datetime

import apsw

from hitherto.application.alongside import Alongside, Timer
from hitherto.application.records import Append, StoredEvent, without_first
from hitherto.infrastructure.checkpoints import already_fired, already_handled, not_inline
from hitherto.infrastructure.sql import named_queries
from hitherto.infrastructure.sqlite.appending import standing_of, time_text, write
from hitherto.infrastructure.sqlite.generations import is_inline
from hitherto.infrastructure.sqlite.handlers import run
from hitherto.infrastructure.sqlite.reading import select, stored_event

_SQL = named_queries("hitherto.infrastructure.sqlite")


def write_alongside(
    connection: apsw.Connection, appends: Sequence[Append], alongside: Alongside
) -> tuple[int, ...]:
    """See `EventStore.append`; after an error the transaction must be rolled back."""
    standing = [standing_of(connection, append)[0] for append in appends]
    positions = tuple([write(connection, append) for append in appends])
    written = [
        without_first(append, count)
        for append, count in zip(appends, standing, strict=True)
        if count < len(append.events)
    ]
    if appends and not written:  # What was written alongside stands, too.
        return positions
    _mark_handled(connection, alongside)
    for name, version in alongside.inline:
        if not is_inline(connection, name, version):
            raise not_inline(name, version)
    for timer in alongside.fired:
        _fire(connection, timer)
    for timer in alongside.timers:
        _set_timer(connection, timer)
    effects = alongside.effects
    if effects is not None:
        events = _stored(connection, written)
        run(connection, "what was to be done with the append", lambda: effects(events, connection))
    return positions


def _mark_handled(connection: apsw.Connection, alongside: Alongside) -> None:
    now = time_text(datetime.now(UTC))
    for key in alongside.handled:
        if not select(connection, _SQL["mark_handled"], (alongside.scope, key, now)):
            raise already_handled(alongside.scope, key)


def _fire(connection: apsw.Connection, timer: Timer) -> None:
    due = timer.due and time_text(timer.due)
    bindings = (timer.process, timer.aggregate_id, timer.name, due)
    if not select(connection, _SQL["fire_timer"], bindings):
        raise already_fired(timer)


def _set_timer(connection: apsw.Connection, timer: Timer) -> None:
    place = (timer.process, timer.aggregate_id, timer.name)
    if timer.due is None:
        connection.execute(_SQL["cancel_timer"], place)
    else:
        connection.execute(_SQL["set_timer"], (*place, time_text(timer.due)))


def _stored(connection: apsw.Connection, appends: Sequence[Append]) -> list[StoredEvent]:
    """The events of the appends, as they are stored now."""
    rows: list[tuple[object, ...]] = []
    for append in appends:
        first, last = append.expected_version + 1, append.expected_version + len(append.events)
        rows += select(connection, _SQL["read_forward"], (append.aggregate_id, first, last, -1))
    return sorted(map(stored_event, rows), key=lambda event: event.position)
