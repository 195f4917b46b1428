"""Writers and readers that the acceptance tests interleave by hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg

from hitherto.application.records import Append, NewEvent
from hitherto.infrastructure.postgres import PostgresStore


def new_event(event_type: str = "Happened") -> NewEvent:
    """An event that says nothing."""
    return NewEvent(
        event_id=uuid4(),
        event_type=event_type,
        schema_version=1,
        data="{}",
        metadata=None,
        occurred_at=datetime.now(UTC),
    )


def an_append(aggregate_id: str, expected: int = 0, count: int = 1) -> Append:
    """An append of `count` events that say nothing."""
    return Append(
        aggregate_id=aggregate_id,
        aggregate_type="Thing",
        expected_version=expected,
        events=tuple(new_event() for _ in range(count)),
    )


@dataclass
class Writer:
    """A session that appends in transactions of its own, as another tool would."""

    session: Any
    schema: str

    async def append(self, aggregate_id: str, expected: int = 0, count: int = 1) -> None:
        """Append through the server's function, inside whatever transaction is open."""
        events = an_append(aggregate_id, expected, count).events
        rows = await self.session.fetch(
            f"SELECT * FROM {self.schema}.append_events"
            "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            [aggregate_id], ["Thing"], [expected],
            [1] * count, [event.event_id for event in events], ["Happened"] * count, [1] * count,
            [expected + number for number in range(1, count + 1)], ["{}"] * count, [None] * count,
            [event.occurred_at for event in events],
        )  # fmt: skip
        assert rows[0]["last_position"] is not None

    async def insert(self, aggregate_id: str, version: int = 1) -> None:
        """A plain INSERT, as a tool that knows nothing of the append function sends it."""
        await self.session.execute(
            f"""INSERT INTO {self.schema}.event_store (event_id, event_type, aggregate_id,
                aggregate_type, event_version, event_data, occurred_at)
                VALUES (gen_random_uuid(), 'Inserted', $1, 'Thing', $2, '{{}}', now())""",
            aggregate_id,
            version,
        )

    async def copy(self, *aggregate_ids: str) -> None:
        """A COPY of the first events of some aggregates."""
        await self.session.copy_records_to_table(
            "event_store",
            schema_name=self.schema,
            columns=[
                "event_id", "event_type", "aggregate_id", "aggregate_type", "event_version",
                "event_data", "occurred_at",
            ],
            records=[
                (uuid4(), "Copied", each, "Thing", 1, "{}", datetime.now(UTC))
                for each in aggregate_ids
            ],
        )  # fmt: skip

    async def __call__(self, sql: str) -> None:
        await self.session.execute(sql)


@asynccontextmanager
async def writers(url: str, schema: str, count: int, **options: Any) -> AsyncIterator[list[Writer]]:
    """Sessions to append with."""
    sessions = [await asyncpg.connect(url, **options) for _ in range(count)]
    try:
        yield [Writer(session, schema) for session in sessions]
    finally:
        for session in sessions:
            await session.close()


@dataclass
class Reader:
    """Hitherto's reader: goes on from the checkpoint of the last page."""

    store: PostgresStore
    checkpoint: int = 0
    seen: list[int] = field(default_factory=list)

    async def poll(self) -> list[int]:
        """The positions of what is new."""
        page = await self.store.read_all(after=self.checkpoint)
        self.checkpoint = page.checkpoint
        new = [event.position for event in page.events]
        self.seen += new
        return new


@dataclass
class PlainReader:
    """A control: `position > checkpoint`, as most projects have it."""

    session: Any
    schema: str
    checkpoint: int = 0
    seen: list[int] = field(default_factory=list)

    async def poll(self) -> list[int]:
        """The positions of what is new."""
        rows = await self.session.fetch(
            f"""SELECT global_position FROM {self.schema}.event_store
                WHERE global_position > $1 ORDER BY global_position""",
            self.checkpoint,
        )
        new = [row[0] for row in rows]
        self.checkpoint = max([self.checkpoint, *new])
        self.seen += new
        return new


@dataclass
class XminReader:
    """A control: in the order of transaction ids, up to the oldest one that is running."""

    session: Any
    schema: str
    checkpoint: tuple[int, int] = (0, 0)
    seen: list[int] = field(default_factory=list)

    async def poll(self) -> list[int]:
        """The positions of what is new."""
        rows = await self.session.fetch(
            f"""SELECT xmin::text::bigint, global_position FROM {self.schema}.event_store
                WHERE (xmin::text::bigint, global_position) > ($1, $2)
                  AND xmin::text::bigint
                      < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
                ORDER BY 1, 2""",
            *self.checkpoint,
        )
        if rows:
            self.checkpoint = (rows[-1][0], rows[-1][1])
        new = [row[1] for row in rows]
        self.seen += new
        return new


async def committed(session: Any, schema: str) -> list[int]:
    """Every position that is committed, in order."""
    rows = await session.fetch(
        f"SELECT global_position FROM {schema}.event_store ORDER BY global_position"
    )
    return [row[0] for row in rows]
