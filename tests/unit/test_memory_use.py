"""What events and aggregates weigh, and what streaming leaves behind: counted, not timed."""

import gc
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from examples.users import User, UserCreated, UserRenamed

from hitherto import Event, PastEvent, Repository, Store, connect
from hitherto.application import importing
from hitherto.examples.traffic_fines import Fine, FineCreated, PaymentReceived

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
MANY = 40_000


def payments(count: int, fine: str = "fine-1") -> Iterator[PastEvent[Any]]:
    """A fine that is paid in very many instalments."""
    for version in range(1, count + 1):
        at = NOON + timedelta(minutes=version)
        paid = Decimal(version) / 100
        event: Event = PaymentReceived(at=at, amount=Decimal("0.01"), total_paid=paid)
        if version == 1:
            event = FineCreated(
                at=at, amount=Decimal(1000), resource="561", dismissal="NIL", vehicle_class="A",
                total_paid=Decimal(0), article=157, points=0,
            )  # fmt: skip
        yield PastEvent(
            event=event, aggregate_id=fine, aggregate_type="Fine", version=version, occurred_at=at
        )


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with many events is made once."""
    return tmp_path_factory.mktemp("memory") / "many.db"


@pytest.fixture
async def store(file: Path) -> AsyncIterator[Store]:
    """That store, open."""
    async with connect(f"sqlite:///{file}") as store:
        Repository(store, Fine)
        if not await store.watermark():
            await store.import_events(payments(MANY))
        yield store


def held_by(make: Callable[[], list[Any]]) -> float:
    """Bytes that each of the things made holds on to."""
    make()  # so that caches are filled
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        made = make()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (after - before) / len(made)


def decoded(decode: Callable[[str], Any], text: str) -> list[Any]:
    return [decode(text) for _ in range(5000)]


@pytest.mark.parametrize(
    "events",
    [
        [past.event for past in payments(2)],
        [UserCreated(email="john@example.com", name="John Doe"), UserRenamed(name="Jack")],
    ],
)
def test_a_decoded_event_weighs_at_most_512_bytes(events: list[Event]) -> None:
    """The fines' and the users', each with all its fields."""
    codec = connect("memory:").codec
    for event in events:
        text, decode = codec.encode(event), codec.decoder(type(event))
        assert held_by(partial(decoded, decode, text)) <= 512


async def test_a_loaded_aggregate_weighs_at_most_10_kilobytes() -> None:
    """However it was loaded, of its events nothing is kept."""
    async with connect("memory:") as store:
        fines, users = Repository(store, Fine), Repository(store, User)
        await store.import_events(payments(1000))
        user = User.create("user-1", "john@example.com", "John Doe")
        await users.save(user)
        for repository, each in ((fines, "fine-1"), (users, "user-1")):
            await repository.load(each)
            gc.collect()
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            loaded = [await repository.load(each) for _ in range(50)]
            after, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert (after - before) / len(loaded) <= 10_000


async def test_events_are_no_work_for_the_garbage_collector(store: Store) -> None:
    """They cannot be part of a cycle, so they are not tracked."""
    async for recorded in store.read_all():
        assert not gc.is_tracked(recorded)
        assert not gc.is_tracked(recorded.event)
        break


async def test_streaming_starts_no_full_collection(store: Store) -> None:
    """However many events pass by."""
    gc.collect()
    before = gc.get_stats()[2]["collections"]
    count = 0
    async for _ in store.read_all():
        count += 1
    assert count == MANY
    assert gc.get_stats()[2]["collections"] == before


async def test_streaming_needs_no_more_memory_for_more_events(store: Store) -> None:
    """A page, and the one that is read ahead."""
    tracemalloc.start()
    try:
        peaks: list[int] = []
        count = 0
        async for _ in store.read_all():
            count += 1
            if count % 10_000 == 0:
                peaks.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.reset_peak()
    finally:
        tracemalloc.stop()
    assert max(peaks[2:]) < 1.5 * peaks[1] < 10_000_000


async def test_importing_needs_no_more_memory_for_more_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk, and the one that is written meanwhile: however these two fall, not all of them."""
    monkeypatch.setattr(importing, "CHUNK", 500)
    async with connect(f"sqlite:///{tmp_path / 'events.db'}") as store:
        Repository(store, Fine)
        await store.import_events(payments(1000, "fine-0"))  # so that caches are filled
        tracemalloc.start()
        try:
            await store.import_events(payments(20_000))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 2_000_000
