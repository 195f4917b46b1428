"""The peer `eventsourcing`: its own Application and Aggregate, on PostgreSQL and on SQLite.

Its aggregate decides nothing, where ours checks every command: that favours it. It keeps ids as
UUIDs, its default.
"""

import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import IntegrityError

from benchmarks.contenders.base import Contender, Session, ThreadSession
from benchmarks.contenders.ours import sqlite_file
from benchmarks.fines import Step, Story, payment
from benchmarks.server import Server

_PAGE = 1000


class Fine(Aggregate):
    """The same fine, by this library's means."""

    class FineCreated(Aggregate.Created):
        at: datetime
        amount: Decimal
        resource: str
        dismissal: str
        vehicle_class: str
        total_paid: Decimal
        article: int
        points: int

    class Dated(Aggregate.Event):
        at: datetime

        def apply(self, aggregate: "Fine") -> None:
            aggregate.happened(type(self).__name__, self.at)
            self.change(aggregate)

        def change(self, aggregate: "Fine") -> None:
            """What else it changes."""

    class FineSent(Dated):
        expense: Decimal

        def change(self, aggregate: "Fine") -> None:
            aggregate.expense = self.expense

    class FineNotified(Dated):
        notification_type: str
        last_sent: str | None = None

    class PenaltyAdded(Dated):
        amount: Decimal

        def change(self, aggregate: "Fine") -> None:
            aggregate.amount = self.amount

    class PaymentReceived(Dated):
        amount: Decimal
        total_paid: Decimal

        def change(self, aggregate: "Fine") -> None:
            aggregate.paid += self.amount

    class PrefectureAppealEntered(Dated):
        pass

    class PrefectureAppealSent(Dated):
        dismissal: str

        def change(self, aggregate: "Fine") -> None:
            aggregate.dismissed |= self.dismissal == "#"

    class PrefectureResultReceived(Dated):
        pass

    class PrefectureResultNotified(Dated):
        pass

    class JudgeAppealed(Dated):
        resource: str
        dismissal: str
        registration: int

        def change(self, aggregate: "Fine") -> None:
            aggregate.dismissed |= self.dismissal == "G"

    class SentToCollection(Dated):
        pass

    commands: ClassVar[dict[str, type[Dated]]] = {
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

    def __init__(self, *, at: datetime, amount: Decimal) -> None:
        self.steps = ["FineCreated"]
        self.amount = amount
        self.expense = Decimal(0)
        self.paid = Decimal(0)
        self.dismissed = False
        self.written_at = at
        self.last_at = at

    @classmethod
    def create(cls, fine_id: UUID, **arguments: Any) -> "Fine":
        return cls._create(cls.FineCreated, id=fine_id, **arguments)

    def happened(self, step: str, at: datetime) -> None:
        if step not in self.steps:
            self.steps.append(step)
        self.last_at = at

    def do(self, command: str, **arguments: Any) -> None:
        self.trigger_event(self.commands[command], **arguments)


class Fines(Application[UUID]):
    """The application of this library that holds fines."""

    is_snapshotting_enabled = True  # by hand only
    log_section_size = _PAGE


class EventsourcingSession(ThreadSession):
    """An open application."""

    def __init__(self, server: Server, threads: int, app: Fines) -> None:
        super().__init__(server, threads)
        self.app = app

    def made(self, story: Story) -> Fine:
        """See `Session.made`."""
        (_, arguments), *others = story.steps
        fine = Fine.create(uuid_of(story.id), **arguments)
        self.go_on(fine, others)
        return fine

    def go_on(self, fine: Fine, steps: Iterable[Step]) -> None:
        """See `Session.go_on`."""
        for command, arguments in steps:
            fine.do(command, **arguments)

    def save(self, story: Story) -> int:
        """See `Session.save`."""
        self.app.save(self.made(story))
        return len(story.steps)

    def append(self, fine: Fine) -> int:
        """See `Session.append`."""
        return len(self.app.save(fine))

    def save_many(self, stories: list[Story]) -> int:
        """Several fines in one transaction."""
        self.app.save(*map(self.made, stories))
        return sum(len(story.steps) for story in stories)

    def load(self, fine_id: str) -> int:
        """See `Session.load`."""
        fine: Fine = self.app.repository.get(uuid_of(fine_id))
        return fine.version

    def pay(self, fine_id: str) -> int:
        """See `Session.pay`."""
        conflicts = 0
        while True:
            fine: Fine = self.app.repository.get(uuid_of(fine_id))
            command, arguments = payment(fine.version)
            fine.do(command, **arguments)
            try:
                self.app.save(fine)
            except IntegrityError:
                conflicts += 1
            else:
                return conflicts

    def paid(self, fine_id: str) -> float:
        """See `Session.paid`."""
        fine: Fine = self.app.repository.get(uuid_of(fine_id))
        return float(fine.paid)

    def snapshot(self, fine_id: str) -> int:
        """See `Session.snapshot`."""
        self.app.take_snapshot(uuid_of(fine_id))
        return 1

    def read_log(self, seconds: float) -> int:
        """See `Session.read_log`."""
        end = time.perf_counter() + seconds
        start, count = 1, 0
        while time.perf_counter() < end:
            page = self.app.notification_log.select(start=start, limit=_PAGE)
            for notification in page:
                self.app.mapper.to_domain_event(notification)
            count += len(page)
            if len(page) < _PAGE:
                break
            start = page[-1].id + 1
        return count


class Eventsourcing(Contender):
    """On PostgreSQL, in its default mode: each save locks the table of events.

    Args:
        server: The server.
        threads: How many work; its pool has a connection for each.
    """

    functions = "no"

    def __init__(self, server: Server, threads: int) -> None:
        super().__init__(server)
        self.threads = threads

    @contextmanager
    def opened(self, store: str) -> Generator[Session]:
        """See `Contender.opened`."""
        self.server.psql(
            "SET client_min_messages = error", f'CREATE SCHEMA IF NOT EXISTS "{store}"'
        )
        with Fines(env=self.environment(store)) as app:
            yield EventsourcingSession(self.server, self.threads, app)

    def environment(self, store: str) -> dict[str, str]:
        """Its settings for a store."""
        return {
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": "postgres",
            "POSTGRES_HOST": "127.0.0.1",
            "POSTGRES_PORT": str(self.server.port),
            "POSTGRES_USER": "postgres",
            "POSTGRES_PASSWORD": "none",
            "POSTGRES_SCHEMA": store,
            "POSTGRES_POOL_SIZE": str(self.threads),
            "POSTGRES_MAX_OVERFLOW": "0",
            "POSTGRES_ENABLE_DB_FUNCTIONS": self.functions,
        }


class EventsourcingFunctions(Eventsourcing):
    """With its database functions: one statement a save, and no lock on the table.

    Its notifications can then become visible out of order, so a reader can miss events: it
    promises less than its default mode, and than ours.
    """

    functions = "yes"


class EventsourcingOnSqlite(Eventsourcing):
    """On a SQLite file: it sets WAL; `synchronous` is what SQLite was built with."""

    @contextmanager
    def opened(self, store: str) -> Generator[Session]:
        """See `Contender.opened`."""
        environment = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": store}
        with Fines(env=environment) as app:
            yield EventsourcingSession(self.server, self.threads, app)

    @contextmanager
    def fresh(self) -> Generator[Session]:
        """See `Contender.fresh`."""
        with sqlite_file() as path, self.opened(str(path)) as session:
            yield session


def uuid_of(fine_id: str) -> UUID:
    """The fine's id, as this library wants it."""
    return uuid5(NAMESPACE_URL, fine_id)
