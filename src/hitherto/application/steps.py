"""`Steps`: what a projection does with some events, and its checkpoints, in one transaction."""

import asyncio
import inspect
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Protocol

from hitherto.application.checkpoints import (
    Generation,
    ParkedEvent,
    Progress,
    Work,
    handler_failed,
)
from hitherto.application.membership import Held
from hitherto.application.projection import Batch, Projection, Recorded, batch_of
from hitherto.application.store import Store
from hitherto.errors import AggregateLocked, Unavailable


class Transactions(Protocol):
    """Runs a step of a projection in a transaction; a store's `checkpoints` do."""

    async def advance(self, progress: Progress, work: Work | None = None) -> None:
        """See `Checkpoints.advance`."""
        ...


class Steps:
    """The steps of one worker on one generation of a projection.

    Args:
        store: Where the checkpoints and documents are.
        projection: Handles the events.
        generation: Of the projection.
        transactions: Where a step is committed.
        lease: Seconds for which a step renews the leases.

    Attributes:
        handled: Events handled so far.
    """

    def __init__(
        self,
        store: Store,
        projection: Projection[Any],
        generation: Generation,
        transactions: Transactions,
        lease: float,
    ) -> None:
        self.handled: int = 0
        self._checkpoints = store.backend.checkpoints
        self._hooks = store.instrumentation
        self._projection = projection
        self._generation = generation
        self._transactions = transactions
        self._lease = lease

    async def begin(self, held: Mapping[int, Held]) -> None:
        """Count an attempt at what follows the checkpoints, where this worker has not yet."""
        new = {each: one for each, one in held.items() if not one.begun}
        if new:
            tokens = {each: one.token for each, one in new.items()}
            await self._checkpoints.begin(self._generation, tokens)
            for one in new.values():
                one.begun = True
                one.attempts += 1

    async def advance(
        self,
        events: Sequence[Recorded],
        held: Mapping[int, Held],
        position: int,
        *,
        parked: Sequence[ParkedEvent] = (),
        unparked: Sequence[int] = (),
        silent: bool = False,
        more: bool = False,
    ) -> None:
        """Handle `events` and move the checkpoints that are below `position`, all or nothing."""
        started = time.perf_counter()
        batch = batch_of(self._projection, self._generation, None, silent=silent)
        handled: dict[int, int] = {}
        for each in events:
            partition = self._generation.partition_of(each.aggregate_id)
            handled[partition] = handled.get(partition, 0) + 1
        progress = Progress(
            generation=self._generation,
            leases={each: one.token for each, one in held.items() if one.position <= position},
            after={each: one.position for each, one in held.items()},
            position=position,
            handled=handled,
            lease=self._lease,
            begun=more,
            parked=parked,
            unparked=unparked,
            documents=batch.documents,
        )
        with self._hooks.handling(self._projection.name, events) if events else nullcontext():
            work = await self._work(events, batch)
            await self._transactions.advance(progress, work)
        for one in held.values():
            if one.position <= position:
                one.position, one.begun, one.attempts = position, more, int(more)
        self.handled += len(events)
        self._hooks.projection_advanced(
            self._projection.name, len(events), time.perf_counter() - started
        )

    async def _work(self, events: Sequence[Recorded], batch: Batch[Any]) -> Work | None:
        """What is to be done in the transaction; what is to be done before it is done here."""
        projection = self._projection
        if not events or (projection.elsewhere and batch.silent):
            return None
        try:
            await projection.gather(events, batch, self._read_documents)
            if projection.elsewhere:
                await _guarded(projection.handle(events, batch))
                return None
        except (Unavailable, AggregateLocked):
            raise
        except Exception as error:
            raise handler_failed(repr(projection.name), error) from error

        def work(connection: Any) -> Any:
            batch.connection = connection
            result = projection.handle(events, batch)
            return _guarded(result) if inspect.isawaitable(result) else None

        return work

    async def _read_documents(
        self, collection: str, partition: int, keys: Sequence[str]
    ) -> Mapping[str, str]:
        return await self._checkpoints.read_documents(self._generation, collection, keys, partition)


async def _guarded(result: Any) -> None:
    """Await what a handler gave; that it was cancelled inside does not cancel the worker."""
    try:
        if inspect.isawaitable(result):
            await result
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError("something that the handler awaited was cancelled") from error
