"""Group commit: appends that arrive while others are being written share the next transaction.

An append that finds a lane free is written at once, by its caller. The others wait in a queue,
from which a lane takes a batch as soon as it is done with the one before: no timer is involved,
and the busier the store, the larger its batches.
"""

import asyncio
import copy
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from hitherto.application.instrumentation import Instrumentation
from hitherto.application.records import Append, refusal
from hitherto.errors import AggregateLocked, EventStoreUnavailable, HithertoError

T = TypeVar("T")

MAX_EVENTS = 5_000
MAX_SIZE = 4 * 1024 * 1024  # characters of payload

_ATTEMPTS = 5

Outcome = int | HithertoError | None
"""Of one append in a batch: its last position, or why it lost; None: it must be written alone."""


async def patiently(write: Callable[[], Awaitable[T]]) -> T:
    """Call `write`, some times if need be, until no other transaction holds the aggregate.

    Raises:
        AggregateLocked: One still does.
    """
    for _ in range(_ATTEMPTS - 1):
        with suppress(AggregateLocked):
            return await write()
    return await write()


class _Writing:
    """A write under way, and for how many callers; it may hang, so it ends when all give up."""

    __slots__ = ("_callers", "_work")

    def __init__(self, work: "asyncio.Future[Any]", callers: int) -> None:
        self._work = work
        self._callers = callers

    def give_up(self) -> None:
        """One of the callers does not wait any more."""
        self._callers -= 1
        if not self._callers:
            self._work.cancel()


class _Entry:
    """An append in the queue, the answer that its caller waits for, and who writes it."""

    __slots__ = ("answer", "append", "writing")

    def __init__(self, append: Append) -> None:
        self.append = append
        self.answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.writing: _Writing | None = None

    def settle(self, outcome: int | BaseException) -> None:
        """Answer, unless the caller has given up."""
        if self.answer.done():
            return
        if isinstance(outcome, BaseException):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


