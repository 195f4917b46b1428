# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""`SqliteCheckpoints`: how far projections have come, in the file of the events."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import apsw

from hitherto.application.checkpoints import (
    Attendance,
    Change,
    Document,
    Generation,
    Lends,
    ParkedEvent,
    Progress,
    ProjectionStatus,
    Work,
)
from hitherto.infrastructure.sqlite import documents, generations, leases, reporting
from hitherto.infrastructure.sqlite.connections import Connections
from hitherto.infrastructure.sqlite.handlers import run


class SqliteCheckpoints:
    """Each method is a transaction of its own, the writer's for those that change something.

    Args:
        connections: To the file.
    """

    lends: Lends = "blocking"

    def __init__(self, connections: Connections) -> None:
        self._write = connections.write
        self._read = connections.read

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
        return await self._write(
            lambda connection: generations.prepare(
                connection,
                name,
                version=version,
                partitions=partitions,
                rebuild=rebuild,
                setup=setup,
                after=after,
            )
        )

    async def take_inline(self, name: str, *, version: int, setup: Change) -> bool:
        """See `Checkpoints.take_inline`."""
        return await self._write(
            lambda connection: generations.take_inline(connection, name, version, setup)
        )

    async def attend(
        self, generation: Generation, worker: str, *, lease: float, held: Mapping[int, int]
    ) -> Attendance:
        """See `Checkpoints.attend`."""
        return await self._write(
            lambda connection: leases.attend(
                connection, generation, worker, lease=lease, held=held
            ),
            durable=False,
        )

    async def begin(self, generation: Generation, held: Mapping[int, int]) -> None:
        """See `Checkpoints.begin`."""
        await self._write(
            lambda connection: leases.begin(connection, generation, held), durable=False
        )

    async def advance(self, progress: Progress, work: Work | None = None) -> None:
        """See `Checkpoints.advance`."""

        def step(connection: apsw.Connection) -> None:
            if work is not None:
                run(connection, repr(progress.generation.name), partial(work, connection))
            leases.advance(connection, progress)

        await self._write(step)

    async def release(
        self, generation: Generation, worker: str, held: Mapping[int, int], *, leave: bool
    ) -> None:
        """See `Checkpoints.release`."""
        await self._write(
            lambda connection: leases.release(connection, generation, worker, held, leave=leave)
        )

    async def switch(self, generation: Generation, *, side_effects: bool, finish: Change) -> bool:
        """See `Checkpoints.switch`."""
        return await self._write(
            lambda connection: generations.switch(
                connection, generation, side_effects=side_effects, finish=finish
            )
        )

    def has_table(self, connection: apsw.Connection, name: str) -> bool:
        """See `Checkpoints.has_table`."""
        return generations.has_table(connection, name)

    async def reset(self, name: str, *, setup: Change) -> bool:
        """See `Checkpoints.reset`."""
        return await self._write(lambda connection: generations.reset(connection, name, setup))

    async def pause(self, name: str, *, paused: bool) -> bool:
        """See `Checkpoints.pause`."""
        return await self._write(
            lambda connection: generations.pause(connection, name, paused=paused)
        )

    async def status(self, name: str | None = None) -> Sequence[ProjectionStatus]:
        """See `Checkpoints.status`."""
        return await self._read(lambda connection: reporting.status(connection, name))

    async def position(self, name: str) -> int | None:
        """See `Checkpoints.position`."""
        return await self._read(lambda connection: reporting.position(connection, name))

    async def parked(self, name: str, generation: int | None = None) -> Sequence[ParkedEvent]:
        """See `Checkpoints.parked`."""
        return await self._read(lambda connection: reporting.parked(connection, name, generation))

    async def retry_parked(self, name: str, aggregate_id: str | None, *, skip: bool) -> int:
        """See `Checkpoints.retry_parked`."""
        return await self._write(
            lambda connection: reporting.retry_parked(connection, name, aggregate_id, skip=skip)
        )

    async def read_documents(
        self, generation: Generation, collection: str, keys: Sequence[str], partition: int | None
    ) -> Mapping[str, str]:
        """See `Checkpoints.read_documents`."""
        return await self._read(
            lambda connection: documents.read_documents(
                connection, generation, collection, keys, partition
            )
        )

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
        return await self._read(
            lambda connection: documents.find_documents(
                connection,
                name,
                collection,
                key=key,
                equal=equal or {},
                order_by=order_by,
                descending=descending,
                limit=limit,
            )
        )
