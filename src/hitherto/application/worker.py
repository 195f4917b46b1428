"""`ProjectionWorker`: keeps a projection up to date, alone or together with others."""

import asyncio
import logging
import os
import socket
from contextlib import suppress
from typing import Generic, TypeVar
from uuid import uuid4

from hitherto.application.checkpoints import Generation
from hitherto.application.ending import ending_is_told
from hitherto.application.fitting import check_fits
from hitherto.application.handling import Handling
from hitherto.application.logging import log_event
from hitherto.application.membership import Membership, lowest
from hitherto.application.outages import outlived
from hitherto.application.projection import SPREAD, Projection
from hitherto.application.rebuild import drop_and_set_up, put_in_place
from hitherto.application.selection import Selection
from hitherto.application.steps import Transactions
from hitherto.application.store import Store
from hitherto.application.subscription import PAGE, Subscription
from hitherto.errors import (
    AggregateLocked,
    InvalidInput,
    LeaseLost,
    ProjectionBehind,
    Unavailable,
)

C = TypeVar("C")

LEASE = 6.0  # seconds
ATTEMPTS = 5
_PAUSE = 0.05  # seconds until a partition that was lost, or a switch, is tried again
_SAVE_AFTER = 0.1  # seconds, where nothing concerns the projection


class ProjectionWorker(Generic[C]):
    """Gives a projection the events that it asks for, and keeps its checkpoint.

    Run one in each process that is to share the work, or to stand by. Without `spread` one of them
    works, and another takes over within seconds when it ends; with it the log is divided by
    aggregate id among all of them. Events of one aggregate are always handled in order.

    An event whose handler raises is tried again with pauses, and is then set aside together with
    the later events of its aggregate, so that the others go on.

    Where the projection's code has a higher version than its view, a new view is filled beside the
    old one, and takes its place when it has caught up.

    Args:
        store: An open store.
        projection: What is to be done.
        spread: Whether to divide the log into 64 partitions. It is decided when a view is begun.
        batch: The most events that share a transaction.
        lease: Seconds after which others take over from a worker that does not answer. A handler
            may not leave its transaction idle for longer.
        attempts: How often an event is tried until it is set aside.
        transactions: Where the effects are committed; left out: in the store's own transaction.
        rebuild: Fill a new view though the one that is there has this version.
        after: Of the first view of all: begin behind this position, such as `store.watermark()`.

    Attributes:
        name: The worker's own, unique among all processes.

    Raises:
        InvalidInput: A setting that makes no sense, a class that is no event's, or a projection
            that cannot write to this store.
    """

    def __init__(
        self,
        store: Store,
        projection: Projection[C],
        *,
        spread: bool = False,
        batch: int = PAGE,
        lease: float = LEASE,
        attempts: int = ATTEMPTS,
        transactions: Transactions | None = None,
        rebuild: bool = False,
        after: int = 0,
    ) -> None:
        if batch < 1 or attempts < 1 or lease <= 0 or after < 0:
            raise InvalidInput(
                f"batch={batch}, attempts={attempts}, lease={lease}, after={after}: give at least "
                "1 and 1, seconds above 0, and a position that the store has told"
            )
        if isinstance(projection, type):
            raise InvalidInput(f"{projection!r} is a class: give an instance of it")
        projection.check()
        check_fits(projection, store.backend.checkpoints.lends, setup_only=transactions is not None)
        self.name: str = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._store = store
        self._projection = projection
        self._selection = Selection(store, projection.events)
        self._checkpoints = store.backend.checkpoints
        self._transactions = transactions or self._checkpoints
        self._partitions = SPREAD if spread else 1
        self._batch = batch
        self._lease = lease
        self._attempts = attempts
        self._rebuild = rebuild
        self._after = after
        self._stopped = asyncio.Event()
        self._until: int | None = None
        self._members: Membership | None = None
        self._subscription: Subscription | None = None
        self._handling: Handling | None = None

    @property
    def handled(self) -> int:
        """Events that it has handled since it began with the present view."""
        return self._handling.handled if self._handling is not None else 0

    @property
    def position(self) -> int:
        """Up to where it has read the log."""
        return self._handling.reached if self._handling is not None else 0

    async def run(self) -> None:
        """Work until `stop` is called or the task is cancelled; outages are waited for.

        What ends it is logged before it is raised, and `Store.health_check` tells of it.

        Raises:
            ProjectionSuperseded: A higher version of the projection is at work.
            CheckpointInvalid: The log is not the one that the checkpoint was taken of.
            EventSerializationFailed: An event is of a type that the code does not know.
        """
        with ending_is_told(self._store, self._projection.name):
            await self._run(None)

    async def catch_up(self) -> None:
        """Work until all that is stored now has been handled, and a new view is in place.

        Where several workers share the log, this one does its own part.

        Raises:
            ProjectionBehind: The projection is paused.
            ProjectionSuperseded: See `run`, as for the others.
            CheckpointInvalid: See `run`.
            EventSerializationFailed: See `run`.
        """
        await self._run(await self._store.watermark())

    def stop(self) -> None:
        """Let `run` return, after the batch at hand, or at once where it has not begun."""
        self._stopped.set()
        if self._members is not None:
            self._members.rouse()

    async def _run(self, until: int | None) -> None:
        self._until = until
        try:
            while not self._stopped.is_set():
                generation = await outlived(self._prepare, self._stopped, self._waits)
                if generation is None:
                    return
                version = generation.version
                self._log(logging.INFO, "projection_started", generation, version=version)
                await self._work_on(generation)
        finally:
            self._stopped.clear()

    async def _prepare(self) -> Generation:
        return await self._checkpoints.prepare(
            self._projection.name,
            version=self._projection.version,
            partitions=self._partitions,
            rebuild=self._rebuild,
            setup=drop_and_set_up(self._projection, self._checkpoints),
            after=self._after and min(self._after, await self._store.watermark()),
        )

    async def _work_on(self, generation: Generation) -> None:
        """Work on one view until it is switched or retired, or there is nothing more to do."""
        members = self._members = Membership(
            self._checkpoints,
            generation,
            worker=self.name,
            lease=self._lease,
            changed=self._wake,
            instrumentation=self._store.instrumentation,
            logger=self._store.logger,
        )
        handling = self._handling = Handling(
            self._store,
            self._projection,
            generation,
            members,
            selection=self._selection,
            transactions=self._transactions,
            attempts=self._attempts,
            lease=self._lease,
        )
        attending = asyncio.create_task(members.keep())
        try:
            while not self._stopped.is_set() and not members.over:
                await outlived(
                    lambda: self._read(generation, members, handling), self._stopped, self._waits
                )
            if members.over or generation.state == "active":
                self._rebuild = False
        finally:
            attending.cancel()
            await asyncio.gather(attending, return_exceptions=True)
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(self._lease):  # Then it is over anyway.
                    await members.leave()

    async def _read(self, generation: Generation, members: Membership, handling: Handling) -> None:
        """Read on from the lowest checkpoint, until other partitions are held than now."""
        await members.attend()  # Whatever went before: this tells what was committed.
        members.forget_news()
        await members.settle()
        if members.over or self._stopped.is_set():
            return
        if not members.held:
            await self._stand_by(generation, members)
            return
        try:
            await self._read_on(generation, members, handling)
        except LeaseLost:
            self._log(logging.INFO, "projection_lease_lost", generation)
            await asyncio.sleep(_PAUSE)

    async def _stand_by(self, generation: Generation, members: Membership) -> None:
        """Wait for a partition, or until others have done what was to be done."""
        if self._until is None:
            await members.news()
            return
        if members.paused:
            raise ProjectionBehind(
                f"{generation.name!r} is paused: let it go on with `hitherto projections resume`"
            )
        await members.news(_SAVE_AFTER)
        position = await self._checkpoints.position(generation.name)
        if generation.state == "active" and (position or 0) >= self._until:
            self._stopped.set()

    async def _read_on(
        self, generation: Generation, members: Membership, handling: Handling
    ) -> None:
        start = await handling.start()
        limit = await self._limit(generation)
        async with Subscription(self._store, self._selection, start) as self._subscription:
            if members.has_news or self._stopped.is_set():
                return
            await self._follow(self._subscription, generation, members, handling, limit)

    async def _follow(
        self,
        subscription: Subscription,
        generation: Generation,
        members: Membership,
        handling: Handling,
        limit: int | None,
    ) -> None:
        """Handle page after page; where nothing new comes, an empty one is asked for when due."""
        loop = asyncio.get_running_loop()
        wanted = generation.state == "filling" or self._until is not None
        save_at, nudge = 0.0, loop.call_soon(subscription.nudge)
        try:
            async for page in subscription.pages(self._batch):
                nudge.cancel()
                part = page.up_to(limit)
                await handling.handle(part)
                if part.full:
                    continue
                if handling.is_behind and (wanted or 0 < save_at <= loop.time()):
                    await handling.save()
                if wanted and await self._is_done(generation, members, limit):
                    return
                if handling.is_behind:
                    save_at = save_at or loop.time() + _SAVE_AFTER
                    pause: float | None = save_at - loop.time()
                else:
                    save_at = 0.0
                    pause = _SAVE_AFTER if wanted else await self._rest()
                if pause is not None:
                    nudge = loop.call_later(pause, subscription.nudge)
        finally:
            nudge.cancel()

    async def _rest(self) -> float | None:
        """Seconds until the projection wants to be called again; None: when events come."""
        try:
            return await self._projection.caught_up()
        except (Unavailable, AggregateLocked):
            raise
        except Exception as error:  # noqa: BLE001  # it is the projection's own
            told = f"{type(error).__name__}: {error}"
            self._log(logging.WARNING, "projection_failed", error=told)
            return 1.0

    async def _limit(self, generation: Generation) -> int | None:
        """How far a new view may go, so that each side effect is left to one of the two."""
        if generation.state == "filling" and self._projection.side_effects:
            return await self._checkpoints.position(generation.name)
        return None

    async def _is_done(
        self, generation: Generation, members: Membership, limit: int | None
    ) -> bool:
        """Whether to stop reading: the end is reached, of what there is or of what is allowed."""
        position = lowest(members.held) if members.held else 0
        if generation.state == "filling":
            if limit is not None and position < limit:
                return False
            if limit is not None and await self._checkpoints.parked(generation.name):
                self._log(logging.WARNING, "projection_switch_waits_for_parked", generation)
                await asyncio.sleep(1)
                return True
            switched = await self._checkpoints.switch(
                generation,
                side_effects=self._projection.side_effects,
                finish=put_in_place(self._projection),
            )
            if switched:
                members.over = True
                self._log(logging.INFO, "projection_switched", generation, position=position)
                return True
            await asyncio.sleep(_PAUSE)
            return limit is not None
        if self._until is not None and position >= self._until:
            while await self._rest() == 0:
                pass
            self._stopped.set()
        return self._stopped.is_set()

    def _waits(self, error: Exception) -> None:
        self._log(logging.WARNING, "projection_waits", error=str(error))

    def _wake(self) -> None:
        if self._subscription is not None:
            self._subscription.stop()

    def _log(
        self, level: int, event: str, generation: Generation | None = None, **values: object
    ) -> None:
        if generation is not None:
            values = {"generation": generation.number, **values}
        name = self._projection.name
        log_event(self._store.logger, level, event, projection=name, **values)
