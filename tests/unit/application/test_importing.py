"""A history into a store: encoded, cut into chunks, told of, and taken up again."""

from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from tests.unit.domain.account import Account, Deposited, Opened

from hitherto import (
    Aggregate,
    AggregateVersionConflict,
    Event,
    EventSerializationFailed,
    EventStoreUnavailable,
    Imported,
    InvalidInput,
    Metadata,
    PastEvent,
    Personal,
    Repository,
    Store,
    connect,
    sync,
)
from hitherto.application import importing
from hitherto.testing.probe import Probe

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)


def history(aggregate_id: str, count: int, *, since: int = 1) -> Iterator[PastEvent[Any]]:
    """An account that was opened, then paid into."""
    for version in range(since, count + 1):
        event = Opened(owner="ann") if version == 1 else Deposited(amount=Decimal(version))
        yield past(aggregate_id, version, event)


def past(aggregate_id: str, version: int, event: Any) -> PastEvent[Any]:
    return PastEvent(
        event=event,
        aggregate_id=aggregate_id,
        aggregate_type="Account",
        version=version,
        occurred_at=NOON + timedelta(hours=version),
    )


@pytest.fixture
def store() -> Store:
    """A store in memory whose accounts are known."""
    store = connect("memory:")
    Repository(store, Account)
    return store


async def test_what_was_imported_is_loaded_as_if_it_had_been_saved(store: Store) -> None:
    """The aggregate, its history and its times."""
    assert await store.import_events(history("a", 3)) == Imported(written=3)
    accounts = Repository(store, Account)
    account = await accounts.load("a")
    assert (account.version, account.balance) == (3, Decimal(5))
    recorded = await accounts.history("a")
    assert [each.occurred_at for each in recorded] == [
        NOON + timedelta(hours=version) for version in (1, 2, 3)
    ]
    await accounts.update("a", lambda account: account.deposit(1))
    assert (await accounts.load("a")).version == 4


async def test_an_import_that_is_run_again_stores_nothing_twice(store: Store) -> None:
    """Events without an id get one that is theirs each time."""
    await store.import_events(history("a", 2))
    assert await store.import_events(history("a", 5)) == Imported(written=3, skipped=2)


class Sent(Event):
    numbers: frozenset[int]
    nested: tuple[frozenset[int], ...] = ()
    names: Personal[frozenset[int] | None] = None


class Parcel(Aggregate[Sent]):
    def apply(self, event: Sent) -> None:
        """Nothing is kept."""


async def test_a_set_is_the_same_in_whatever_order_a_process_gives_it(store: Store) -> None:
    """It depends on how it was made, and for texts on the process."""
    one, other = frozenset([0, 8]), frozenset([8, 0])
    assert one == other
    assert list(one) != list(other)
    Repository(store, Parcel)

    def told(first: frozenset[int], second: frozenset[int]) -> list[PastEvent[Any]]:
        event = Sent(numbers=first, nested=(second, frozenset({1})), names=first)
        return [
            PastEvent(
                event=event, aggregate_id="p", aggregate_type="Parcel", version=1, occurred_at=NOON
            )
        ]

    await store.import_events(told(one, other))
    assert await store.import_events(told(other, one)) == Imported(written=0, skipped=1)
    with pytest.raises(AggregateVersionConflict):
        await store.import_events(told(frozenset([0, 9]), one))


