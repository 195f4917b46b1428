"""`check_store`: a store against a plain model, through histories that hypothesis makes up."""

import asyncio
import json
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeVar
from uuid import UUID

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hitherto.application.ports import Backend
from hitherto.application.records import Append, NewEvent, Snapshot, StoredEvent
from hitherto.errors import AggregateIDMismatch, AggregateVersionConflict, InvalidInput
from hitherto.testing.model import Model, Outcome
from hitherto.testing.store_contract.making import same_json

T = TypeVar("T")

_IDS = {"a": "Thing", "b": "Thing", "ü 😀": "Other", "A": "Other"}
_ids = st.sampled_from([*_IDS])
_any_ids = st.sampled_from([*_IDS, "unknown"])
_versions = st.integers(1, 9)
_fingerprints = st.sampled_from(["code-1", "code-2"])
_types = st.none() | st.lists(st.sampled_from(["Thing", "Other", "None"]), max_size=2)
_event_types = st.none() | st.lists(st.sampled_from(["Began", "ended"]), max_size=2)
_distances = st.sampled_from([0, 0, 0, 0, -1, -3, 1, 2])
_texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5)
_objects = st.dictionaries(_texts, st.integers() | _texts, max_size=2).map(json.dumps)
_moments = st.datetimes(timezones=st.just(UTC)) | st.datetimes(
    datetime(1900, 1, 1),  # noqa: DTZ001
    timezones=st.just(timezone(timedelta(hours=-5, minutes=-30))),
)
_new_events = st.fixed_dictionaries(
    {
        "event_type": st.sampled_from(["Began", "ended"]),
        "schema_version": st.integers(1, 3),
        "data": _objects,
        "metadata": st.none() | _objects,
        "occurred_at": _moments,
    }
)
_several = st.lists(_new_events, min_size=1, max_size=4)
_wishes = st.tuples(_ids, _distances, _several)
_groups = st.lists(_wishes, min_size=2, max_size=3, unique_by=lambda wish: wish[0])

_Wish = tuple[str, int, list[dict[str, Any]]]


def check_store(
    open_backend: Callable[[], AbstractAsyncContextManager[Backend]],
    *,
    max_examples: int = 50,
    steps: int = 40,
) -> None:
    """Compare a store with a plain model, whatever is asked of it in whatever order.

    Call it in a test that is not async.

    Args:
        open_backend: Opens a new and empty store each time, and closes it.
        max_examples: How many histories to try.
        steps: How long each may be.

    Raises:
        AssertionError: The store and the model differ; the shortest history that shows it is
            printed.
    """

    class StoreMachine(_Machine):
        def open_backend(self) -> AbstractAsyncContextManager[Backend]:
            return open_backend()

    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=max_examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


