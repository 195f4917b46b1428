"""A table and its aggregates in step: changes of either side get to the other one."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from hitherto.application.adopting.capturing import Capture
from hitherto.application.adopting.mapped import Mapped
from hitherto.application.adopting.settling import settle
from hitherto.application.projection import Batch, Projection, Recorded
from hitherto.application.worker import ProjectionWorker
from hitherto.domain.event import Event
from hitherto.errors import AggregateLocked, ConfigurationError

_AT_ONCE = 200  # rows


class AdoptedTable(Projection[None], name="adopted-table", elsewhere=True):
    """Writes what aggregates say into the table that they were taken over from.

    It is run by a `ProjectionWorker`. The capture takes no notice of what it writes. A row of
    which a captured change waits is left to the `Capture`, so let one run.

    Args:
        mapped: The table and the aggregate.

    Attributes:
        written: Rows that this one has written.
    """

    def __init__(self, mapped: Mapped) -> None:
        mapped.need("row_of")
        self.written: int = 0
        definition = mapped.repository._definition
        self.name: str = mapped.scope
        self.events: tuple[type[Event], ...] | None = tuple(definition.events.values())
        self._mapped = mapped
        self._type = definition.aggregate_type

    async def handle(self, events: Sequence[Recorded], batch: Batch[None]) -> None:  # noqa: ARG002
        """Settle the rows of the aggregates that events are of."""
        ids = {each.aggregate_id for each in events if each.aggregate_type == self._type}
        keys = sorted(key for key in map(self._mapped.key_of, ids) if key is not None)
        for first in range(0, len(keys), _AT_ONCE):
            await self._settle(keys[first : first + _AT_ONCE])

    async def _settle(self, keys: Sequence[str]) -> None:
        try:
            self.written += await settle(self._mapped, keys)
        except AggregateLocked as locked:
            if len(keys) == 1:
                raise
            left: AggregateLocked | None = None
            for key in keys:  # One that is in use for long does not keep the others.
                try:
                    self.written += await settle(self._mapped, [key])
                except AggregateLocked as error:
                    left = error
            if left is not None:
                raise left from locked


class InStep:
    """Keeps a table and its aggregates in step, in both directions.

    Run it in each process that is to stand by, too.

    Args:
        mapped: The table, of which changes are captured, and the aggregate.

    Attributes:
        capture: From the table.
        back: Into the table.
    """

    def __init__(self, mapped: Mapped) -> None:
        mapped.need("baseline", "changed", "deleted", "row_of")
        self.capture: Capture = Capture(mapped)
        self.back: AdoptedTable = AdoptedTable(mapped)
        self._worker: ProjectionWorker[Any] = ProjectionWorker(mapped.store, self.back)
        self._table = mapped.table

    async def run(self) -> None:
        """Work until `stop` is called or the task is cancelled; outages are waited for.

        Raises:
            ConfigurationError: No changes are captured.
            EventStoreUnavailable: The store, or the table's database, refuses to serve.
        """
        await self.check()
        await self._table.retry()
        tasks = [asyncio.create_task(each.run()) for each in (self.capture, self._worker)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            self.stop()
            await asyncio.gather(*tasks)
        finally:
            for each in tasks:
                each.cancel()
            with suppress(Exception):  # It has been raised.
                await asyncio.gather(*tasks, return_exceptions=True)

    async def catch_up(self) -> None:
        """Work until all that was there has got to the other side.

        Raises:
            ConfigurationError: No changes are captured.
            AggregateLocked: Somebody holds a row for long.
            ProjectionBehind: The projection that writes the table is paused.
        """
        await self.check()
        await self._table.retry()
        await self.capture.catch_up()
        await self._worker.catch_up()

    def stop(self) -> None:
        """Let it end after what is at hand."""
        self.capture.stop()
        self._worker.stop()

    async def check(self) -> None:
        """See that it can work; `run` and `catch_up` do.

        Raises:
            ConfigurationError: No changes are captured.
        """
        if not await self._table.is_captured():
            raise ConfigurationError(
                f"changes of {self._table.name} are not captured: run `hitherto adopt` with "
                "--capture install first"
            )
