"""The command bus: where a command goes, once if it has an id, and what stands around it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, cast

import msgspec
import pytest

from hitherto import (
    Aggregate,
    AggregateNotFound,
    Decided,
    Decider,
    Event,
    EventStoreUnavailable,
    Instrumentation,
    InvalidAggregateState,
    InvalidInput,
    Metadata,
    Repository,
    Store,
    connect,
    metadata_context,
)
from hitherto.application.alongside import Alongside
from hitherto.application.commands import CommandBus, Middleware, Next
from hitherto.application.middleware import log_commands, measure_commands, validate_commands
from hitherto.application.records import Append
from hitherto.infrastructure.memory import MemoryStore


class Deposited(Event):
    cents: int


class Account(Aggregate[Deposited]):
    cents: int = 0

    def deposit(self, cents: int) -> int:
        if cents < 0:
            raise InvalidAggregateState("give a positive amount")
        if cents:
            self.record(Deposited(cents=cents))
        return self.cents

    def apply(self, event: Deposited) -> None:
        self.cents += event.cents


class Deposit(msgspec.Struct, frozen=True, kw_only=True):
    account_id: str
    cents: int


class Open(msgspec.Struct, frozen=True):
    account_id: str


@dataclass(frozen=True)
class Transfer:
    source: str
    target: str
    cents: int


class Increment(msgspec.Struct, frozen=True):
    counter_id: str
    by: int = 1


class Incremented(Event):
    by: int


class Counting(Decider[int, Incremented, Increment], type="Counter"):
    initial = 0

    def decide(self, state: int, command: Increment) -> list[Incremented]:
        return [Incremented(by=command.by)]

    def evolve(self, state: int, event: Incremented) -> int:
        return state + event.by


ON_POSTGRES = pytest.param("postgres", marks=pytest.mark.integration)


@pytest.fixture(params=["memory", "sqlite", ON_POSTGRES])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_schema: str
) -> AsyncIterator[Store]:
    urls = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/store.db"}
    url = urls.get(request.param) or request.getfixturevalue("postgres_url")
    async with connect(url, schema=postgres_schema) as opened:
        yield opened


def deposit(account: Account, command: Deposit) -> int:
    return account.deposit(command.cents)


def bus_of(
    store: Store,
    *middleware: Middleware,
    run: Callable[[Account, Deposit], Any] = deposit,
    window: timedelta = timedelta(days=7),
) -> CommandBus:
    """With deposits into accounts, which need not exist."""
    bus = CommandBus(store, *middleware, window=window)
    accounts = Repository(store, Account)
    bus.route(Deposit, accounts, id=lambda command: command.account_id, run=run, create=True)
    return bus


async def versions_of(store: Store, *ids: str) -> list[int]:
    accounts = await Repository(store, Account).load_many(ids)
    return [accounts[each].version if each in accounts else 0 for each in ids]


TEN = Deposit(account_id="a", cents=10)


async def test_a_command_is_carried_out_on_its_aggregate(store: Store) -> None:
    """And gives what that returned."""
    bus = bus_of(store)
    assert await bus.send(TEN) == 10
    assert await bus.send(TEN) == 20
    assert await versions_of(store, "a") == [2]


async def test_a_command_for_an_aggregate_that_is_not_there_is_refused(store: Store) -> None:
    """Unless it was said that it may create one: an id may be mistyped."""
    bus = CommandBus(store)
    accounts = Repository(store, Account)
    bus.route(Deposit, accounts, id=lambda command: command.account_id, run=deposit)
    with pytest.raises(AggregateNotFound):
        await bus.send(TEN)


async def test_a_decider_executes_its_command(store: Store) -> None:
    """Without being told how; it gives the events."""
    bus = CommandBus(store)
    counters = Repository(store, Counting())
    bus.route(Increment, counters, id=lambda command: command.counter_id, create=True)
    assert await bus.send(Increment("c", by=2)) == (Incremented(by=2),)
    await bus.send(Increment("c", by=3))
    assert (await counters.load("c")).state == 5


async def test_a_decider_may_be_told_how_to_execute_a_command(store: Store) -> None:
    """Such as with the time at which it happened."""
    then = datetime(2009, 1, 3, tzinfo=UTC)

    def run(
        counter: Decided[int, Incremented, Increment], command: Increment
    ) -> tuple[Incremented, ...]:
        return counter.execute(command, occurred_at=then)

    bus = CommandBus(store)
    counters = Repository(store, Counting())
    bus.route(Increment, counters, id=lambda command: command.counter_id, run=run, create=True)
    await bus.send(Increment("c"))
    assert (await counters.history("c"))[0].occurred_at == then


async def test_a_function_carries_a_command_out(store: Store) -> None:
    """It loads and saves what it likes, all together."""
    accounts = Repository(store, Account)

    async def transfer(command: Transfer) -> str:
        source, target = Account(command.source), Account(command.target)
        source.deposit(command.cents)
        target.deposit(command.cents)
        await accounts.save_all(source, target)
        return "done"

    bus = CommandBus(store)
    bus.register(Transfer, transfer)
    assert await bus.send(Transfer("a", "b", 5), id="t-1") == "done"
    assert await bus.send(Transfer("a", "b", 5), id="t-1") is None
    assert await versions_of(store, "a", "b") == [1, 1]


async def test_an_unknown_command_is_refused(store: Store) -> None:
    """With the classes that are known."""
    bus = bus_of(store)
    with pytest.raises(InvalidInput, match=r"nothing is registered for Open.*\['Deposit'\]"):
        await bus.send(Open("a"))
    with pytest.raises(InvalidInput, match="give the class to route"):
        bus.target(Open("a"))


async def test_a_command_is_registered_once(store: Store) -> None:
    """Two of them would surprise whoever wrote the first."""
    bus = bus_of(store)

    async def handler(command: Deposit) -> None: ...

    with pytest.raises(InvalidInput, match="Deposit is registered already"):
        bus.register(Deposit, handler)
    with pytest.raises(InvalidInput, match="Deposit is registered already"):
        bus.route(Deposit, Repository(store, Account), id=lambda _: "a", run=deposit)


async def test_what_cannot_work_is_refused_when_it_is_registered(store: Store) -> None:
    """Before any command comes."""
    route = cast("Any", CommandBus(store).route)
    with pytest.raises(InvalidInput, match="Account is no decider: say run="):
        route(Deposit, Repository(store, Account), id=lambda command: command.account_id)
    other = Repository(connect("memory:"), Account)
    with pytest.raises(InvalidInput, match="another store"):
        route(Deposit, other, id=lambda command: command.account_id, run=deposit)
    with pytest.raises(InvalidInput, match="window=0:00:00"):
        CommandBus(store, window=timedelta())


async def test_a_command_may_not_be_async(store: Store) -> None:
    """It would be saved before it has decided."""

    async def run(account: Account, command: Deposit) -> None:
        account.deposit(command.cents)

    bus = bus_of(store, run=run)
    with pytest.raises(TypeError, match="awaitable"):
        await bus.send(TEN)
    target = bus.target(TEN)
    with pytest.raises(TypeError, match="awaitable"):
        target.run(await target.load())


async def test_a_target_is_run_without_a_save(store: Store) -> None:
    """For those who save it together with something else."""
    bus = bus_of(store)
    target = bus.target(TEN)
    account = await target.load()
    assert target.run(account) == 10
    assert account.pending == (Deposited(cents=10),)
    assert (target.aggregate_id, target.create) == ("a", True)
    assert await versions_of(store, "a") == [0]
    await target.repository.save(account)
    assert (await target.load()).version == 1


async def test_the_target_of_a_command_that_creates_nothing_must_be_there(store: Store) -> None:
    """As for `send`."""
    bus = CommandBus(store)
    accounts = Repository(store, Account)
    bus.route(Deposit, accounts, id=lambda command: command.account_id, run=deposit)
    with pytest.raises(AggregateNotFound):
        await bus.target(TEN).load()


async def test_a_command_with_an_id_is_carried_out_once(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Sent again, it gives None, and the log tells; another id is another command."""
    caplog.set_level(logging.INFO, "hitherto")
    bus = bus_of(store)
    assert await bus.send(TEN, id="c-1") == 10
    assert await bus.send(TEN, id="c-1") is None
    assert "command_repeated command='Deposit' id='c-1'" in caplog.messages
    assert await bus.send(TEN, id="c-2") == 20
    assert await bus_of(store).send(TEN, id="c-1") is None
    assert await versions_of(store, "a") == [2]


