"""`Resilient`: retries, deadlines and the breaker around a backend."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from hitherto import EventStoreError, EventStoreUnavailable, Instrumentation
from hitherto.application.alongside import Alongside, Timer
from hitherto.application.health import BreakerState, Health
from hitherto.application.records import Append, NewEvent
from hitherto.application.store import utc_now
from hitherto.errors import (
    AggregateLocked,
    AggregateVersionConflict,
    AlreadyHandled,
    HandlerFailed,
    HithertoError,
    InvalidInput,
    SchemaMismatch,
)
from hitherto.infrastructure.memory import MemoryStore
from hitherto.infrastructure.resilience import Resilient

Behaviour = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]


def an_append(aggregate_id: str = "a", expected: int = 0) -> Append:
    event = NewEvent(
        event_id=uuid4(), event_type="E", schema_version=1, data="{}", metadata=None,
        occurred_at=utc_now(),
    )  # fmt: skip
    return Append(
        aggregate_id=aggregate_id, aggregate_type="T", expected_version=expected, events=(event,)
    )


class Flaky(MemoryStore):
    """Does with each call what it was told to, in order; then it works."""

    def __init__(self, *behaviours: Behaviour | Exception) -> None:
        super().__init__()
        self.behaviours = list(behaviours)
        self.calls = 0
        self.health = Health(status="degraded", backend="memory", problems=("in memory",))

    async def health_check(self) -> Health:
        return self.health

    async def append(self, appends: Any, **options: Any) -> Any:
        return await self._call(lambda: super(Flaky, self).append(appends, **options))

    async def watermark(self) -> Any:
        return await self._call(super().watermark)

    async def _call(self, work: Callable[[], Awaitable[Any]]) -> Any:
        self.calls += 1
        if not self.behaviours:
            return await work()
        behaviour = self.behaviours.pop(0)
        if isinstance(behaviour, Exception):
            raise behaviour
        return await behaviour(work)


async def answer_lost(work: Callable[[], Awaitable[Any]]) -> Any:
    await work()
    raise EventStoreUnavailable("cut")


async def hangs(_work: Callable[[], Awaitable[Any]]) -> Any:
    await asyncio.Event().wait()


def out() -> EventStoreUnavailable:
    return EventStoreUnavailable("out")


class Telling(Instrumentation):
    def __init__(self) -> None:
        self.retried: list[str] = []
        self.states: list[BreakerState] = []

    def call_retried(self, name: str) -> None:
        self.retried.append(name)

    def breaker_changed(self, state: BreakerState) -> None:
        self.states.append(state)


class Clock:
    """Monotonic time that stands still until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        time = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr("hitherto.infrastructure.breaker.time", time)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The breaker's alone: the loop keeps its own."""
    return Clock(monkeypatch)


