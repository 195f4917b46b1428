"""The peer `eventsourcing` keeps the view: its `ProjectionRunner` and its tracking recorder.

Its way is a transaction for each event, in which the view and the tracked position are written.
"""

import time
from typing import Any

from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL

from benchmarks.balances import TABLE, Sums, change, create, sums_of, upsert
from benchmarks.contenders.eventsourcing_peer import Eventsourcing, Fines
from benchmarks.measuring import Timings, spent
from benchmarks.server import new_schema

_LOOK = 0.05  # seconds between two looks at how far it has come
_CONNECTIONS = "5"  # its default; one of them listens


class View(PostgresTrackingRecorder):
    """The view's table, in a schema of its own."""

    def __init__(self, datastore: Any, **options: Any) -> None:
        super().__init__(datastore, **options)
        table = f"{self.datastore.schema}.{TABLE}"
        self.sql_create_statements.append(SQL(create(table, "uuid")).format())
        self.upsert = SQL(upsert(table, "VALUES (%s, %s, %s, %s, %s, %s)"))

    def book(self, row: tuple[Any, ...], tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(self.upsert, row, prepare=True)


class Balances(Projection[View]):
    """Books every event."""

    name = "balances"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        self.view.book(change(domain_event.originator_id, domain_event).row(), tracking)


def caught_up(peer: Eventsourcing, store: str, seconds: float) -> tuple[Timings, Sums | None]:
    """Catch up with a log, so long at most; gives what the view comes to, if that was all."""
    schema = new_schema("view")
    peer.server.psql(f"CREATE SCHEMA {schema}")
    environment = {
        **peer.environment(store),
        "POSTGRES_POOL_SIZE": _CONNECTIONS,
        "BALANCES_POSTGRES_SCHEMA": schema,
    }
    try:
        timings, whole = _timed(peer, environment, seconds)
        return timings, sums_of(peer.server, f"{schema}.{TABLE}") if whole else None
    finally:
        peer.drop(schema)


def _timed(
    peer: Eventsourcing, environment: dict[str, str], seconds: float
) -> tuple[Timings, bool]:
    timings = Timings()
    end = time.perf_counter() + seconds
    with spent(timings, peer.server.cpu):
        runner = ProjectionRunner(
            application_class=Fines,
            projection_class=Balances,
            view_class=View,
            env=environment,
        )
        try:
            last = runner.app.recorder.max_notification_id() or 0
            while (reached := _reached(runner)) < last and time.perf_counter() < end:
                runner.run_forever(_LOOK)
        except BaseException:
            runner.stop()
            raise
    with runner:  # which ends it
        timings.events = reached
    return timings, reached == last


def _reached(runner: Any) -> int:
    return runner.view.max_tracking_id(runner.app_name) or 0
