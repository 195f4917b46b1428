"""The peer `eventsource-py` keeps the view: its `SubscriptionManager` and `DatabaseProjection`.

Its way is a transaction for each event. It saves the position after each batch of 100, so after a
crash events are booked again.
"""

import asyncio
from contextlib import suppress
from typing import Any

from eventsource import (
    DatabaseProjection,
    DomainEvent,
    InMemoryEventBus,
    SQLCheckpointRepository,
    handles,
)
from eventsource.application.subscriptions import SubscriptionConfig, SubscriptionManager
from eventsource.migrations import get_schema
from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker

from benchmarks.balances import COLUMNS, TABLE, Sums, change, create, sums_of, upsert
from benchmarks.contenders.eventsource_py_peer import (
    EVENTS,
    EventsourcePy,
    EventsourcePySession,
)
from benchmarks.measuring import Timings, spent

_NAMES = COLUMNS.split(", ")
_UPSERT = text(upsert(TABLE, f"VALUES ({', '.join(f':{name}' for name in _NAMES)})"))


class Balances(DatabaseProjection):
    """Books every event."""

    booked = 0

    async def book(self, connection: Any, event: DomainEvent) -> None:
        row = change(event.aggregate_id, event).row()
        await connection.execute(_UPSERT, dict(zip(_NAMES, row, strict=True)))
        self.booked += 1

    async def _truncate_read_models(self) -> None:
        raise NotImplementedError


def _handler(event_class: type[DomainEvent]) -> Any:
    async def handler(self: Balances, connection: Any, event: DomainEvent) -> None:
        await self.book(connection, event)

    handler.__annotations__["event"] = event_class
    return handles(event_class)(handler)


for _class in EVENTS:
    setattr(Balances, f"on_{_class.__name__}", _handler(_class))


def caught_up(peer: EventsourcePy, store: str, seconds: float) -> tuple[Timings, Sums | None]:
    """Catch up with a log, so long at most; gives what the view comes to, if that was all."""
    last = int(peer.server.psql(f'SELECT count(*) FROM "{store}".events'))
    with peer.opened(store) as session:
        assert isinstance(session, EventsourcePySession)
        session.run(_tables, session, create(TABLE, "uuid"), _checkpoints())
        try:
            timings = session.run(_timed, session, seconds)
            whole = timings.events == last
            return timings, sums_of(peer.server, f'"{store}".{TABLE}') if whole else None
        finally:
            session.run(_tables, session, f"DROP TABLE {TABLE}, projection_checkpoints CASCADE")


def _checkpoints() -> str:
    """The library's own script; as it stands, PostgreSQL refuses one of its functions."""
    return get_schema("checkpoints").replace("GET DIAGNOSTICS deleted = FOUND", "deleted := FOUND")


async def _timed(session: EventsourcePySession, seconds: float) -> Timings:
    engine = session.engine
    projection = Balances(async_sessionmaker(engine, expire_on_commit=False))
    checkpoints = SQLCheckpointRepository(engine, enable_tracing=False)
    manager = SubscriptionManager(
        session.store, InMemoryEventBus(), checkpoints, enable_tracing=False
    )
    await manager.subscribe(projection, SubscriptionConfig(start_from="beginning"))
    timings = Timings()
    with spent(timings, session.server.cpu):
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                failures = await manager.start()
                assert not any(failures.values()), failures
        timings.events = projection.booked
    await manager.stop()
    return timings


async def _tables(session: EventsourcePySession, *scripts: str) -> None:
    async with session.engine.connect() as connection:
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        for script in scripts:
            await driver.execute(script)
        await connection.commit()
