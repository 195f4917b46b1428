"""Commands and processes by the sync face."""

import asyncio
import logging
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.domain.reminder import (
    NOON,
    BonusGiven,
    Customer,
    GiveBonus,
    Order,
    Paid,
    Placed,
    Remind,
    Reminded,
    Reminder,
)
from tests.unit.sync_following import Counts, on_the_loop
from tests.unit.sync_world import Counter, in_child
from tests.unit.test_sync_errors import interrupted_when

from hitherto.sync import (
    AggregateNotFound,
    CommandBus,
    InvalidInput,
    Metadata,
    Next,
    ProjectionBehind,
    ProjectionWorker,
    Reactions,
    Repository,
    Store,
    WouldDeadlock,
    connect,
    current_metadata,
    log_commands,
    measure_commands,
    metadata_context,
    validate_commands,
)


class Count(msgspec.Struct, frozen=True):
    counter: str
    by: int = 1


class Copy(msgspec.Struct, frozen=True):
    source: str
    target: str


@pytest.fixture(params=["memory:", "sqlite:///{}/commanded.db"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with connect(request.param.format(tmp_path)) as store:
        yield store


@pytest.fixture
def counters(store: Store) -> Repository[Counter]:
    return Repository(store, Counter)


@pytest.fixture
def bus(store: Store, counters: Repository[Counter]) -> CommandBus:
    """Counts, and copies by a function that uses the sync face itself."""
    bus = CommandBus(store, log_commands(store), measure_commands(store), validate_commands)
    bus.route(
        Count,
        counters,
        id=lambda command: command.counter,
        run=lambda counter, command: counter.count(command.by),
        create=True,
    )

    def copy(command: Copy) -> int:
        total = counters.load(command.source).total
        counters.save(Counter.start(command.target, total))
        return total

    bus.register(Copy, copy)
    return bus


class TestCommands:
    def test_one_is_carried_out_on_its_aggregate(
        self, bus: CommandBus, counters: Repository[Counter]
    ) -> None:
        """And gives what that gave; with an id, once."""
        assert bus.send(Count("c-1", by=2)) == 2
        assert bus.send(Count("c-1", by=3), id="once") == 5
        assert bus.send(Count("c-1", by=3), id="once") is None
        assert counters.load("c-1").total == 5

    def test_one_is_carried_out_by_a_plain_function(
        self, bus: CommandBus, counters: Repository[Counter]
    ) -> None:
        """Which uses the sync face; the command's id goes with its save."""
        counters.save(Counter.start("c-1", 4))
        assert bus.send(Copy("c-1", "c-2"), id="once", metadata=Metadata(actor="ada")) == 4
        assert bus.send(Copy("c-1", "c-2"), id="once") is None
        (recorded,) = counters.history("c-2")
        assert recorded.metadata.causation_id == "once"
        assert recorded.metadata.actor == "ada"

    def test_functions_run_in_the_thread_that_sends(
        self, store: Store, counters: Repository[Counter]
    ) -> None:
        """With its context and that of the command, so that a framework's connections serve."""
        seen: list[tuple[int, str | None, str | None]] = []

        def handler(command: Count) -> None:
            told = current_metadata()
            seen.append((threading.get_ident(), told.actor, told.causation_id))

        bus = CommandBus(store)
        bus.register(Count, handler)
        with metadata_context(actor="ada"):
            bus.send(Count("c-1"), id="1")
        assert seen == [(threading.get_ident(), "ada", "1")]

    def test_functions_may_send_commands(self, store: Store, bus: CommandBus) -> None:
        """However many threads do so at once: none waits for another's."""

        def chain(command: str) -> Any:
            count = int(command)
            return bus.send(str(count - 1)) if count else bus.send(Count("c-1"))

        bus.register(str, chain)
        with ThreadPoolExecutor(40) as pool:
            assert sorted(pool.map(lambda _: bus.send("3"), range(40))) == list(range(1, 41))

    def test_errors_arrive_through_the_middleware(
        self, bus: CommandBus, counters: Repository[Counter], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Those of functions and of aggregates; the command may be sent again."""
        caplog.set_level(logging.INFO, "hitherto")
        with pytest.raises(AggregateNotFound):
            bus.send(Copy("c-1", "c-2"), id="once")
        assert "command_failed command='Copy'" in caplog.text
        with pytest.raises(InvalidInput, match="counter"):
            bus.send(Count(counter=5))  # type: ignore[arg-type]
        counters.save(Counter.start("c-1", 4))
        assert bus.send(Copy("c-1", "c-2"), id="once") == 4
        assert "command_done command='Copy'" in caplog.text

    def test_what_cannot_work_is_refused(self, store: Store, bus: CommandBus) -> None:
        """As by the async bus."""
        with pytest.raises(InvalidInput, match="registered already"):
            bus.register(Count, print)
        with pytest.raises(InvalidInput, match="nothing is registered for int"):
            bus.send(5)
        with pytest.raises(InvalidInput, match="window"):
            CommandBus(store, window=timedelta())
        other = Repository(connect("memory:"), Counter)
        with pytest.raises(InvalidInput, match="another store"):
            CommandBus(store).route(Count, other, id=str, run=lambda *_: None)

        async def handler(command: Copy) -> None:
            raise AssertionError

        awaiting = CommandBus(store)
        awaiting.register(Copy, handler)
        with pytest.raises(TypeError, match="awaitable"):
            awaiting.send(Copy("c-1", "c-2"))

    def test_calls_on_the_loops_own_thread_are_refused(self, store: Store, bus: CommandBus) -> None:
        """As from a middleware, which runs there."""

        async def sending(command: object, next: Next) -> Any:
            return bus.send(Count("c-1"))

        outer = CommandBus(store, sending)
        outer.register(Count, print)
        with pytest.raises(WouldDeadlock):
            outer.send(Count("c-1"))
        with pytest.raises(WouldDeadlock):
            store._run(on_the_loop, lambda: bus.send(Count("c-1")))

    def test_what_they_append_can_be_waited_for(
        self, store: Store, bus: CommandBus, counters: Repository[Counter]
    ) -> None:
        """By the thread that has sent them, however they were carried out."""
        bus.send(Count("c-1"))
        with pytest.raises(ProjectionBehind, match="position 1"):
            store.wait_for(Counts, timeout=0.02)
        bus.send(Copy("c-1", "c-2"))
        with pytest.raises(ProjectionBehind, match="position 2"):
            store.wait_for(Counts, timeout=0.02)


class TestInterrupts:
    def test_ctrl_c_in_a_function_goes_through_it(
        self, store: Store, counters: Repository[Counter]
    ) -> None:
        """As through any function; the command may be sent again."""
        reached, go_on = threading.Event(), threading.Event()

        def handler(command: Count) -> int:
            reached.set()
            go_on.wait()
            return counters.save(Counter.start(command.counter)) or 0

        bus = CommandBus(store, log_commands(store))
        bus.register(Count, handler)
        with interrupted_when(reached), pytest.raises(KeyboardInterrupt):
            bus.send(Count("c-1"), id="once")
        assert not counters.exists("c-1")
        go_on.set()
        assert bus.send(Count("c-1"), id="once") == 1
        assert bus.send(Count("c-1"), id="once") is None

    def test_ctrl_c_in_a_middleware_cancels_it(self, store: Store) -> None:
        """The loop lets go of the command before the caller goes on."""
        reached, cancelled = threading.Event(), list[bool]()

        async def stuck(command: object, next: Next) -> Any:
            reached.set()
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

        bus = CommandBus(store, stuck)
        bus.register(Count, print)
        with interrupted_when(reached), pytest.raises(KeyboardInterrupt):
            bus.send(Count("c-1"))
        assert cancelled == [True]

    def test_a_function_that_comes_too_late_saves_with_the_commands_id(
        self, store: Store, counters: Repository[Counter]
    ) -> None:
        """A middleware gave up waiting for it, but nobody can stop it: so it counts as done."""
        begun, gave_up = threading.Event(), threading.Event()

        async def impatient(command: object, next: Next) -> Any:
            task = asyncio.ensure_future(next(command))
            while not begun.is_set():
                await asyncio.sleep(0.001)
            task.cancel()
            gave_up.set()
            return await task

        def handler(command: Count) -> None:
            begun.set()
            gave_up.wait()
            counters.save(Counter.start(command.counter))

        bus = CommandBus(store, impatient)
        bus.register(Count, handler)
        with pytest.raises(asyncio.CancelledError):
            bus.send(Count("c-1"), id="once")
        assert counters.exists("c-1")
        patient = CommandBus(store)
        patient.register(Count, lambda _: pytest.fail("it was done"))
        assert patient.send(Count("c-1"), id="once") is None


@pytest.mark.integration
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
class TestForks:
    def test_a_bus_serves_both_sides(
        self, store: Store, bus: CommandBus, counters: Repository[Counter]
    ) -> None:
        """Each with a backend of its own, whose commands it knows."""
        bus.send(Count("c-1"), id="before")

        def child() -> tuple[Any, Any]:
            return bus.send(Count("c-2", by=2)), bus.send(Copy("c-2", "c-3"), id="in the child")

        assert in_child(child) == (2, 2)
        assert bus.send(Count("c-1"), id="before") is None
        assert bus.send(Count("c-1")) == 2
        in_file = "Sqlite" in type(store._async.sealed.backend).__name__  # type: ignore[attr-defined]
        assert counters.exists("c-3") == in_file
        again = bus.send(Copy("c-1", "c-4"), id="in the child")
        assert again == (None if in_file else 2)

    def test_a_function_may_fork(
        self, store: Store, bus: CommandBus, counters: Repository[Counter]
    ) -> None:
        """No operation is under way meanwhile, for which the fork would have to wait."""

        def handler(command: str) -> bool:
            counters.save(Counter.start("c-1"))
            assert not store._background._running
            child: bool = in_child(lambda: counters.exists("c-2"))
            counters.save(Counter.start("c-3"))
            return child

        bus.register(str, handler)
        assert bus.send("go", id="once") is False
        assert counters.exists("c-3")


class TestReactions:
    def test_a_process_is_run(self, store: Store) -> None:
        """Events in, commands out, and timers."""
        orders, customers = Repository(store, Order), Repository(store, Customer)
        bus = CommandBus(store)
        bus.route(Remind, orders, id=lambda command: command.order, run=lambda o, _: o.remind())
        bus.route(
            GiveBonus,
            customers,
            id=lambda command: f"customer-{command.customer}",
            run=lambda customer, command: customer.record(
                BonusGiven(order=command.order, total=customer.bonus + 1)
            ),
            create=True,
        )
        unpaid, paid = Order("order-1"), Order("order-2")
        for order in (unpaid, paid):
            order.record(Placed(customer="Ada"), occurred_at=NOON)
        paid.record(Paid(amount=5))
        orders.save_all(unpaid, paid)
        reactions = Reactions(store, Reminder, bus)
        assert reactions.name == "Reminder"
        ProjectionWorker(store, reactions).catch_up()
        assert customers.load("customer-Ada").bonus == 1
        assert [each.event for each in store.read("order-1")][1:] == [
            Reminded(number=1),
            Reminded(number=2),
        ]
        assert len(store.read("order-2")) == 2