async def test_a_command_that_failed_is_carried_out_when_it_is_sent_again(store: Store) -> None:
    """What made it fail may have passed."""
    refusing = True

    def run(account: Account, command: Deposit) -> int:
        if refusing:
            raise InvalidAggregateState("closed")
        return account.deposit(command.cents)

    bus = bus_of(store, run=run)
    with pytest.raises(InvalidAggregateState):
        await bus.send(TEN, id="c-1")
    refusing = False
    assert await bus.send(TEN, id="c-1") == 10


async def test_a_command_that_decides_nothing_is_known_too(store: Store) -> None:
    """Though it appends nothing; later it might decide something."""
    decided: list[int] = []

    def run(account: Account, command: Deposit) -> str:
        decided.append(account.deposit(0))
        return "nothing"

    bus = bus_of(store, run=run)
    assert await bus.send(TEN, id="c-1") == "nothing"
    assert await bus.send(TEN, id="c-1") is None
    assert decided == [0]
    assert await store.watermark() == 0


async def test_senders_that_decide_nothing_at_once_all_get_their_result(store: Store) -> None:
    """Nothing was done twice, so there is nothing to hide."""
    both_are_in = asyncio.Barrier(2)

    async def handler(command: Open) -> str:
        await both_are_in.wait()
        return "nothing to do"

    bus = CommandBus(store)
    bus.register(Open, handler)
    results = await asyncio.gather(*(bus.send(Open("a"), id="c-1") for _ in range(2)))
    assert results == ["nothing to do"] * 2
    assert await bus.send(Open("a"), id="c-1") is None