class _Machine(RuleBasedStateMachine):
    """Asks a store and a model the same."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.opened = self.open_backend()
        self.backend = self.run(self.opened.__aenter__())
        self.model = Model()
        self.positions: list[int] = []  # of the model's log
        self.checkpoint = 0  # of a reader who follows the log
        self.sent: list[list[Append]] = []
        self.ids = 0

    @abstractmethod
    def open_backend(self) -> AbstractAsyncContextManager[Backend]:
        """Open a new and empty store."""

    def run(self, awaitable: Coroutine[Any, Any, T]) -> T:
        """Wait for what the store does."""
        return self.runner.run(awaitable)

    def teardown(self) -> None:
        """Close the store."""
        try:
            self.run(_closed(self.opened))
        finally:
            self.runner.close()

    @rule(wish=_wishes, foreign=st.sampled_from([False, False, False, True]))
    def append(self, wish: _Wish, foreign: bool) -> None:
        """One aggregate: at its head, before it or after it; sometimes of another type."""
        self._send([self._append(wish, type="Foreign" if foreign else None)])

    @rule(wishes=_groups)
    def append_together(self, wishes: list[_Wish]) -> None:
        """Several aggregates in one transaction."""
        self._send([self._append(wish) for wish in wishes])

    @precondition(lambda self: self.sent)
    @rule(
        which=st.integers(0, 100), dropped=st.integers(0, 2), more=st.lists(_new_events, max_size=2)
    )
    def repeat(self, which: int, dropped: int, more: list[dict[str, Any]]) -> None:
        """What was sent before, whether it won or lost: the same, a part of it, or more of it."""
        first, *others = self.sent[which % len(self.sent)]
        events = first.events[: max(1, len(first.events) - dropped)]
        changed = Append(
            aggregate_id=first.aggregate_id,
            aggregate_type=first.aggregate_type,
            expected_version=first.expected_version,
            events=(*events, *self._events(more)),
        )
        self._send([changed, *others])

    @precondition(lambda self: self.model.log)
    @rule(wish=_wishes, which=st.integers(0, 100), place=st.integers(0, 3))
    def steal(self, wish: _Wish, which: int, place: int) -> None:
        """An event id that is stored already."""
        append = self._append(wish)
        events = list(append.events)
        taken = self.model.log[which % len(self.model.log)].event
        events[place % len(events)] = taken
        self._send(
            [
                Append(
                    aggregate_id=append.aggregate_id,
                    aggregate_type=append.aggregate_type,
                    expected_version=append.expected_version,
                    events=tuple(events),
                )
            ]
        )

    @rule(
        id=_any_ids,
        version=_versions,
        fingerprint=_fingerprints,
        data=_objects,
        replacing=st.none() | _versions,
    )
    def save_snapshot(
        self, id: str, version: int, fingerprint: str, data: str, replacing: int | None
    ) -> None:
        """Of any version, whether there is an event of it or not."""
        snapshot = Snapshot(
            aggregate_id=id,
            aggregate_type=_IDS.get(id, "Thing"),
            version=version,
            fingerprint=fingerprint,
            data=data,
        )
        kept = self.run(self.backend.save_snapshot(snapshot, replacing=replacing))
        assert kept is self.model.save_snapshot(snapshot, replacing)
        assert self.run(self.backend.read_snapshot(id)) == self.model.snapshots[id]

    @rule(id=_any_ids, fingerprint=st.none() | _fingerprints, to_version=st.none() | _versions)
    def load(self, id: str, fingerprint: str | None, to_version: int | None) -> None:
        """As it is, or as it was."""
        stream = self.run(self.backend.load(id, fingerprint=fingerprint, to_version=to_version))
        found = stream.snapshot, stream.unusable, _rows(stream.events)
        assert found == self.model.load(id, fingerprint, to_version)

    @rule(ids=st.lists(_any_ids, max_size=5), fingerprint=st.none() | _fingerprints)
    def load_many(self, ids: list[str], fingerprint: str | None) -> None:
        """Some of them unknown, some named twice."""
        streams = self.run(self.backend.load_many(ids, fingerprint=fingerprint))
        found = {
            each: (stream.snapshot, stream.unusable, _rows(stream.events))
            for each, stream in streams.items()
        }
        known = {each for each in ids if self.model.stream(each)}
        assert found == {each: self.model.load(each, fingerprint, None) for each in known}

    @rule(
        id=_any_ids,
        low=_versions,
        high=st.none() | _versions,
        limit=st.none() | _versions,
        backward=st.booleans(),
    )
    def read(self, id: str, low: int, high: int | None, limit: int | None, backward: bool) -> None:
        """Between any bounds, in any direction."""
        found = self.run(
            self.backend.read(id, from_version=low, to_version=high, limit=limit, backward=backward)
        )
        expected = [fact.whole() for fact in self.model.read(id, low, high)]
        assert _wholes(found) == (expected[::-1] if backward else expected)[:limit]

    @rule(
        start=st.integers(0, 100),
        limit=st.integers(1, 12),
        event_types=_event_types,
        aggregate_types=_types,
    )
    def read_all(
        self,
        start: int,
        limit: int,
        event_types: list[str] | None,
        aggregate_types: list[str] | None,
    ) -> None:
        """From any event on, through any filter."""
        start %= len(self.positions) + 1
        after = self.positions[start - 1] if start else 0
        page = self.run(
            self.backend.read_all(
                after=after, limit=limit, event_types=event_types, aggregate_types=aggregate_types
            )
        )
        matching = self.model.matching(start, event_types, aggregate_types)
        assert _wholes(page.events) == [fact.whole() for fact in matching[:limit]]
        if len(page.events) < limit:
            assert page.checkpoint >= max([after, *self.positions])
        else:
            assert page.checkpoint >= page.events[-1].position
        for fact in matching[limit:]:
            assert page.checkpoint < self.positions[self.model.log.index(fact)]

    @rule()
    def watermark(self) -> None:
        """Nothing is under way, so it is not before the end of the log."""
        assert self.run(self.backend.watermark()) >= max(self.positions, default=0)

    @rule()
    def reopen(self) -> None:
        """Nothing is lost."""
        self.run(self.backend.close())
        self.run(self.backend.open())

    def _append(self, wish: _Wish, *, type: str | None = None) -> Append:
        aggregate_id, distance, events = wish
        return Append(
            aggregate_id=aggregate_id,
            aggregate_type=type or _IDS[aggregate_id],
            expected_version=max(0, len(self.model.stream(aggregate_id)) + distance),
            events=tuple(self._events(events)),
        )

    def _events(self, columns: Sequence[dict[str, Any]]) -> list[NewEvent]:
        first = self.ids + 1
        self.ids += len(columns)
        return [NewEvent(event_id=UUID(int=n), **each) for n, each in enumerate(columns, first)]

    def _send(self, group: list[Append]) -> None:
        self.sent.append(group)
        before = len(self.model.log)
        possible = self.model.append(group)
        outcome, positions = self._sent(group)
        assert outcome in possible
        self._learn(before)
        if outcome == "stored":
            assert positions == [self.positions[self.model.last(each)] for each in group]

    def _sent(self, group: list[Append]) -> tuple[Outcome, list[int]]:
        try:
            return "stored", list(self.run(self.backend.append(group)))
        except AggregateIDMismatch:
            return "mismatch", []
        except InvalidInput:
            return "taken id", []
        except AggregateVersionConflict as conflict:
            self._check_conflict(conflict, group)
            return "conflict", []

    def _check_conflict(self, conflict: AggregateVersionConflict, group: list[Append]) -> None:
        (append,) = [each for each in group if each.aggregate_id == conflict.aggregate_id]
        assert conflict.expected == append.expected_version
        assert conflict.actual == len(self.model.stream(append.aggregate_id))

    def _learn(self, before: int) -> None:
        """Compare what is new in the log; in which order a group stands, the store decides."""
        page = self.run(self.backend.read_all(after=self.checkpoint, limit=1000))
        self.checkpoint = page.checkpoint
        order = {event.event_id: number for number, event in enumerate(page.events)}
        new = self.model.log[before:]
        assert {fact.event.event_id for fact in new} == set(order)
        new.sort(key=lambda fact: order[fact.event.event_id])
        self.model.log[before:] = new
        assert _wholes(page.events) == [fact.whole() for fact in new]
        for fact in new:
            stream = self.model.stream(fact.aggregate_id)
            assert [each.version for each in stream] == list(range(1, len(stream) + 1))
        self.positions += [event.position for event in page.events]
        assert self.positions == sorted(set(self.positions))


def _rows(rows: Sequence[tuple[int, str, int, str, str]]) -> list[tuple[Any, ...]]:
    return [(*row[:3], same_json(row[3]), row[4]) for row in rows]


def _wholes(events: Sequence[StoredEvent]) -> list[tuple[Any, ...]]:
    return [
        (
            event.version,
            event.event_type,
            event.schema_version,
            same_json(event.data),
            event.aggregate_type,
            event.aggregate_id,
            event.event_id,
            same_json(event.metadata),
            event.occurred_at,
        )
        for event in events
    ]


async def _closed(opened: AbstractAsyncContextManager[Backend]) -> None:
    await opened.__aexit__(None, None, None)