class TestRetries:
    async def test_a_failure_that_passes_is_not_seen(self) -> None:
        """Whatever call it is; the hooks are told of each retry, and so is the log."""
        hooks = Telling()
        backend = Flaky(out(), out(), out())
        store = Resilient(backend, instrumentation=hooks)
        assert await store.watermark() == 0
        assert backend.calls == 4
        assert hooks.retried == ["watermark"] * 3
        assert hooks.states == []

    @pytest.mark.parametrize(
        "error",
        [
            AggregateVersionConflict("a", 0, 1),
            AggregateLocked("held"),
            SchemaMismatch("no tables"),
            EventStoreError("broken"),
            EventStoreUnavailable("wrong password", transient=False),
        ],
    )
    async def test_a_failure_that_lasts_is_raised_at_once(self, error: HithertoError) -> None:
        """And a conflict, which only a new decision can solve."""
        backend = Flaky(error)
        with pytest.raises(type(error)) as caught:
            await Resilient(backend).append([an_append()])
        assert caught.value is error
        assert backend.calls == 1

    async def test_an_append_whose_answer_was_lost_is_told_how_it_ended(self) -> None:
        """It is sent again with its event ids, so it is no rival of itself."""
        backend = Flaky(answer_lost, answer_lost)
        store = Resilient(backend)
        assert await store.append([an_append()]) == (1,)
        assert backend.calls == 3
        assert len(await store.read("a")) == 1

    async def test_what_was_written_alongside_is_not_written_again(self) -> None:
        """Though the answer was lost."""
        store = Resilient(Flaky(answer_lost))
        mark = Alongside(scope="s", handled=["m"])
        assert await store.append([an_append()], alongside=mark) == (1,)
        assert set(await store.handled("s", ["m", "n"])) == {"m"}
        with pytest.raises(AlreadyHandled):
            await store.append([an_append("b")], alongside=mark)

    async def test_marks_and_timers_are_kept_by_the_backend(self) -> None:
        """Each call is passed on as it is."""
        store = Resilient(MemoryStore())
        now = utc_now()
        timer = Timer(process="p", aggregate_id="a", name="t", due=now)
        await store.append([], alongside=Alongside(scope="s", handled=["m"], timers=[timer]))
        assert await store.due_timers("p", until=now, limit=1) == [timer]
        assert await store.forget_handled("s", before=now - timedelta(hours=1)) == 0
        assert await store.forget_handled("s", before=now + timedelta(hours=1)) == 1

    async def test_the_first_try_may_hold_the_aggregate(self) -> None:
        """While it is under way "nothing was written" would be no answer: it is waited for."""
        backend = Flaky(out(), AggregateLocked("held"), AggregateLocked("held"))
        assert await Resilient(backend).append([an_append()]) == (1,)
        assert backend.calls == 4

    async def test_after_a_lost_answer_a_conflict_is_the_truth(self) -> None:
        """A rival was first."""
        backend = Flaky(out())
        await MemoryStore.append(backend, [an_append()])
        with pytest.raises(AggregateVersionConflict):
            await Resilient(backend).append([an_append()])

    async def test_after_a_lost_answer_another_error_settles_nothing(self) -> None:
        """The first try may have been stored."""
        backend = Flaky(answer_lost, SchemaMismatch("may not insert"))
        with pytest.raises(EventStoreUnavailable, match="lost, and then: may not") as caught:
            await Resilient(backend).append([an_append()])
        assert isinstance(caught.value.__cause__, SchemaMismatch)

    async def test_what_is_logged_says_which_call_and_why(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An event name and key-values; and the same as attributes of the record."""
        with caplog.at_level(logging.INFO, "hitherto"):
            await Resilient(Flaky(out())).watermark()
        (record,) = caplog.records
        assert record.getMessage() == "call_retried call='watermark' attempt=1 error='out'"
        assert vars(record)["call"] == "watermark"


class TestDeadline:
    async def test_retries_end_with_it(self) -> None:
        """The error says how long, and what failed last."""
        store = Resilient(Flaky(*(out() for _ in range(1000))), timeout=0.05)
        with pytest.raises(
            EventStoreUnavailable,
            match=r"no answer to append within 0.05 s; the last failure: out",
        ):
            await store.append([an_append()])

    async def test_a_call_that_hangs_ends_with_it(self) -> None:
        """It is cancelled."""
        with pytest.raises(EventStoreUnavailable, match=r"no answer to watermark within 0.05 s$"):
            await Resilient(Flaky(hangs), timeout=0.05).watermark()

    async def test_each_call_has_its_own(self) -> None:
        """One timer ends them in the order in which they began."""
        backend = Flaky(*[hangs] * 30)
        store = Resilient(backend, timeout=0.2, breaker_threshold=1000)
        ended: list[int] = []

        async def call(number: int) -> None:
            await asyncio.sleep(number * 0.005)
            try:
                await store.watermark()
            except EventStoreUnavailable:
                ended.append(number)

        await asyncio.gather(*map(call, range(30)))
        assert ended == list(range(30))
        assert await store.watermark() == 0

    async def test_a_caller_may_give_up_before(self) -> None:
        """Its own timeout is its own error, and no failure of the store's."""
        hooks = Telling()
        store = Resilient(Flaky(hangs), breaker_threshold=1, instrumentation=hooks)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await store.watermark()
        assert hooks.states == []

    async def test_a_cancellation_at_the_same_moment_is_a_cancellation(self) -> None:
        """Whichever of the two comes first."""
        for _ in range(5):
            task = asyncio.ensure_future(Resilient(Flaky(hangs), timeout=0.02).watermark())
            await asyncio.sleep(0)
            loop = asyncio.get_running_loop()
            end = loop.time() + 0.03
            loop.call_soon(task.cancel)
            while loop.time() < end:  # The timer is overdue when the cancellation is told.
                pass
            with pytest.raises(asyncio.CancelledError):
                await task

    async def test_who_is_cancelled_and_goes_on_is_not_left_cancelled(self) -> None:
        """The deadline takes back its cancellation, however the work ends."""

        async def defiant(_work: Callable[[], Awaitable[Any]]) -> int:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return 7
            return 0

        assert await Resilient(Flaky(defiant), timeout=0.01).watermark() == 7
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    async def test_a_cancellation_while_it_ends_is_a_cancellation(self) -> None:
        """The caller's own wish is not taken for the deadline's."""
        ending = asyncio.Event()

        async def ends_slowly(_work: Callable[[], Awaitable[Any]]) -> Any:
            try:
                await asyncio.Event().wait()
            finally:
                ending.set()
                await asyncio.Event().wait()

        task = asyncio.ensure_future(Resilient(Flaky(ends_slowly), timeout=0.01).watermark())
        await ending.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    def test_a_store_may_be_used_under_one_loop_after_another(self) -> None:
        """The timer of a loop that has ended is not waited for."""
        backend = Flaky()
        store = Resilient(backend, timeout=0.05)
        for _ in range(2):
            assert asyncio.run(store.watermark()) == 0
            backend.behaviours = [hangs]
            with pytest.raises(EventStoreUnavailable):
                asyncio.run(store.watermark())


class TestWhatIsNotRetried:
    async def test_waiting_has_no_deadline(self) -> None:
        """Nothing may happen for long."""
        store = Resilient(MemoryStore(), timeout=0.01, breaker_threshold=1)
        waiting = asyncio.ensure_future(store.wait(0))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await store.append([an_append()])
        assert await waiting == 1
        assert store.usage().breaker == "closed"

    async def test_checkpoints_are_the_backends_own(self) -> None:
        """Whoever works with them sees to outages."""
        backend = MemoryStore()
        assert Resilient(backend).checkpoints is backend.checkpoints


class TestBreaker:
    def failing(self, hooks: Telling, **settings: Any) -> tuple[Flaky, Resilient]:
        backend = Flaky(*(out() for _ in range(10_000)))
        store = Resilient(
            backend, timeout=0.01, breaker_threshold=3, instrumentation=hooks, **settings
        )
        return backend, store

    async def fail(self, store: Resilient, times: int = 3) -> None:
        for _ in range(times):
            with pytest.raises(EventStoreUnavailable):
                await store.watermark()

    async def test_it_opens_after_failures_in_a_row_and_asks_no_more(self, clock: Clock) -> None:
        """The error says when it will try again."""
        hooks = Telling()
        backend, store = self.failing(hooks, breaker_cooldown=5)
        await self.fail(store)
        assert hooks.states == ["open"]
        calls = backend.calls
        clock.now += 2
        with pytest.raises(EventStoreUnavailable, match=r"3 operations .* another 3.0 s") as caught:
            await store.append([an_append()])
        assert caught.value.retry_after == pytest.approx(3)
        assert backend.calls == calls
        assert store.usage().breaker == "open"

    async def test_a_success_in_between_starts_the_count_again(self, clock: Clock) -> None:
        """In a row means in a row; a conflict is an answer, too."""
        hooks = Telling()
        backend, store = self.failing(hooks)
        await self.fail(store, 2)
        backend.behaviours.insert(0, AggregateVersionConflict("a", 0, 1))
        with pytest.raises(AggregateVersionConflict):
            await store.append([an_append()])
        await self.fail(store, 2)
        assert hooks.states == []

    @pytest.mark.parametrize("error", [AlreadyHandled("m"), HandlerFailed("h"), InvalidInput("i")])
    async def test_every_error_that_is_an_answer_closes_it(
        self, clock: Clock, error: HithertoError
    ) -> None:
        """The store has served, whatever it said of what it was given."""
        hooks = Telling()
        backend, store = self.failing(hooks, breaker_cooldown=5)
        await self.fail(store)
        backend.behaviours.insert(0, error)
        clock.now += 5
        with pytest.raises(type(error)):
            await store.append([an_append()])
        assert hooks.states == ["open", "half-open", "closed"]

    async def test_one_call_is_let_through_to_see(self, clock: Clock) -> None:
        """The others are still refused; when it fails, all are for another while."""
        hooks = Telling()
        backend, store = self.failing(hooks, breaker_cooldown=5)
        await self.fail(store)
        backend.behaviours = [hangs, *backend.behaviours]
        clock.now += 5
        seeing = asyncio.ensure_future(store.watermark())
        await asyncio.sleep(0)
        assert store.usage().breaker == "half-open"
        with pytest.raises(EventStoreUnavailable, match="circuit breaker"):
            await store.watermark()
        with pytest.raises(EventStoreUnavailable, match="no answer"):
            await seeing
        assert hooks.states == ["open", "half-open", "open"]

    async def test_it_closes_when_that_goes_well(self, clock: Clock) -> None:
        """Work goes on by itself."""
        hooks = Telling()
        backend, store = self.failing(hooks, breaker_cooldown=5)
        await self.fail(store)
        backend.behaviours = []
        clock.now += 5
        assert await store.watermark() == 0
        assert hooks.states == ["open", "half-open", "closed"]
        assert await store.watermark() == 0

    async def test_a_call_that_was_cancelled_has_seen_nothing(self, clock: Clock) -> None:
        """Another is let through after the next cooldown."""
        hooks = Telling()
        backend, store = self.failing(hooks, breaker_cooldown=5)
        await self.fail(store)
        backend.behaviours = [hangs]
        clock.now += 5
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await store.watermark()
        assert store.usage().breaker == "half-open"
        clock.now += 5
        assert await store.watermark() == 0
        assert store.usage().breaker == "closed"

    async def test_what_cannot_pass_does_not_open_it(self) -> None:
        """A closed store is no outage."""
        hooks = Telling()
        closed = EventStoreUnavailable("closed", transient=False)
        store = Resilient(Flaky(*[closed] * 9), breaker_threshold=3, instrumentation=hooks)
        await self.fail(store, 9)
        assert hooks.states == []

    async def test_the_health_check_tells_its_state_and_passes(self, clock: Clock) -> None:
        """It asks the backend, though other calls are refused."""
        backend, store = self.failing(Telling())
        assert (await store.health_check()).breaker == "closed"
        await self.fail(store)
        backend.health = Health(status="unhealthy", backend="memory", problems=("out",))
        health = await store.health_check()
        assert (health.breaker, health.status) == ("open", "unhealthy")
        assert health.problems == ("out", "the circuit breaker is open: 3 calls in a row failed")

    async def test_a_health_check_that_goes_well_closes_it(self, clock: Clock) -> None:
        """It has seen what a call would be let through to see."""
        backend, store = self.failing(Telling())
        await self.fail(store)
        health = await store.health_check()
        assert (health.breaker, health.problems) == ("closed", backend.health.problems)

    async def test_without_traffic_it_is_half_open_after_the_cooldown(self, clock: Clock) -> None:
        """Nobody is refused any more, so it does not look open."""
        _, store = self.failing(Telling(), breaker_cooldown=5)
        await self.fail(store)
        clock.now += 5
        assert store.usage().breaker == "half-open"

    async def test_an_aggregate_that_is_held_is_no_outage(self) -> None:
        """The store has answered, though after a lost answer that settles nothing."""
        hooks = Telling()
        held = [AggregateLocked("held") for _ in range(10_000)]
        store = Resilient(
            Flaky(out(), *held), timeout=0.05, breaker_threshold=1, instrumentation=hooks
        )
        with pytest.raises(EventStoreUnavailable, match="the last failure: held"):
            await store.append([an_append()])
        assert hooks.states == []

    async def test_its_states_are_logged(
        self, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Opening is a warning."""
        backend, store = self.failing(Telling(), breaker_cooldown=5)
        with caplog.at_level(logging.INFO, "hitherto"):
            await self.fail(store)
            backend.behaviours = []
            clock.now += 5
            await store.watermark()
        told = [
            (record.levelname, vars(record)["event"])
            for record in caplog.records
            if vars(record)["event"] != "call_retried"
        ]
        assert told == [
            ("WARNING", "breaker_open"), ("INFO", "breaker_half_open"), ("INFO", "breaker_closed"),
        ]  # fmt: skip


async def test_parts_of_a_store_are_called_as_it_is() -> None:
    """But for what reads all that is stored, for which no deadline would do."""

    class Part:
        calls = 0

        async def search(self, wanted: str, *, limit: int) -> tuple[str, int]:
            self.calls += 1
            if self.calls == 1:
                raise EventStoreUnavailable("away", transient=True)
            return wanted, limit

        async def statistics(self) -> str:
            await asyncio.sleep(0.2)
            return "all"

        async def event(self) -> None:
            await asyncio.sleep(60)

    store: Any = MemoryStore()
    store.looking = Part()
    looking: Any = Resilient(store, timeout=0.1).looking
    assert await looking.search("this", limit=2) == ("this", 2)
    assert await looking.statistics() == "all"
    with pytest.raises(EventStoreUnavailable, match="no answer to event within"):
        await looking.event()