async def test_of_many_senders_of_one_id_one_wins(store: Store) -> None:
    """Whether they are on one bus or on several, as in several processes."""
    buses = [bus_of(store) for _ in range(5)]
    sent = [bus.send(TEN, id="c-1") for bus in buses for _ in range(4)]
    results = await asyncio.gather(*sent)
    assert sorted(results, key=str) == [10] + [None] * 19
    assert await versions_of(store, "a") == [1]


async def test_a_sender_that_meets_what_the_other_did_is_a_repetition(store: Store) -> None:
    """It is refused by what the first one changed, which is no error of its own."""

    def once(account: Account, command: Deposit) -> int:
        if account.version:
            raise InvalidAggregateState("it was paid in already")
        return account.deposit(command.cents)

    first = bus_of(store, run=once)
    met: list[object] = []

    async def slow(command: Deposit) -> Any:
        met.append(await first.send(command, id="c-1"))
        return await first.target(command).repository.update("a", lambda a: once(a, command))

    second = CommandBus(store)
    second.register(Deposit, slow)
    assert await second.send(TEN, id="c-1") is None
    assert met == [10]
    with pytest.raises(InvalidAggregateState):
        await first.send(TEN, id="c-2")


async def test_conflicts_do_not_lose_the_id(store: Store) -> None:
    """The append that succeeds in the end keeps it."""
    accounts = Repository(store, Account)
    disturb = True

    def disturbed(account: Account, command: Deposit) -> int:
        nonlocal disturb
        if disturb:
            disturb = False
            account._version += 1  # as if another writer had been there
        return account.deposit(command.cents)

    await accounts.save(_opened("a"))
    bus = bus_of(store, run=disturbed)
    assert await bus.send(TEN, id="c-1") == 11
    assert not disturb
    assert await bus.send(TEN, id="c-1") is None


def _opened(id: str) -> Account:
    account = Account(id)
    account.deposit(1)
    return account


async def test_the_id_goes_with_the_first_save_of_a_function(store: Store) -> None:
    """What fails after it has been begun, and is told so."""
    accounts = Repository(store, Account)

    async def transfer(command: Transfer) -> None:
        await accounts.save(_opened(command.source))
        raise ZeroDivisionError

    bus = CommandBus(store)
    bus.register(Transfer, transfer)
    with pytest.raises(ZeroDivisionError):
        await bus.send(Transfer("a", "b", 1), id="t-1")
    assert await bus.send(Transfer("a", "b", 1), id="t-1") is None
    assert await versions_of(store, "a") == [1]


async def test_saves_of_a_function_at_once_keep_the_id_once(store: Store) -> None:
    """Either of them; the other is none that was handled before."""
    accounts = Repository(store, Account)

    async def transfer(command: Transfer) -> str:
        saves = [accounts.save(_opened(each)) for each in (command.source, command.target)]
        await asyncio.gather(*saves)
        return "done"

    bus = CommandBus(store)
    bus.register(Transfer, transfer)
    assert await bus.send(Transfer("a", "b", 1), id="t-1") == "done"
    assert await versions_of(store, "a", "b") == [1, 1]


async def test_a_task_that_outlives_its_command_does_not_keep_its_id(store: Store) -> None:
    """The command failed: it is to be sent again."""
    accounts = Repository(store, Account)
    go_on = asyncio.Event()
    tasks: list[asyncio.Task[Any]] = []

    async def later() -> None:
        await go_on.wait()
        await accounts.save(_opened("later"))

    async def transfer(command: Transfer) -> str:
        if not tasks:
            tasks.append(asyncio.create_task(later()))
            raise ZeroDivisionError
        return "done"

    bus = CommandBus(store)
    bus.register(Transfer, transfer)
    with pytest.raises(ZeroDivisionError):
        await bus.send(Transfer("a", "b", 1), id="t-1")
    go_on.set()
    await tasks[0]
    assert await bus.send(Transfer("a", "b", 1), id="t-1") == "done"


