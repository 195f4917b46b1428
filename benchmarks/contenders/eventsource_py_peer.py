"""The peer `eventsource-py`: async, on PostgreSQL through SQLAlchemy and asyncpg.

As with the other peer, its aggregate decides nothing.
"""

import asyncio
import logging
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

from eventsource import (
    AggregateRepository,
    AggregateRoot,
    DomainEvent,
    FeedReadOptions,
    OptimisticLockError,
    PostgreSQLEventStore,
    register_event,
)
from eventsource.adapters.postgresql.snapshots import PostgreSQLSnapshotStore
from eventsource.migrations import get_schema
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from benchmarks.contenders.base import Contender, Session, TaskSession
from benchmarks.contenders.eventsourcing_peer import uuid_of
from benchmarks.fines import Step, Story, payment
from benchmarks.server import Server

_PAGE = 1000
_CONNECTIONS = 20


class Dated(DomainEvent):
    aggregate_type: str = "Fine"
    at: datetime


@register_event
class FineCreated(Dated):
    amount: Decimal
    resource: str
    dismissal: str
    vehicle_class: str
    total_paid: Decimal
    article: int
    points: int


@register_event
class FineSent(Dated):
    expense: Decimal


@register_event
class FineNotified(Dated):
    notification_type: str
    last_sent: str | None = None


@register_event
class PenaltyAdded(Dated):
    amount: Decimal


@register_event
class PaymentReceived(Dated):
    amount: Decimal
    total_paid: Decimal


@register_event
class PrefectureAppealEntered(Dated):
    pass


@register_event
class PrefectureAppealSent(Dated):
    dismissal: str


@register_event
class PrefectureResultReceived(Dated):
    pass


@register_event
class PrefectureResultNotified(Dated):
    pass


@register_event
class JudgeAppealed(Dated):
    resource: str
    dismissal: str
    registration: int


@register_event
class SentToCollection(Dated):
    pass


_COMMANDS: dict[str, type[Dated]] = {
    "create": FineCreated,
    "send": FineSent,
    "notify": FineNotified,
    "add_penalty": PenaltyAdded,
    "pay": PaymentReceived,
    "enter_prefecture_appeal": PrefectureAppealEntered,
    "send_prefecture_appeal": PrefectureAppealSent,
    "receive_prefecture_result": PrefectureResultReceived,
    "notify_prefecture_result": PrefectureResultNotified,
    "appeal_to_judge": JudgeAppealed,
    "send_to_collection": SentToCollection,
}
EVENTS = tuple(_COMMANDS.values())


class FineState(BaseModel):
    steps: frozenset[str] = frozenset()
    amount: Decimal = Decimal(0)
    expense: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)
    dismissed: bool = False
    last_at: datetime | None = None


class Fine(AggregateRoot[FineState]):
    aggregate_type = "Fine"

    def _get_initial_state(self) -> FineState:
        return FineState()

    def _apply(self, event: DomainEvent) -> None:
        if self._state is None:
            self._state = self._get_initial_state()
        self._state = self._state.model_copy(update=_changes(self._state, event))

    def do(self, command: str, arguments: dict[str, Any]) -> None:
        self.apply_event(
            _COMMANDS[command](
                aggregate_id=self.aggregate_id,
                aggregate_version=self.get_next_version(),
                **arguments,
            )
        )


def _changes(state: FineState, event: DomainEvent) -> dict[str, Any]:
    assert isinstance(event, Dated)
    changes: dict[str, Any] = {"steps": state.steps | {event.event_type}, "last_at": event.at}
    match event:
        case FineCreated(amount=amount) | PenaltyAdded(amount=amount):
            changes["amount"] = amount
        case FineSent(expense=expense):
            changes["expense"] = expense
        case PaymentReceived(amount=amount):
            changes["paid"] = state.paid + amount
        case PrefectureAppealSent(dismissal="#") | JudgeAppealed(dismissal="G"):
            changes["dismissed"] = True
        case _:
            pass
    return changes


