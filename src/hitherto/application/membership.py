"""`Membership`: which partitions of a projection a worker holds, among all that live."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from hitherto.application.checkpoints import Attendance, Generation, Lease
from hitherto.application.instrumentation import Instrumentation
from hitherto.application.logging import log_event
from hitherto.application.ports import Checkpoints
from hitherto.errors import CheckpointInvalid, ProjectionError

_TICKS = 3  # in the time of a lease


@dataclass(slots=True)
class Held:
    """A partition that the worker holds, and how far it has come there.

    Attributes:
        token: Of the lease.
        position: The checkpoint.
        attempts: How often handling of what follows was begun and did not end.
        begun: Whether this worker has begun it, too.
        silent_until: Up to this position an earlier generation has done the side effects.
    """

    token: int
    position: int
    attempts: int
    silent_until: int
    begun: bool = False


class Membership:
    """Keeps a worker's leases alive, takes free partitions, and gives up what is beyond its share.

    Args:
        checkpoints: Where the leases are.
        generation: What is worked on.
        worker: The worker's name.
        lease: Seconds until others may take over.
        changed: Called when the worker has to look: it holds other partitions than before.
        instrumentation: Is told now and then how far the projection is behind.
        logger: Is told of what is taken and lost.

    Attributes:
        held: The partitions that are held.
        over: Whether the generation is not what it was: it has been switched, or is retired.
        retry: Whether events that were set aside are to be tried again.
        paused: Whether nobody is to work on it.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        generation: Generation,
        *,
        worker: str,
        lease: float,
        changed: Callable[[], None],
        instrumentation: Instrumentation,
        logger: logging.Logger,
    ) -> None:
        self.held: dict[int, Held] = {}
        self.over: bool = False
        self.retry: bool = False
        self.paused: bool = False
        self._checkpoints = checkpoints
        self._generation = generation
        self._worker = worker
        self._lease = lease
        self._changed = changed
        self._hooks = instrumentation
        self._logger = logger
        self._lock = asyncio.Lock()
        self._surplus = 0
        self._error: ProjectionError | None = None
        self._news = asyncio.Event()

    def tokens(self, partitions: Iterable[int] | None = None) -> dict[int, int]:
        """The token of each partition that is held, or of some of them."""
        chosen = self.held if partitions is None else partitions
        return {each: self.held[each].token for each in chosen}

    async def keep(self) -> None:
        """Attend again and again, until it is cancelled; an outage is waited for."""
        while self._error is None and not self.over:
            await asyncio.sleep(self._lease / _TICKS)
            try:
                await self.attend()
                await self._observe()
            except Exception as error:  # noqa: BLE001  # it must go on, or the leases end
                self._log(logging.WARNING, "projection_attendance_failed", error=str(error))

    async def attend(self) -> None:
        """Say that the worker lives, and learn what it holds."""
        async with self._lock:
            await self._attend()

    async def _attend(self) -> None:
        tokens = self.tokens()
        before = {each: one.position for each, one in self.held.items()}
        found = await self._checkpoints.attend(
            self._generation, self._worker, lease=self._lease, held=tokens
        )
        leases = {lease.partition: lease for lease in found.leases}
        lost = [
            each
            for each, token in tokens.items()
            if each not in leases or leases[each].token != token
        ]
        for each in lost:
            self.held.pop(each, None)
        for each, one in self.held.items():
            lease = leases.get(each)
            if lease is not None:
                self._check(lease, before.get(each, 0))
                # Of a step whose answer was lost, this is the answer.
                one.position = max(one.position, lease.position)
        taken = [each for each in leases if each not in self.held]
        for each in taken:
            self._take(leases[each])
        if found.paused and not self.paused:
            self._log(logging.INFO, "projection_paused")
        self.paused = found.paused
        self._surplus = len(self.held) if found.paused else max(len(self.held) - found.share, 0)
        self.over = found.state != self._generation.state
        if lost or taken:
            self._log(logging.INFO, "projection_partitions_changed", lost=lost, taken=taken)
        self._tell(found, moved=bool(lost or taken))

    @property
    def has_news(self) -> bool:
        """Whether something has changed since `forget_news`."""
        return self._news.is_set()

    def rouse(self) -> None:
        """Have the worker look, whatever it is doing."""
        self._news.set()
        self._changed()

    async def news(self, seconds: float | None = None) -> None:
        """Wait until something has changed, so long at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    def forget_news(self) -> None:
        """What has changed so far is known."""
        self._news.clear()

    async def settle(self) -> None:
        """Between two batches: give up what is beyond the share.

        Raises:
            CheckpointInvalid: The log is not the one that a checkpoint was taken of.
        """
        if self._error is not None:
            raise self._error
        if self._surplus:
            spare = sorted(self.held)[-self._surplus :]  # others take the lowest first
            self._surplus = 0
            await self._release(spare, leave=False)

    async def leave(self) -> None:
        """Give up everything, so that others need not wait for the leases to end."""
        self._surplus = 0
        await self._release(list(self.held), leave=True)

    async def _release(self, partitions: list[int], *, leave: bool) -> None:
        async with self._lock:
            tokens = self.tokens([each for each in partitions if each in self.held])
            for each in tokens:
                del self.held[each]
            await self._checkpoints.release(self._generation, self._worker, tokens, leave=leave)

    async def _observe(self) -> None:
        """Tell how far the view that is read is behind."""
        if self.held:
            for found in await self._checkpoints.status(self._generation.name):
                if found.state == "active":
                    self._hooks.projection_lag(found.name, found.lag_events, found.lag_seconds)

    def _check(self, lease: Lease, before: int) -> None:
        """See that the log is the one that the checkpoint was taken of."""
        if not lease.intact or lease.position < before:
            self._error = CheckpointInvalid(
                f"the checkpoint of {self._generation.name!r} is at position {lease.position}, but "
                "the log, or the checkpoint, is not what it was: an older copy was restored; "
                "rebuild the projection"
            )

    def _take(self, lease: Lease) -> None:
        self._check(lease, 0)
        self.held[lease.partition] = Held(
            token=lease.token,
            position=lease.position,
            attempts=lease.attempts,
            silent_until=lease.silent_until,
        )

    def _tell(self, found: Attendance, *, moved: bool) -> None:
        retry = found.retry and bool(self.held)
        if moved or self.over or self._surplus or self._error is not None or retry:
            self.retry = retry
            self.rouse()

    def _log(self, level: int, event: str, **values: object) -> None:
        name, number = self._generation.name, self._generation.number
        log_event(self._logger, level, event, projection=name, generation=number, **values)


def lowest(held: Mapping[int, Held]) -> int:
    """The position from which the log is to be read."""
    return min(each.position for each in held.values())
