"""What the public API is typed as; never run, but checked by mypy and pyright."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, Self, assert_type

from hitherto import (
    Aggregate,
    Decided,
    Decider,
    Event,
    Health,
    Metadata,
    RecordedEvent,
    Repository,
    Store,
    connect,
    sync,
)


class Opened(Event):
    owner: str
    limit: int = 0


class Closed(Event, type="account-closed", schema=2):
    reasons: tuple[str, ...] = ()


AccountEvent = Opened | Closed


class Account(Aggregate[AccountEvent], type="account", snapshot_version=2):
    owner: str = ""
    reasons: list[str] = []  # noqa: RUF012  # copied for each instance

    @classmethod
    def open(cls, account_id: str, owner: str) -> Self:
        account = cls(account_id)
        account.record(Opened(owner=owner))
        return account

    def close(self, reason: str) -> int:
        self.record(Closed(reasons=(reason,)))
        return len(self.reasons)

    def apply(self, event: AccountEvent) -> None:
        match event:
            case Opened(owner=owner):
                self.owner = owner
            case Closed(reasons=reasons):
                self.reasons.extend(reasons)


class Incremented(Event):
    by: int


class Reset(Event):
    pass


class Counting(Decider[int, Incremented | Reset, int], type="Counter"):
    initial = 0

    def decide(self, state: int, command: int) -> list[Incremented | Reset]:
        return [Incremented(by=command)] if command else [Reset()]

    def evolve(self, state: int, event: Incremented | Reset) -> int:
        match event:
            case Incremented(by=by):
                return state + by
            case Reset():
                return 0


CounterState = Decided[int, Incremented | Reset, int]


def events_are_structs() -> None:
    opened = Opened(owner="Ada")
    assert_type(opened.owner, str)
    assert_type(opened.limit, int)
    assert_type(Opened.__event_type__, str)


def an_aggregate_knows_its_events(account: Account) -> None:
    assert_type(Account.open("a-1", "Ada"), Account)
    assert_type(account.id, str)
    assert_type(account.version, int)
    assert_type(account.pending, tuple[Opened | Closed, ...])


async def a_repository_knows_its_aggregate() -> None:
    async with connect("memory:") as store:
        assert_type(store, Store)
        accounts = Repository(store, Account, snapshot_every=50)
        assert_type(accounts, Repository[Account])
        account = await accounts.load("a-1")
        assert_type(account, Account)
        assert_type(await accounts.load("a-1", version=2), Account)
        assert_type(await accounts.load_many(["a-1"]), dict[str, Account])
        assert_type(await accounts.save(account, metadata=Metadata(actor="Ada")), int | None)
        assert_type(await accounts.save_all(account), tuple[int | None, ...])
        assert_type(await accounts.exists("a-1"), bool)
        assert_type(await accounts.snapshot(account), bool)
        assert_type(await accounts.health_check(), Health)


async def an_update_gives_what_its_command_gives(accounts: Repository[Account]) -> None:
    assert_type(await accounts.update("a-1", lambda account: account.close("left")), int)
    assert_type(await accounts.update("a-1", lambda account: account.owner), str)

    def command(account: Account) -> None:
        account.close("left")

    await accounts.update("a-1", command)


def a_policy_knows_the_aggregate(store: Store) -> None:
    def due(account: Account, events: object) -> bool:
        return bool(account.reasons)

    assert_type(Repository(store, Account, snapshot_when=due), Repository[Account])
    assert_type(Repository(store, Account).within(store), Repository[Account])
    assert_type(store.within(store), Store)


async def a_decider_is_an_aggregate_too(store: Store) -> None:
    counters = Repository(store, Counting())
    assert_type(counters, Repository[CounterState])
    counter = await counters.load("c-1")
    assert_type(counter, CounterState)
    assert_type(counter.state, int)
    assert_type(counter.execute(2), tuple[Incremented | Reset, ...])
    executed = await counters.update("c-1", lambda counter: counter.execute(0))
    assert_type(executed, tuple[Incremented | Reset, ...])


async def the_log_is_read(store: Store, accounts: Repository[Account]) -> None:
    assert_type(await accounts.history("a-1"), list[RecordedEvent[Any]])
    assert_type(await store.read("a-1", limit=1), list[RecordedEvent[Event]])
    log = store.read_all(after=2, event_types=["Opened"])
    assert_type(log, AsyncIterator[RecordedEvent[Event]])
    async for recorded in log:
        assert_type(recorded.metadata, Metadata)
    assert_type(await store.watermark(), int)


def the_sync_face_is_typed_alike() -> None:
    with sync.connect("memory:", snapshot_threshold=10) as store:
        assert_type(store, sync.Store)
        accounts = sync.Repository(store, Account, snapshot_every=None)
        assert_type(accounts, sync.Repository[Account])
        account = accounts.load("a-1")
        assert_type(account, Account)
        assert_type(accounts.load_many(["a-1"]), dict[str, Account])
        assert_type(accounts.save(account), int | None)
        assert_type(accounts.save_all(account), tuple[int | None, ...])
        assert_type(accounts.update("a-1", lambda account: account.close("left")), int)
        assert_type(accounts.history("a-1"), list[RecordedEvent[Any]])
        assert_type(accounts.snapshot(account), bool)
        assert_type(accounts.exists("a-1"), bool)
        assert_type(accounts.health_check(), Health)
        assert_type(store.read("a-1"), list[RecordedEvent[Event]])
        assert_type(store.read_all(), Iterator[RecordedEvent[Event]])
        assert_type(store.watermark(), int)
        counters = sync.Repository(store, Counting())
        assert_type(counters.load("c-1"), CounterState)
        assert_type(sync.Event, type[Event])


class Owners(sync.Documents[str, AccountEvent]):
    def evolve(self, document: str | None, recorded: RecordedEvent[AccountEvent]) -> str | None:
        return recorded.event.owner if isinstance(recorded.event, Opened) else document


def the_sync_face_follows_the_log(store: sync.Store, accounts: sync.Repository[Account]) -> None:
    with store.subscribe([Opened], after=2) as events:
        assert_type(events, sync.Subscription)
        for recorded in events:
            assert_type(recorded, RecordedEvent[Event])
    worker = sync.ProjectionWorker(store, Owners(), spread=True)
    worker.catch_up()
    store.wait_for(Owners)
    assert_type(store.documents(Owners), sync.DocumentReader[str])
    assert_type(store.documents(Owners).get("a-1"), str | None)
    assert_type(store.documents(Owners).find(limit=3), dict[str, str])
    assert_type(sync.live(store, Owners()), Owners)
    bus = sync.CommandBus(store, sync.log_commands(store), sync.validate_commands)
    bus.register(str, accounts.load)
    bus.route(int, accounts, id=str, run=lambda account, _: account.close("left"))
    bus.route(float, sync.Repository(store, Counting()), id=str)
    bus.send("a-1", id="once")