class GroupCommit:
    """Coalesces concurrent appends; each still wins, loses or fails for itself.

    An aggregate is under way once at a time, and a batch is sorted by aggregate id, so batches
    do not deadlock. What a batch cannot settle, because one of its appends is at fault or has to
    wait for somebody else's transaction, is written one by one, outside the lanes.

    Args:
        write_batch: Writes appends to different aggregates in one transaction, in which each
            wins or loses for itself.
        write_alone: Writes one append; raises AggregateLocked rather than wait for long.
        lanes: How many transactions may be under way at once.
        max_appends: The most appends in a batch; a hundred times as many may be under way or in
            the queue, and whoever comes then waits for room.
        instrumentation: Is told of batches.
    """

    def __init__(
        self,
        write_batch: Callable[[Sequence[Append]], Awaitable[Sequence[Outcome]]],
        write_alone: Callable[[Append], Awaitable[int]],
        *,
        lanes: int,
        max_appends: int,
        instrumentation: Instrumentation | None = None,
    ) -> None:
        self._hooks = instrumentation or Instrumentation()
        self._write_batch = write_batch
        self._write_alone = write_alone
        self._max_appends = max_appends
        self._free_lanes = lanes
        self._room = asyncio.Semaphore(100 * max_appends)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: deque[_Entry] = deque()
        self._under_way: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._drained: asyncio.Future[None] | None = None
        self._closing = False

    @property
    def queue_depth(self) -> int:
        """How many appends wait for the next transaction."""
        return len(self._queue)

    def open(self) -> None:
        """Coalesce appends from now on."""
        self._closing = False

    async def close(self) -> None:
        """Wait until every append that was taken is settled; later ones are not coalesced."""
        self._closing = True
        while self._under_way or self._queue:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)

    async def append(self, append: Append) -> int:
        """Write `append`; returns the position of its last event, or raises why it lost."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # A semaphore belongs to the loop under which somebody waited.
            self._loop, self._room = loop, asyncio.Semaphore(100 * self._max_appends)
        async with self._room:
            if self._closing:
                return await patiently(lambda: self._write_alone(append))
            if self._free_lanes and append.aggregate_id not in self._under_way:
                return await self._write_at_once(append)
            entry = _Entry(append)
            self._queue.append(entry)
            try:
                return await entry.answer
            except asyncio.CancelledError:
                if entry.writing is not None:
                    entry.writing.give_up()
                raise

    async def _write_at_once(self, append: Append) -> int:
        self._under_way.add(append.aggregate_id)
        try:
            self._free_lanes -= 1
            try:
                position = await self._write_alone(append)
                self._written([append])
            except AggregateLocked:
                position = None
            finally:
                self._free_lanes += 1
            if position is None:  # To wait for somebody else's transaction must not cost a lane.
                self._start_lanes()
                position = await self._write_patiently(append)
        finally:
            self._release([append])
        return position

    async def _write_patiently(self, append: Append) -> int:
        """Write one append outside the lanes, however long the aggregate is held."""
        try:
            position = await patiently(lambda: self._write_alone(append))
        except AggregateLocked as error:
            for entry in self._queue:  # They would only find the same, one after the other.
                if entry.append.aggregate_id == append.aggregate_id:
                    entry.settle(_copy(error))
            raise
        self._written([append])
        return position

    async def _write_entry(self, entry: _Entry) -> None:
        """Write one append of a batch that could not settle it."""
        try:
            entry.settle(await self._write_patiently(entry.append))
        except Exception as error:  # noqa: BLE001  # it is its caller's
            entry.settle(error)
        finally:
            self._release([entry.append])

    async def _run_lane(self, batch: Sequence[_Entry]) -> None:
        try:
            while batch:
                await self._write_entries(batch)
                # Let those who were answered come back with their next append.
                await asyncio.sleep(0)
                batch = self._next_batch()
        finally:
            self._free_lanes += 1
            self._release([])

    async def _write_entries(self, batch: Sequence[_Entry]) -> None:
        gone = [entry.append for entry in batch if entry.answer.done()]
        batch = [entry for entry in batch if not entry.answer.done()]
        if gone:
            self._release(gone)
        if not batch:
            return
        appends = [entry.append for entry in batch]
        work = asyncio.ensure_future(self._write_batch(appends))
        writing = _Writing(work, len(batch))
        for entry in batch:
            entry.writing = writing
        try:
            await asyncio.wait([work])
        except BaseException:  # The loop is being ended, and with it those who wait.
            work.cancel()
            for entry in batch:
                entry.answer.cancel()
            self._release(appends)
            raise
        won, settled = list[Append](), list[Append]()
        for entry, outcome in zip(batch, _outcomes(work, len(batch)), strict=True):
            if outcome is None and not entry.answer.done():
                self._start(entry)
                continue
            if outcome is not None:
                entry.settle(outcome)
            settled.append(entry.append)
            if isinstance(outcome, int):
                won.append(entry.append)
        self._written(won)
        self._release(settled)

    def _next_batch(self) -> list[_Entry]:
        """Entries from the front of the queue, of aggregates that are not under way."""
        batch: list[_Entry] = []
        later: list[_Entry] = []
        events = size = 0
        while self._queue and len(batch) < self._max_appends:
            entry = self._queue.popleft()
            append = entry.append
            if entry.answer.done():
                continue
            if append.aggregate_id in self._under_way:
                later.append(entry)
                continue
            events += len(append.events)
            size += sum([len(event.data) for event in append.events])
            if batch and (events > MAX_EVENTS or size > MAX_SIZE):
                later.append(entry)
                break
            self._under_way.add(append.aggregate_id)
            batch.append(entry)
        self._queue.extendleft(reversed(later))
        batch.sort(key=lambda entry: entry.append.aggregate_id)
        return batch

    def _written(self, won: Sequence[Append]) -> None:
        """A transaction has written these, and perhaps refused others."""
        if won:
            self._hooks.batch_written(len(won), sum([len(append.events) for append in won]))
        self._refuse_rivals(won)

    def _refuse_rivals(self, won: Sequence[Append]) -> None:
        """Tell who waits to write a version that was just written that it has lost."""
        if not self._queue:
            return
        winners = {append.aggregate_id: append for append in won}
        for entry in self._queue:
            append, winner = entry.append, winners.get(entry.append.aggregate_id)
            if (
                winner is not None
                and append.expected_version == winner.expected_version
                and append.events[0].event_id != winner.events[0].event_id
            ):
                actual = winner.expected_version + len(winner.events)
                entry.settle(refusal(append, actual, winner.aggregate_type))

    def _release(self, appends: Sequence[Append]) -> None:
        """Let the aggregates go, and what waited for them."""
        self._under_way.difference_update([append.aggregate_id for append in appends])
        self._start_lanes()
        if self._drained is not None and not self._under_way and not self._queue:
            self._drained.set_result(None)
            self._drained = None

    def _start_lanes(self) -> None:
        while self._free_lanes and (batch := self._next_batch()):
            self._free_lanes -= 1
            self._keep(asyncio.create_task(self._run_lane(batch)))

    def _start(self, entry: _Entry) -> None:
        work = asyncio.create_task(self._write_entry(entry))
        entry.writing = _Writing(work, 1)
        self._keep(work)

    def _keep(self, task: "asyncio.Task[None]") -> None:
        self._tasks.add(task)  # The loop alone would not keep it alive.
        task.add_done_callback(self._tasks.discard)


def _outcomes(work: "asyncio.Future[Sequence[Outcome]]", count: int) -> Sequence[Outcome]:
    """What a batch came to."""
    if work.cancelled():
        return [None] * count
    error = work.exception()
    if error is None:
        return work.result()
    if isinstance(error, EventStoreUnavailable):
        return [_copy(error) for _ in range(count)]
    return [None] * count  # One of them is at fault; alone, each tells for itself.


def _copy(error: HithertoError) -> HithertoError:
    """For each caller one of its own: a raised error carries its caller's traceback."""
    own = copy.copy(error)
    own.__cause__ = error.__cause__
    return own
