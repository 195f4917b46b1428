"""Bad input is refused before any I/O, with the same errors on every store."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from hitherto.application.codec import JsonCodec
from hitherto.application.store import Store
from hitherto.domain.aggregate import Aggregate
from hitherto.domain.event import Event
from hitherto.domain.metadata import Metadata
from hitherto.errors import (
    AggregateIDMismatch,
    EventSerializationFailed,
    HithertoError,
    InvalidInput,
)
from hitherto.testing.probe import Probe
from hitherto.testing.repository_contract.base import RepositoryTests
from hitherto.testing.repository_contract.domain import Account, Collector, Person, Registered
from hitherto.testing.repository_contract.loading import EVERYTHING


def nested(levels: int) -> Any:
    """A list, in a list, in a list, and so on."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


class Noted(Event):
    """An event that can hold anything."""

    value: Any


class Note(Aggregate[Noted]):
    """An aggregate that keeps nothing."""

    def apply(self, event: Noted) -> None:
        """Forget it."""


class Unknown:
    """A class that no codec knows."""


BAD_IDS: dict[str, Any] = {
    "empty": "",
    "too long": "x" * 256,
    "NUL": "a\0b",
    "lone surrogate": "a\ud800b",
    "no text": 7,
    "none": None,
}
BAD_VALUES: dict[str, Any] = {
    "NUL": "a\0b",
    "NUL in a key": {"a\0b": 1},
    "lone surrogate": "a\udfffb",
    "lone surrogate in a key": {"a\ud800": 1},
    "NaN": float("nan"),
    "infinity": [float("inf")],
    "negative infinity": {"a": float("-inf")},
    "decimal NaN": Decimal("NaN"),
    "signalling NaN": Decimal("sNaN"),
    "decimal infinity": Decimal("Infinity"),
    "naive datetime": datetime(2024, 1, 1),
    "too deep": nested(70),
    "far too deep": nested(100_000),
    "too large": "x" * (1024 * 1024),
    "an unknown class": Unknown(),
    "a tuple where a list comes back": (1, 2),
    "a set where a list comes back": {1},
    "a number as a key where text comes back": {1: 2},
    "a decimal where text comes back": Decimal("1.5"),
}
CHANGED = {name for name in BAD_VALUES if "comes back" in name}
BAD_CHANGES: dict[str, dict[str, Any]] = {
    "text": {"text": 5},
    "text with NUL": {"text": "\0"},
    "whole": {"whole": 1.5},
    "whole NaN": {"whole": float("nan")},
    "fraction": {"fraction": "x"},
    "fraction NaN": {"fraction": float("nan")},
    "exact": {"exact": Decimal("-Infinity")},
    "exact float": {"exact": 0.1},
    "flag": {"flag": 1},
    "blob": {"blob": "text"},
    "key": {"key": "text"},
    "moment": {"moment": datetime(2024, 1, 1)},
    "day": {"day": datetime(2024, 1, 1)},
    "mood": {"mood": "angry"},
    "maybe": {"maybe": float("nan")},
    "several": {"several": ["1"]},
    "unique": {"unique": frozenset({1})},
    "named": {"named": {"a": "b"}},
    "entry": {"entry": None},
    "missing": {"text": msgspec.UNSET},
}


