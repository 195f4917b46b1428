"""The store's defaults, and how it comes to know event classes."""

import asyncio
from datetime import UTC, datetime

import pytest

from hitherto import Aggregate, Event, Instrumentation, JsonCodec, Repository
from hitherto.application.ids import time_ordered_id
from hitherto.application.store import Store, utc_now
from hitherto.infrastructure.memory import MemoryStore


class Noted(Event):
    text: str


class Note(Aggregate[Noted]):
    def apply(self, event: Noted) -> None:
        pass


class NewerNote(Aggregate[Noted], type="Note"):
    def apply(self, event: Noted) -> None:
        pass


def test_it_has_a_default_for_all_that_surrounds_it() -> None:
    """Clock, ids, codec, hooks, logger and threshold."""
    store = Store(MemoryStore())
    assert (store.clock, store.new_id) == (utc_now, time_ordered_id)
    assert isinstance(store.codec, JsonCodec)
    assert type(store.instrumentation) is Instrumentation
    assert (store.logger.name, store.snapshot_threshold) == ("hitherto", 100)


def test_the_default_clock_tells_utc() -> None:
    """The time of now."""
    before = datetime.now(UTC)
    assert before <= utc_now() <= datetime.now(UTC)
    assert utc_now().tzinfo is UTC


def test_default_ids_rise_and_do_not_repeat() -> None:
    """Version 7, in the standard library's class."""
    ids = [time_ordered_id() for _ in range(1000)]
    assert ids == sorted(set(ids))
    assert {each.version for each in ids} == {7}


def test_decoders_are_made_once_for_each_kind() -> None:
    """However many repositories there are; the last one of a name tells how it is read."""
    store = Store(MemoryStore())
    first = store.serializer(Note.definition)
    assert store.serializer(Note.definition) is first
    assert store.serializer(NewerNote.definition).definition is NewerNote.definition
    Repository(store, Note)
    assert store._serializers["Note"].definition is Note.definition


async def test_a_turn_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """It saves conflicts, no more: when updates hang, those behind them do not wait in line."""
    monkeypatch.setattr("hitherto.application.turns._LONGEST", 0.01)
    store = Store(MemoryStore())
    async with asyncio.timeout(5), store.turn("a"), store.turn("a"), store.turn("b"):
        pass
    monkeypatch.setattr("hitherto.application.turns._LONGEST", 60.0)
    async with asyncio.timeout(5), store.turn("a"):
        pass
