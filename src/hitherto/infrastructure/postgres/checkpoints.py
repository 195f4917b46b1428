"""`PostgresCheckpoints`: how far projections have come, kept beside the log."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from hitherto.application.checkpoints import (
    Attendance,
    Change,
    Document,
    Generation,
    Lease,
    Lends,
    ParkedEvent,
    Progress,
    ProjectionStatus,
    Work,
    handler_failed,
)
from hitherto.errors import HithertoError
from hitherto.infrastructure.checkpoints import (
    generation_for,
    lease_lost,
    superseded,
)
from hitherto.infrastructure.postgres.connections import Connections, once_more
from hitherto.infrastructure.postgres.encoding import progress_json
from hitherto.infrastructure.postgres.errors import reading
from hitherto.infrastructure.postgres.lending import Lent, lent
from hitherto.infrastructure.postgres.schema import Schema

_PATIENCE = 30.0  # seconds that a change of a view's tables may leave its transaction idle


class _NotYet(HithertoError):
    """A new view may not take the old one's place now; all is rolled back."""


class PostgresCheckpoints:
    """Keeps checkpoints in the tables of a schema.

    Args:
        connections: To the database.
        schema: Which one.
    """

    lends: Lends = "async"

    def __init__(self, connections: Connections, schema: Schema) -> None:
        self._connections = connections
        self._sql = schema.queries("queries.sql") | schema.queries("checkpoints.sql")
        for direction in ("ASC", "DESC"):
            query = self._sql["find_documents"].replace("{direction}", direction)
            self._sql[f"find_documents_{direction}"] = query

    async def prepare(
        self,
        name: str,
        *,
        version: int,
        partitions: int,
        rebuild: bool,
        setup: Change,
        after: int = 0,
    ) -> Generation:
        """See `Checkpoints.prepare`."""

        async def prepared() -> Generation:
            async with self._changing(name) as borrowed:
                connection = borrowed.connection
                active, filling = await self._current(connection, name)
                found = generation_for(version, active, filling, rebuild=rebuild)
                if found is not None:
                    return found
                if filling is not None:
                    await self._retire(connection, filling)
                state, begin = ("active", after) if active is None else ("filling", 0)
                row = (name, version, state, partitions, begin)
                return await self._make(borrowed, row, setup, filling)

        return await once_more(prepared)

    async def take_inline(self, name: str, *, version: int, setup: Change) -> bool:
        """See `Checkpoints.take_inline`."""

        async def taken() -> bool:
            async with self._changing(name) as borrowed:
                connection = borrowed.connection
                active, _ = await self._current(connection, name)
                inline, appending = await connection.fetchrow(self._sql["inline"], name)
                # Only now, so that it sees what was in flight a moment ago.
                end = await connection.fetchval(self._sql["end_of_log"])
                if active is None:
                    if appending or end:
                        return False
                    row = (name, version, "active", 1, 0)
                    active = await self._make(borrowed, row, setup, None)
                if version < active.version:
                    raise superseded(version, active)
                if version > active.version:
                    return False
                if not inline:
                    reached, _ = await self._lock(connection, active)
                    if appending or reached < end or await self._has_parked(connection, active):
                        return False
                    await connection.execute(self._sql["take_inline"], *_key(active))
                return True

        return await once_more(taken)

    async def attend(
        self, generation: Generation, worker: str, *, lease: float, held: Mapping[int, int]
    ) -> Attendance:
        """See `Checkpoints.attend`."""
        rows = await self._read("attend", *_key(generation), worker, lease, *_arrays(held))
        if not rows:
            return Attendance(leases=(), share=0, state="retired", paused=False)
        state, paused, share, retry, *_ = rows[0]
        leases = [_lease(row) for row in rows if row["partition"] is not None]
        return Attendance(
            leases=tuple(leases), share=share, state=state, paused=paused, retry=retry
        )

    async def begin(self, generation: Generation, held: Mapping[int, int]) -> None:
        """See `Checkpoints.begin`."""
        ((begun, _),) = await self._fetch("begin", *_key(generation), *_arrays(held))
        if not begun:
            raise lease_lost(generation)

    async def advance(self, progress: Progress, work: Work | None = None) -> None:
        """See `Checkpoints.advance`."""
        if work is None:
            await self._fetch("advance", progress_json(progress))
            return
        who = repr(progress.generation.name)
        with reading(self._connections.where):
            async with lent(self._connections, who, patience=progress.lease) as borrowed:
                await borrowed.run(work)
                try:
                    moved = progress_json(progress)
                except UnicodeEncodeError as error:
                    raise handler_failed(who, error) from error
                await borrowed.connection.execute(self._sql["advance"], moved)

    async def release(
        self, generation: Generation, worker: str, held: Mapping[int, int], *, leave: bool
    ) -> None:
        """See `Checkpoints.release`."""
        await self._read("release", *_key(generation), worker, *_arrays(held), leave)

    async def switch(self, generation: Generation, *, side_effects: bool, finish: Change) -> bool:
        """See `Checkpoints.switch`."""
        name, number = _key(generation)
        try:
            async with self._changing(name) as borrowed:
                connection = borrowed.connection
                old, new = await self._current(connection, name)
                if new is None or old is None or new.number != number:
                    return False
                await self._see_fits(connection, new, old, side_effects, "extent")
                # The tables first, as for a worker of either; the checkpoints may have moved until
                # they are locked.
                await borrowed.run(lambda lent_to: finish(lent_to, new, old))
                reached = await self._see_fits(
                    connection, new, old, side_effects, "lock_checkpoints"
                )
                if side_effects:
                    same = old.number if old.partitions == new.partitions else None
                    await connection.execute(
                        self._sql["leave_effects"], name, number, same, reached
                    )
                await self._retire(connection, old)
                await connection.execute(self._sql["activate_generation"], name, number, old.number)
        except _NotYet:
            return False
        return True

    async def _see_fits(
        self, connection: Any, new: Generation, old: Generation, side_effects: bool, query: str
    ) -> int:
        """How far the old one has come, if the new one may take its place."""
        lowest, highest = await connection.fetchrow(self._sql[query], *_key(new))
        await connection.fetchrow(self._sql[query], *_key(old))
        reached: int = await connection.fetchval(self._sql["checkpoint"], new.name)
        if highest > reached if side_effects else lowest < reached:
            raise _NotYet
        inline, _ = await connection.fetchrow(self._sql["inline"], new.name)
        if inline and await self._has_parked(connection, new):
            raise _NotYet
        return reached

    async def has_table(self, connection: Any, name: str) -> bool:
        """See `Checkpoints.has_table`."""
        return await connection.fetchval(self._sql["has_table"], name) is True

    async def reset(self, name: str, *, setup: Change) -> bool:
        """See `Checkpoints.reset`."""
        async with self._changing(name) as borrowed:
            active, _ = await self._current(borrowed.connection, name)
            if active is None:
                return False
            # As a worker locks them: the tables first, for which it may have to wait a while.
            await borrowed.connection.execute(self._sql["wait_patiently"])
            await borrowed.run(lambda lent_to: setup(lent_to, active, active))
            await self._lock(borrowed.connection, active)
            await borrowed.connection.execute(self._sql["reset_generation"], *_key(active))
            return True

    async def pause(self, name: str, *, paused: bool) -> bool:
        """See `Checkpoints.pause`."""
        ((known,),) = await self._read("pause", name, paused)
        return bool(known)

    async def status(self, name: str | None = None) -> Sequence[ProjectionStatus]:
        """See `Checkpoints.status`."""
        ((watermark, _),) = await self._read("watermark")
        return [_status(row) for row in await self._read("status", name, watermark)]

    async def position(self, name: str) -> int | None:
        """See `Checkpoints.position`."""
        rows = await self._read("checkpoint", name)
        return int(rows[0][0]) if rows else None

    async def parked(self, name: str, generation: int | None = None) -> Sequence[ParkedEvent]:
        """See `Checkpoints.parked`."""
        fields = ParkedEvent.__struct_fields__
        return [
            ParkedEvent(**dict(zip(fields, row, strict=True)))
            for row in await self._read("parked", name, generation)
        ]

    async def retry_parked(self, name: str, aggregate_id: str | None, *, skip: bool) -> int:
        """See `Checkpoints.retry_parked`."""
        ((count,),) = await self._fetch("retry_parked", name, aggregate_id, skip)
        return int(count)

    async def read_documents(
        self, generation: Generation, collection: str, keys: Sequence[str], partition: int | None
    ) -> Mapping[str, str]:
        """See `Checkpoints.read_documents`."""
        rows = await self._read("read_documents", *_key(generation), collection, keys, partition)
        return {key: document for key, document in rows}  # noqa: C416  # rows are no pairs

    async def find_documents(
        self,
        name: str,
        collection: str,
        *,
        key: str | None = None,
        equal: Mapping[str, Any] | None = None,
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
    ) -> Sequence[Document]:
        """See `Checkpoints.find_documents`."""
        query = "find_documents_DESC" if descending else "find_documents_ASC"
        fields = msgspec.json.encode(dict(equal or {})).decode()
        if key is not None and not equal and limit is None:  # by far the most frequent
            rows = await self._read("documents_of_key", name, collection, key)
        else:
            rows = await self._read(query, name, collection, key, fields, order_by, limit)
        return [
            Document(collection=collection, key=key, partition=partition, data=data)
            for key, partition, data in rows
        ]

    @asynccontextmanager
    async def _changing(self, name: str) -> AsyncGenerator[Lent]:
        """A transaction in which one changes which generation is which, one at a time."""
        with reading(self._connections.where):
            async with lent(self._connections, repr(name), patience=_PATIENCE) as borrowed:
                await borrowed.connection.fetch(self._sql["lock_projection"], name)
                yield borrowed

    async def _current(
        self, connection: Any, name: str
    ) -> tuple[Generation | None, Generation | None]:
        """The active generation, and the one that is being filled."""
        rows = await connection.fetch(self._sql["current_generations"], name)
        found = {row["state"]: _generation(row) for row in rows}
        return found.get("active"), found.get("filling")

    async def _make(
        self,
        borrowed: Lent,
        row: tuple[str, int, str, int, int],
        setup: Change,
        old: Generation | None,
    ) -> Generation:
        """One with this name, version, state, number of partitions, and what it begins after."""
        query = self._sql["make_generation"]
        made = _generation(await borrowed.connection.fetchrow(query, *row))
        await borrowed.run(lambda lent_to: setup(lent_to, made, old))
        return made

    async def _has_parked(self, connection: Any, generation: Generation) -> bool:
        return bool(await connection.fetch(self._sql["parked"], *_key(generation)))

    async def _lock(self, connection: Any, generation: Generation) -> tuple[int, int]:
        """Let nobody move its checkpoints; the lowest and the highest."""
        low, high = await connection.fetchrow(self._sql["lock_checkpoints"], *_key(generation))
        return low, high

    async def _retire(self, connection: Any, generation: Generation) -> None:
        await self._lock(connection, generation)
        await connection.execute(self._sql["retire_generation"], *_key(generation))

    async def _read(self, query: str, *arguments: Any) -> list[Any]:
        """`_fetch`, for a statement that may be sent twice."""
        return await once_more(lambda: self._fetch(query, *arguments))

    async def _fetch(self, query: str, *arguments: Any) -> list[Any]:
        with reading(self._connections.where):
            async with self._connections.session() as connection:
                rows: list[Any] = await connection.fetch(self._sql[query], *arguments)
        return rows


def _key(generation: Generation) -> tuple[str, int]:
    return generation.name, generation.number


def _arrays(held: Mapping[int, int]) -> tuple[list[int], list[int]]:
    """Partitions, and the token of each."""
    return list(held), list(held.values())


def _generation(row: Any) -> Generation:
    name, number, version, state, partitions = row
    return Generation(name=name, number=number, version=version, state=state, partitions=partitions)


def _lease(row: Any) -> Lease:
    return Lease(**{field: row[field] for field in Lease.__struct_fields__})


def _status(row: Any) -> ProjectionStatus:
    values = dict(zip(ProjectionStatus.__struct_fields__, row, strict=True))
    return ProjectionStatus(**{**values, "owners": msgspec.json.decode(values["owners"])})