async def test_derived_ids_are_in_form_of_version_7_and_in_order_of_time(store: Store) -> None:
    """So that they keep the index dense; each tells its time."""
    early = PastEvent(
        event=Opened(owner="ann"), aggregate_id="b", aggregate_type="Account", version=1,
        occurred_at=datetime(1960, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    await store.import_events([early, *history("a", 20)])
    ids = [event.event_id async for event in store.read_all()]
    assert len(set(ids)) == 21
    assert all(each.version == 7 and each.variant == "specified in RFC 4122" for each in ids)
    assert ids == sorted(ids)
    assert ids[1].int >> 80 == (NOON + timedelta(hours=1)).timestamp() * 1000


async def test_an_id_tells_nothing_about_a_person() -> None:
    """Whoever guesses a value cannot see by the id that it is right."""

    class Joined(Event):
        phone: Personal[str]
        town: str

    class Member(Aggregate[Joined]):
        def apply(self, event: Joined) -> None:
            """It has no state."""

    async def id_of(phone: str, town: str) -> UUID:
        store = connect("memory:")
        members = Repository(store, Member)
        told = PastEvent(
            event=Joined(phone=phone, town=town), aggregate_id="m", aggregate_type="Member",
            version=1, occurred_at=NOON,
        )  # fmt: skip
        await store.import_events([told])
        return (await members.history("m"))[0].event_id

    first = await id_of("+44 20 7946 0001", "London")
    assert await id_of("+44 20 7946 0002", "London") == first
    assert await id_of("+44 20 7946 0001", "Paris") != first


@pytest.mark.parametrize(
    "change",
    [
        {"event": Deposited(amount=Decimal(9))},
        {"occurred_at": NOON},
        {"event_id": UUID(int=1)},
    ],
)
async def test_another_history_under_the_same_versions_is_refused(
    store: Store, change: dict[str, Any]
) -> None:
    """What it tells differs from what is stored."""
    await store.import_events(history("a", 2))
    first, second = history("a", 2)
    fields = {name: getattr(second, name) for name in second.__struct_fields__}
    with pytest.raises(AggregateVersionConflict):
        await store.import_events([first, PastEvent(**{**fields, **change})])


async def test_the_moment_counts_not_the_zone_it_is_told_in(store: Store) -> None:
    """The same history, told by a clock elsewhere."""
    await store.import_events(history("a", 1))
    (told,) = history("a", 1)
    elsewhere = told.occurred_at.astimezone(timezone(timedelta(hours=5)))
    again = PastEvent(
        event=told.event, aggregate_id="a", aggregate_type="Account", version=1,
        occurred_at=elsewhere,
    )  # fmt: skip
    assert await store.import_events([again]) == Imported(skipped=1)


async def test_another_stores_log_is_a_history(store: Store) -> None:
    """Ids, times, metadata and order come along."""
    first = PastEvent(
        event=Opened(owner="ann"), aggregate_id="a", aggregate_type="Account", version=1,
        occurred_at=NOON, event_id=UUID(int=7), metadata=Metadata(actor="bob"),
    )  # fmt: skip
    await store.import_events([*history("b", 2), first])
    other = connect("memory:")
    Repository(other, Account)
    assert await other.import_events(store.read_all()) == Imported(written=3)
    copied = [event async for event in other.read_all()]
    original = [event async for event in store.read_all()]
    assert [(e.event_id, e.occurred_at, e.metadata) for e in copied] == [
        (e.event_id, e.occurred_at, e.metadata) for e in original
    ]


async def test_progress_is_told_after_each_chunk(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks have a bounded number of events, and of bytes."""
    monkeypatch.setattr(importing, "CHUNK", 10)
    told: list[Imported] = []
    await store.import_events(history("a", 25), progress=told.append)
    assert told == [Imported(written=10), Imported(written=20), Imported(written=25)]
    monkeypatch.setattr(importing, "_CHUNK_BYTES", 1)
    told.clear()
    await store.import_events(history("b", 3), progress=told.append)
    assert told == [Imported(written=1), Imported(written=2), Imported(written=3)]


async def test_an_empty_history_is_imported_at_once(store: Store) -> None:
    """There is nothing to tell of."""
    assert await store.import_events([]) == Imported()


async def test_nothing_is_read_ahead_beyond_the_chunk_that_waits(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the history, memory is bounded."""
    monkeypatch.setattr(importing, "CHUNK", 10)
    read = 0

    def counted(events: Iterable[PastEvent[Any]]) -> Iterator[PastEvent[Any]]:
        nonlocal read
        for event in events:
            read += 1
            yield event

    def check(done: Imported) -> None:
        assert read - done.written <= 20

    await store.import_events(counted(history("a", 100)), progress=check)


async def test_an_error_in_the_middle_leaves_whole_chunks(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later run goes on behind them."""
    monkeypatch.setattr(importing, "CHUNK", 10)

    async def broken() -> AsyncIterator[PastEvent[Any]]:
        for event in history("a", 25):
            if event.version == 25:
                raise OSError("the file ends")
            yield event

    with pytest.raises(OSError, match="the file ends"):
        await store.import_events(broken())
    stored = await store.read("a")
    assert len(stored) in {10, 20}
    done = await store.import_events(history("a", 25))
    assert done == Imported(written=25 - len(stored), skipped=len(stored))


async def test_an_outage_ends_the_import(store: Store) -> None:
    """Its own error is raised, of whichever chunk it was."""
    probe = Probe(store.backend)
    probe.broken = {"import_events"}
    store.backend = probe
    with pytest.raises(EventStoreUnavailable):
        await store.import_events(history("a", 3))


@pytest.mark.parametrize(
    ("told", "error", "match"),
    [
        (past("", 1, Opened(owner="a")), InvalidInput, "aggregate id is empty"),
        (past("a", 0, Opened(owner="a")), InvalidInput, "version 0 of 'a'"),
        (past("a", 1, "text"), InvalidInput, "str is not an event of Account"),
        (past("a", 1, Deposited(amount="x")), EventSerializationFailed, "Deposited"),  # type: ignore[arg-type]
        (
            PastEvent(
                event=Opened(owner="a"), aggregate_id="a", aggregate_type="Account", version=1,
                occurred_at=NOON.replace(tzinfo=None),
            ),
            InvalidInput, "has no time zone",
        ),
        (
            PastEvent(
                event=Opened(owner="a"), aggregate_id="a", aggregate_type="Car", version=1,
                occurred_at=NOON,
            ),
            EventSerializationFailed, "version 1 of 'a' is of the aggregate type 'Car'",
        ),
    ],
)  # fmt: skip
async def test_bad_input_is_refused_before_any_io(
    store: Store, told: PastEvent[Any], error: type[Exception], match: str
) -> None:
    """The aggregate or the value is named."""
    probe = Probe(store.backend)
    store.backend = probe
    with pytest.raises(error, match=match):
        await store.import_events([told])
    assert probe.calls == []


def test_without_async_the_history_is_read_in_the_callers_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And progress is told there."""
    monkeypatch.setattr("hitherto.sync.store.CHUNK", 10)
    told: list[Imported] = []
    with sync.connect("memory:") as store:
        accounts = sync.Repository(store, Account)

        def reading() -> Iterator[PastEvent[Any]]:
            assert not accounts.exists("nobody")  # would deadlock on the loop's own thread
            yield from history("a", 25)

        assert store.import_events(reading(), progress=told.append) == Imported(written=25)
        assert accounts.load("a").version == 25
    assert [each.written for each in told] == [10, 20, 25]