async def test_a_save_to_another_store_does_not_keep_the_id(store: Store) -> None:
    """It would be kept where the bus does not look."""
    async with connect("memory:") as other:
        elsewhere, here = Repository(other, Account), Repository(store, Account)

        async def transfer(command: Transfer) -> None:
            await elsewhere.save(_opened(command.source))
            await here.save(_opened(command.target))

        bus = CommandBus(store)
        bus.register(Transfer, transfer)
        await bus.send(Transfer("a", "b", 1), id="t-1")
        assert await other.backend.handled("commands", ["t-1"]) == set()
        assert list(await store.backend.handled("commands", ["t-1"])) == ["t-1"]


async def test_a_command_sent_by_another_keeps_its_own_id(store: Store) -> None:
    """Each is done once, also where the outer one is sent again after the inner one."""
    inner = bus_of(store)
    outer = CommandBus(store)
    failing = True

    async def transfer(command: Transfer) -> list[Any]:
        results = [
            await inner.send(Deposit(account_id=each, cents=command.cents), id=f"d-{each}")
            for each in (command.source, command.target)
        ]
        if failing:
            raise ZeroDivisionError
        return results

    outer.register(Transfer, transfer)
    with pytest.raises(ZeroDivisionError):
        await outer.send(Transfer("a", "b", 5), id="t-1")
    failing = False
    assert await outer.send(Transfer("a", "b", 5), id="t-1") == [None, None]
    assert await outer.send(Transfer("a", "b", 5), id="t-1") is None
    assert await versions_of(store, "a", "b") == [1, 1]


class Losing(MemoryStore):
    """Loses the answer to one append, which it has written."""

    def __init__(self) -> None:
        super().__init__()
        self.lost = 0

    async def append(
        self, appends: Sequence[Append], *, alongside: Alongside | None = None
    ) -> tuple[int, ...]:
        positions = await super().append(appends, alongside=alongside)
        if not self.lost:
            self.lost += 1
            raise EventStoreUnavailable("the connection was lost")
        return positions


async def test_a_command_whose_answer_was_lost_is_not_done_again() -> None:
    """Whoever sends it again learns that it is done."""
    store = Store(Losing())
    bus = bus_of(store)
    with pytest.raises(EventStoreUnavailable):
        await bus.send(TEN, id="c-1")
    assert await bus.send(TEN, id="c-1") is None
    assert await versions_of(store, "a") == [1]


@pytest.mark.parametrize("id", ["", "x" * 256, 7])
async def test_an_id_that_cannot_be_kept_is_refused(store: Store, id: Any) -> None:
    """Before anything is done."""
    with pytest.raises(InvalidInput, match="command id"):
        await bus_of(store).send(TEN, id=id)
    assert await versions_of(store, "a") == [0]