class EventsourcePySession(TaskSession):
    """An open store of this library."""

    def __init__(self, server: Server, runner: asyncio.Runner, engine: AsyncEngine) -> None:
        super().__init__(server, runner)
        self.engine = engine
        self.store = PostgreSQLEventStore(engine)
        self.fines = AggregateRepository(
            self.store, Fine, aggregate_type="Fine", enable_tracing=False
        )
        sessions = async_sessionmaker(engine, expire_on_commit=False)
        self.with_snapshots = AggregateRepository(
            self.store,
            Fine,
            aggregate_type="Fine",
            snapshot_store=PostgreSQLSnapshotStore(sessions, enable_tracing=False),
            snapshot_mode="manual",
            enable_tracing=False,
        )

    def made(self, story: Story) -> Fine:
        """See `Session.made`."""
        fine = Fine(uuid_of(story.id))
        self.go_on(fine, story.steps)
        return fine

    def go_on(self, fine: Fine, steps: Iterable[Step]) -> None:
        """See `Session.go_on`."""
        for command, arguments in steps:
            fine.do(command, arguments)

    async def save(self, story: Story) -> int:
        """See `Session.save`."""
        await self.fines.save(self.made(story))
        return len(story.steps)

    async def append(self, fine: Fine) -> int:
        """See `Session.append`."""
        count = len(fine.uncommitted_events)
        await self.fines.save(fine)
        return count

    async def load(self, fine_id: str) -> int:
        """See `Session.load`."""
        return (await self._loaded(fine_id)).version

    async def pay(self, fine_id: str) -> int:
        """See `Session.pay`."""
        conflicts = 0
        while True:
            fine = await self.fines.load(uuid_of(fine_id))
            fine.do(*payment(fine.version))
            try:
                await self.fines.save(fine)
            except OptimisticLockError:
                conflicts += 1
                await asyncio.sleep(0.001 * min(conflicts, 50))
            else:
                return conflicts

    async def paid(self, fine_id: str) -> float:
        """See `Session.paid`."""
        fine = await self._loaded(fine_id)
        return float(fine.state.paid) if fine.state else 0.0

    async def snapshot(self, fine_id: str) -> int:
        """See `Session.snapshot`; from now on it loads by snapshots."""
        self.fines = self.with_snapshots
        await self.fines.create_snapshot(await self._loaded(fine_id))
        return 1

    async def read_log(self, seconds: float) -> int:
        """See `Session.read_log`; it fetches what it is asked for at once, so in pages."""
        end = time.perf_counter() + seconds
        after, count = None, 0
        while time.perf_counter() < end:
            page = [each async for each in self.store.read_all(after, FeedReadOptions(limit=_PAGE))]
            count += len(page)
            if len(page) < _PAGE:
                break
            after = page[-1].position
        return count

    async def _loaded(self, fine_id: str) -> Fine:
        fine: Fine = await self.fines.load(uuid_of(fine_id))
        return fine


class EventsourcePy(Contender):
    """On PostgreSQL, with 20 connections."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        logging.getLogger("eventsource").setLevel(logging.ERROR)

    @contextmanager
    def opened(self, store: str) -> Generator[Session]:
        """See `Contender.opened`."""
        url = self.server.url.replace("postgresql:", "postgresql+asyncpg:")
        with asyncio.Runner() as runner:
            engine = create_async_engine(
                url,
                pool_size=_CONNECTIONS,
                max_overflow=0,
                pool_timeout=300,
                connect_args={"server_settings": {"search_path": store}},
            )
            try:
                runner.run(_made_tables(engine, store))
                yield EventsourcePySession(self.server, runner, engine)
            finally:
                runner.run(engine.dispose())


async def _made_tables(engine: AsyncEngine, store: str) -> None:
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        await driver.execute(f'CREATE SCHEMA IF NOT EXISTS "{store}"')
        if not await driver.fetchval("SELECT to_regclass('events')"):
            await driver.execute(get_schema("events"))
            await driver.execute(get_schema("snapshots"))
        await connection.commit()
