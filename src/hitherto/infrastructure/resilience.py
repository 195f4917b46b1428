"""`Resilient`: a backend that outlives its server's outages."""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec
import tenacity

from hitherto.application.alongside import Alongside, Timer
from hitherto.application.health import BreakerState, Health, Usage
from hitherto.application.instrumentation import Instrumentation
from hitherto.application.logging import log_event
from hitherto.application.ports import Archive, Backend, Chain, Erasures, Looking, PersonalData
from hitherto.application.records import Append, LogPage, PlacedEvent, Snapshot, StoredEvent, Stream
from hitherto.errors import (
    AggregateError,
    AggregateLocked,
    EventStoreError,
    EventStoreUnavailable,
    HithertoError,
)
from hitherto.infrastructure.breaker import Breaker
from hitherto.infrastructure.calling import called
from hitherto.infrastructure.deadline import Deadline
from hitherto.infrastructure.decorator import Decorator

T = TypeVar("T")

# The first retry is at once, for a connection that was cut; the next ones are drawn from 0 up to a
# bound that doubles, so that a thousand callers do not come back together.
_WAITS = tenacity.wait_random_exponential(multiplier=0.05, max=1.0)  # seconds


class Resilient(Decorator):
    """Decorates a backend: each call is retried while its failure may pass, up to a deadline.

    An append is sent again as it is, with its event ids, so one whose answer was lost is never
    stored twice, and never taken for its own rival: the backend completes what stands, and waits
    for what is still under way. When several calls in a row have run into their deadline, a
    circuit breaker refuses further ones for a while.

    Opening is not retried: a process that cannot reach its store says so when it starts. Nor is
    there a deadline for `wait`, in which outages end by themselves, and for `inspect` and what else
    reads all that is stored. Where an answer was lost, a call that counts what it has changed may
    tell of none. Whoever works with `checkpoints` sees to outages too.

    Args:
        backend: What does the work.
        timeout: Seconds that a call may take, its retries included.
        breaker_threshold: How many calls in a row must fail until the breaker opens.
        breaker_cooldown: Seconds until it lets a call through, to see.
        instrumentation: Hooks.
        logger: Is told of retries, and of the breaker's states.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        timeout: float = 30.0,
        breaker_threshold: int = 5,
        breaker_cooldown: float = 5.0,
        instrumentation: Instrumentation | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        super().__init__(backend)
        self._hooks = instrumentation or Instrumentation()
        self._logger = logger or logging.getLogger("hitherto")
        self._deadline = Deadline(timeout)
        self._breaker = Breaker(breaker_threshold, breaker_cooldown, self._breaker_changed)

    @property
    def looking(self) -> Looking:
        """See `Backend.looking`."""
        return called(self.backend.looking, self._call, but={"statistics"})

    @property
    def chain(self) -> Chain:
        """See `Backend.chain`."""
        return called(self.backend.chain, self._call, but={"first"})

    @property
    def personal(self) -> PersonalData:
        """See `Backend.personal`."""
        return called(self.backend.personal, self._call, but={"find"})

    @property
    def archive(self) -> Archive:
        """See `Backend.archive`."""
        return called(self.backend.archive, self._call)

    @property
    def erasures(self) -> Erasures:
        """See `Backend.erasures`."""
        return called(self.backend.erasures, self._call)

    async def append(
        self, appends: Sequence[Append], *, alongside: Alongside | None = None
    ) -> tuple[int, ...]:
        """See `EventStore.append`."""
        return await self._call("append", lambda: self.backend.append(appends, alongside=alongside))

    async def import_events(self, events: Sequence[PlacedEvent]) -> int:
        """See `EventStore.import_events`."""
        return await self._call("import_events", lambda: self.backend.import_events(events))

    async def load(
        self, aggregate_id: str, *, fingerprint: str | None, to_version: int | None = None
    ) -> Stream:
        """See `EventStore.load`."""
        return await self._call(
            "load",
            lambda: self.backend.load(aggregate_id, fingerprint=fingerprint, to_version=to_version),
        )

    async def load_many(
        self, aggregate_ids: Sequence[str], *, fingerprint: str | None
    ) -> Mapping[str, Stream]:
        """See `EventStore.load_many`."""
        return await self._call(
            "load_many", lambda: self.backend.load_many(aggregate_ids, fingerprint=fingerprint)
        )

    async def read(
        self,
        aggregate_id: str,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        limit: int | None = None,
        backward: bool = False,
    ) -> Sequence[StoredEvent]:
        """See `EventStore.read`."""
        return await self._call(
            "read",
            lambda: self.backend.read(
                aggregate_id,
                from_version=from_version,
                to_version=to_version,
                limit=limit,
                backward=backward,
            ),
        )

    async def read_all(
        self,
        *,
        after: int = 0,
        limit: int = 1000,
        event_types: Sequence[str] | None = None,
        aggregate_types: Sequence[str] | None = None,
    ) -> LogPage:
        """See `EventStore.read_all`."""
        return await self._call(
            "read_all",
            lambda: self.backend.read_all(
                after=after, limit=limit, event_types=event_types, aggregate_types=aggregate_types
            ),
        )

    async def aggregate_ids(
        self, aggregate_type: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[str]:
        """See `EventStore.aggregate_ids`."""
        return await self._call(
            "aggregate_ids",
            lambda: self.backend.aggregate_ids(aggregate_type, after=after, limit=limit),
        )

    async def watermark(self) -> int:
        """See `EventStore.watermark`."""
        return await self._call("watermark", self.backend.watermark)

    async def handled(self, scope: str, keys: Sequence[str]) -> Collection[str]:
        """See `EventStore.handled`."""
        return await self._call("handled", lambda: self.backend.handled(scope, keys))

    async def forget_handled(self, scope: str, *, before: datetime) -> int:
        """See `EventStore.forget_handled`."""
        return await self._call(
            "forget_handled", lambda: self.backend.forget_handled(scope, before=before)
        )

    async def due_timers(self, process: str, *, until: datetime, limit: int) -> Sequence[Timer]:
        """See `EventStore.due_timers`."""
        return await self._call(
            "due_timers", lambda: self.backend.due_timers(process, until=until, limit=limit)
        )

    async def save_snapshot(self, snapshot: Snapshot, *, replacing: int | None = None) -> bool:
        """See `SnapshotStore.save_snapshot`."""
        return await self._call(
            "save_snapshot", lambda: self.backend.save_snapshot(snapshot, replacing=replacing)
        )

    async def read_snapshot(self, aggregate_id: str) -> Snapshot | None:
        """See `SnapshotStore.read_snapshot`."""
        return await self._call("read_snapshot", lambda: self.backend.read_snapshot(aggregate_id))

    async def snapshot_ids(
        self, aggregate_type: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[str]:
        """See `SnapshotStore.snapshot_ids`."""
        return await self._call(
            "snapshot_ids",
            lambda: self.backend.snapshot_ids(aggregate_type, after=after, limit=limit),
        )

    async def health_check(self) -> Health:
        """See `EventStore.health_check`; it asks the backend whatever the breaker's state.

        A store that is found to serve closes the breaker.
        """
        found = await self.backend.health_check()
        if found.status != "unhealthy":
            self._breaker.succeeded()
        state = self._breaker.state
        if state == "closed":
            return found
        problem = f"the circuit breaker is {state}: {self._breaker.failures} calls in a row failed"
        return msgspec.structs.replace(
            found,
            breaker=state,
            problems=(*found.problems, problem),
        )

    def usage(self) -> Usage:
        """See `EventStore.usage`."""
        return msgspec.structs.replace(self.backend.usage(), breaker=self._breaker.state)

    async def _call(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        self._breaker.admit()
        failures: list[HithertoError] = []
        with self._hooks.store_call(name):
            try:
                result = await self._deadline.run(self._tried(name, call, failures))
            except TimeoutError as error:
                if failures and isinstance(failures[-1], AggregateError):
                    self._breaker.succeeded()  # The store answers, though not as one would like.
                else:
                    self._breaker.failed()
                last = f"; the last failure: {failures[-1]}" if failures else ""
                raise EventStoreUnavailable(
                    f"no answer to {name} within {self._deadline.seconds:g} s{last}"
                ) from (failures[-1] if failures else error)
            except HithertoError:  # an answer, too
                self._breaker.succeeded()
                raise
            self._breaker.succeeded()
            return result

    async def _tried(
        self, name: str, call: Callable[[], Awaitable[T]], failures: list[HithertoError]
    ) -> T:
        try:
            return await call()
        except EventStoreUnavailable as error:
            if not error.transient:
                raise
            failures.append(error)
        return await self._retried(name, call, failures)

    async def _retried(
        self, name: str, call: Callable[[], Awaitable[T]], failures: list[HithertoError]
    ) -> T:
        def tell(state: tenacity.RetryCallState) -> None:
            self._hooks.call_retried(name)
            log_event(
                self._logger,
                logging.WARNING,
                "call_retried",
                call=name,
                attempt=state.attempt_number,
                error=str(failures[-1]),
            )

        async def again() -> T:
            try:
                return await call()
            except (EventStoreError, AggregateLocked) as error:
                failures.append(error)
                raise

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(_may_pass), wait=_WAITS, before=tell, reraise=True
        )
        try:
            return await retrying(again)
        except EventStoreUnavailable:
            raise
        except EventStoreError as error:
            raise EventStoreUnavailable(
                f"an answer was lost, and then: {error}", transient=False
            ) from error

    def _breaker_changed(self, state: BreakerState) -> None:
        self._hooks.breaker_changed(state)
        log_event(
            self._logger,
            logging.WARNING if state == "open" else logging.INFO,
            "breaker_" + state.replace("-", "_"),
            failures=self._breaker.failures,
            retry_after=round(self._breaker.retry_after, 3),
        )


def _may_pass(error: BaseException) -> bool:
    """Whether to try again; what holds the aggregate can be the first try, still under way."""
    return isinstance(error, AggregateLocked) or (
        isinstance(error, EventStoreUnavailable) and error.transient
    )