async def test_ids_older_than_the_window_are_forgotten(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Now and then, not after each command."""
    now = datetime.now(UTC)
    monkeypatch.setattr("hitherto.application.commands.utc_now", lambda: now)
    ticks = 1000.0
    monkeypatch.setattr("hitherto.application.commands.time.monotonic", lambda: ticks)
    bus = bus_of(store, window=timedelta(hours=2))
    await bus.send(TEN, id="c-1")
    now += timedelta(hours=3)
    await bus.send(TEN, id="c-2")
    assert await bus.send(TEN, id="c-1") is None
    ticks += 3600
    await bus.send(TEN, id="c-3")
    assert await bus.send(TEN, id="c-1") == 40
    now -= timedelta(hours=3)
    ticks += 3600
    await bus.send(TEN, id="c-4")
    assert await bus.send(TEN, id="c-4") is None


async def test_a_command_is_done_though_old_ids_are_not_forgotten(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log tells."""

    async def unreachable(*_: Any, **__: Any) -> int:
        raise EventStoreUnavailable("the connection was cut")

    async with connect("memory:") as store:
        monkeypatch.setattr(store.backend, "forget_handled", unreachable)
        assert await bus_of(store).send(TEN, id="c-1") == 10
    assert "commands_not_forgotten error='the connection was cut'" in caplog.messages


@pytest.mark.parametrize(
    ("given", "context", "id", "expected"),
    [
        (None, {}, "c-1", Metadata(causation_id="c-1", correlation_id="c-1")),
        (None, {}, None, Metadata()),
        (
            None,
            {"correlation_id": "request", "causation_id": "page", "actor": "ada"},
            "c-1",
            Metadata(causation_id="c-1", correlation_id="request", actor="ada"),
        ),
        (
            Metadata(causation_id="mine", correlation_id="own", extra={"tenant": 7}),
            {"correlation_id": "request"},
            "c-1",
            Metadata(causation_id="mine", correlation_id="own", extra={"tenant": 7}),
        ),
    ],
)
async def test_events_tell_by_which_command_they_were_caused(
    store: Store,
    given: Metadata | None,
    context: dict[str, str],
    id: str | None,
    expected: Metadata,
) -> None:
    """And to which conversation they belong: one that is under way, or one that begins."""
    with metadata_context(**cast("Any", context)):
        await bus_of(store).send(TEN, id=id, metadata=given)
    (recorded,) = await Repository(store, Account).history("a")
    assert recorded.metadata == expected


async def test_middleware_stands_around_in_the_order_given(store: Store) -> None:
    """It may give another command or another result, and let nothing pass."""
    told: list[str] = []

    async def outer(command: Any, next: Next) -> Any:
        told.append("outer")
        return f"<{await next(msgspec.structs.replace(command, cents=7))}>"

    async def inner(command: Any, next: Next) -> Any:
        told.append(f"inner {command.cents}")
        return await next(command)

    assert await bus_of(store, outer, inner).send(TEN) == "<7>"
    assert told == ["outer", "inner 7"]


class Weighed(msgspec.Struct, frozen=True, kw_only=True):
    grams: Annotated[int, msgspec.Meta(ge=1)] = 1
    on: date = date(2009, 1, 3)
    tags: tuple[str, ...] = ()

    def validate(self) -> None:
        if self.grams == 13:
            raise InvalidInput("13 grams: nobody believes that")


class Plain:
    def __init__(self, grams: Any) -> None:
        self.grams = grams


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (Weighed(grams=cast("Any", "1")), r"Weighed: Expected `int`, got `str` - at `\$.grams`"),
        (Weighed(grams=0), r"Weighed: Expected `int` >= 1 - at `\$.grams`"),
        (Weighed(on=cast("Any", "2009-01-03")), r"Expected `date`, got `str` - at `\$.on`"),
        (Weighed(tags=cast("Any", (1,))), r"Expected `str`, got `int` - at `\$.tags\[0\]`"),
        (Weighed(grams=cast("Any", object())), "Weighed: Encoding objects of type object"),
        (Weighed(grams=13), "13 grams"),
        (Transfer("a", "b", cast("Any", "5")), r"Transfer: Expected `int`.* - at `\$.cents`"),
    ],
)
async def test_a_command_with_a_wrong_field_is_refused(command: Any, complaint: str) -> None:
    """Python lets it be made; it names the class and the field."""
    passed: list[object] = []

    async def carry_out(command: object) -> None:
        passed.append(command)

    with pytest.raises(InvalidInput, match=complaint):
        await validate_commands(command, carry_out)
    assert not passed


@pytest.mark.parametrize(
    "command", [Weighed(tags=("x",)), Transfer("a", "b", 5), Plain(1), Plain("one")]
)
async def test_a_command_that_is_as_its_class_says_passes(command: object) -> None:
    """The very same one; of a class without declared fields nothing is known."""

    async def carry_out(command: object) -> object:
        return command

    assert await validate_commands(command, carry_out) is command


async def test_the_log_tells_how_commands_ended_and_no_payload(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """By the name of their class."""
    caplog.set_level(logging.INFO, "hitherto")
    bus = bus_of(store, log_commands(store))
    await bus.send(TEN)
    with pytest.raises(InvalidAggregateState):
        await bus.send(Deposit(account_id="secret", cents=-1))
    done, failed = (cast("Any", record) for record in caplog.records)
    assert (done.levelname, done.event, done.command) == ("INFO", "command_done", "Deposit")
    assert done.seconds > 0
    assert (failed.levelname, failed.event) == ("WARNING", "command_failed")
    assert failed.error == "InvalidAggregateState"
    assert "secret" not in caplog.text


async def test_the_instrumentation_is_told_of_commands() -> None:
    """By the name of their class."""
    told: list[str] = []

    class Telling(Instrumentation):
        def command(self, name: str) -> AbstractContextManager[object]:
            told.append(name)
            return nullcontext()

    async with connect("memory:", instrumentation=Telling()) as store:
        assert await bus_of(store, measure_commands(store)).send(TEN) == 10
    assert told == ["Deposit"]