class BadInputContract(RepositoryTests):
    """Nothing reaches the backend."""

    @pytest.mark.parametrize("bad", BAD_IDS.values(), ids=BAD_IDS)
    async def test_a_bad_id_is_refused(self, store: Store, probe: Probe, bad: Any) -> None:
        """By every method that takes one, and by the aggregate itself."""
        accounts = self.make_repository(store, Account)
        with pytest.raises(InvalidInput, match="aggregate id"):
            Account(bad)
        calls: tuple[Callable[[Any], Awaitable[object]], ...] = (
            accounts.load,
            accounts.exists,
            accounts.history,
            store.read,
            lambda bad: accounts.load(bad, 1),
            lambda bad: accounts.load_many(["a-1", bad]),
            lambda bad: accounts.update(bad, lambda account: account.deposit(1)),
        )
        for call in calls:
            with pytest.raises(InvalidInput, match="aggregate id"):
                await call(bad)
        assert probe.calls == []

    async def test_one_id_is_no_list_of_ids(self, store: Store, probe: Probe) -> None:
        """Its letters are not looked for."""
        with pytest.raises(InvalidInput, match=r"\['a-1'\]"):
            await self.make_repository(store, Account).load_many("a-1")
        assert probe.calls == []

    @pytest.mark.parametrize("bad", BAD_VALUES.values(), ids=BAD_VALUES)
    async def test_a_bad_value_in_an_event_is_refused(
        self, store: Store, probe: Probe, bad: Any
    ) -> None:
        """The event stays pending; nothing of the aggregate is stored."""
        notes = self.make_repository(store, Note)
        note = Note("n-1")
        note.record(Noted(value="good"))
        note.record(Noted(value=bad))
        with pytest.raises(EventSerializationFailed, match="Noted"):
            await notes.save(note)
        assert (note.version, len(note.pending)) == (0, 2)
        assert probe.calls == []

    @pytest.mark.parametrize("changes", BAD_CHANGES.values(), ids=BAD_CHANGES)
    async def test_a_value_of_another_type_is_refused(
        self, store: Store, probe: Probe, changes: dict[str, Any]
    ) -> None:
        """An event that is stored can be read again, unchanged."""

        class Loose(Collector, type="Collector"):
            def apply(self, event: Any) -> None:
                pass

        collectors = self.make_repository(store, Loose)
        collector = Loose("c-1")
        collector.record(msgspec.structs.replace(EVERYTHING, **changes))
        with pytest.raises(EventSerializationFailed, match="Everything"):
            await collectors.save(collector)
        assert probe.calls == []

    @pytest.mark.parametrize(
        "bad",
        [value for name, value in BAD_VALUES.items() if name not in CHANGED],
        ids=[name for name in BAD_VALUES if name not in CHANGED],
    )
    async def test_a_bad_value_in_metadata_is_refused(
        self, store: Store, probe: Probe, bad: Any
    ) -> None:
        """As in an event."""
        accounts = self.make_repository(store, Account)
        account = Account.open("a-1")
        with pytest.raises(HithertoError):
            await accounts.save(account, metadata=Metadata(extra={"key": bad}))
        assert len(account.pending) == 1
        assert probe.calls == []

    async def test_a_value_at_the_limits_is_stored(self, store: Store) -> None:
        """Sixty levels, nearly a mebibyte, and integers of any length."""
        notes = self.make_repository(store, Note)
        for number, value in enumerate((nested(60), "x" * (1024 * 1024 - 20), 2**64, -(2**70) - 1)):
            note = Note(f"n-{number}")
            note.record(Noted(value=value))
            await notes.save(note)
            (recorded,) = await notes.history(note.id)
            assert recorded.event == Noted(value=value)

    async def test_the_limit_can_be_set(self, probe: Probe) -> None:
        """By the codec."""
        async with self.open_store(probe, codec=JsonCodec(max_payload=50)) as store:
            notes = self.make_repository(store, Note)
            note = Note("n-1")
            note.record(Noted(value="x" * 50))
            with pytest.raises(EventSerializationFailed, match="at most 50"):
                await notes.save(note)
            assert probe.calls == []

    async def test_one_bad_aggregate_stops_the_others(self, store: Store, probe: Probe) -> None:
        """Nothing of save_all is stored."""
        notes = self.make_repository(store, Note)
        good, bad = Note("n-1"), Note("n-2")
        good.record(Noted(value=1))
        bad.record(Noted(value="\0"))
        with pytest.raises(EventSerializationFailed):
            await notes.save_all(good, bad)
        assert probe.calls == []

    async def test_an_event_outside_the_union_is_refused(self) -> None:
        """By record, which names the union."""
        account: Any = Account("a-1")
        for stranger in (Registered(name="Bob"), "text", None):
            with pytest.raises(InvalidInput, match="not an event of Account"):
                account.record(stranger)
        assert account.pending == ()

    async def test_a_time_without_a_zone_is_refused(self) -> None:
        """By record."""
        note = Note("n-1")
        with pytest.raises(InvalidInput, match="time zone"):
            note.record(Noted(value=1), occurred_at=datetime(2024, 1, 1))
        assert note.pending == ()

    async def test_a_clock_without_a_zone_is_refused(self, probe: Probe) -> None:
        """It could be any place's time."""
        clock: Callable[[], datetime] = lambda: datetime(2024, 1, 1)  # noqa: E731
        async with self.open_store(probe, clock=clock) as store:
            with pytest.raises(InvalidInput, match="time zone"):
                await self.make_repository(store, Account).save(Account.open("a-1"))
        assert probe.calls == []

    async def test_an_aggregate_of_another_type_is_refused(
        self, store: Store, probe: Probe
    ) -> None:
        """By save and by snapshot."""
        people: Any = self.make_repository(store, Person)
        for call in (people.save, people.snapshot):
            with pytest.raises(AggregateIDMismatch, match="Person"):
                await call(Account.open("a-1"))
        assert probe.calls == []

    async def test_a_repository_is_of_a_kind_of_aggregate(self, store: Store) -> None:
        """Of a class that names its events, or of a decider's instance."""
        strangers: tuple[Any, ...] = (Aggregate, Unknown, "Account", Account.open)
        for bad in strangers:
            with pytest.raises(InvalidInput, match="neither an aggregate class"):
                self.make_repository(store, bad)
