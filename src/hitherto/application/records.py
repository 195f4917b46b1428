"""What crosses the port between the application and a backend: values, encoded and checked."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, cast
from uuid import UUID

import msgspec

from hitherto.domain.identifiers import check_identifier, type_mismatch
from hitherto.domain.upcasters import MAX_SCHEMA_VERSION
from hitherto.errors import (
    AggregateError,
    AggregateTombstoned,
    AggregateVersionConflict,
    InvalidInput,
)

MAX_VERSION = 2**31 - 1
MAX_POSITION = 2**63 - 1

TOMBSTONED = -1
"""The version that an aggregate is at for appends, when it was closed for good."""

StreamRow = tuple[int, str, int, str, str]
"""The narrow form of a stored event: version, event type, schema version, data, aggregate type."""


class NewEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An encoded event, ready to be appended.

    Attributes:
        event_id: Unique in the store; the same one again means the same append again.
        event_type: The stored name of its class.
        schema_version: The version of its fields.
        data: A JSON object with the event's own fields.
        metadata: A JSON object, or None.
        occurred_at: With a time zone; kept in UTC.
        content_hash: Of all this and of its place; None: it is not to be in a hash chain.
    """

    event_id: UUID
    event_type: str
    schema_version: int
    data: str
    metadata: str | None
    occurred_at: datetime
    content_hash: bytes | None = None


class PlacedEvent(NewEvent, frozen=True, kw_only=True, gc=False):
    """An encoded event of a history, with its place there.

    Attributes:
        aggregate_id: The aggregate.
        aggregate_type: The stored name of its class.
        version: Of the aggregate with this event.
        stored_at: When another store stored it, with a time zone; None: now.

    Raises:
        InvalidInput: A value that no backend could store.
    """

    aggregate_id: str
    aggregate_type: str
    version: int
    stored_at: datetime | None = None

    def __post_init__(self) -> None:
        check_identifier("aggregate id", self.aggregate_id)
        _check_type_name("aggregate type", self.aggregate_type)
        _check_new_event(self)
        if self.stored_at is not None and self.stored_at.utcoffset() is None:
            raise InvalidInput(f"stored_at={self.stored_at} has no time zone: give one")
        if self.stored_at is not None:
            utc(self.stored_at)
        if not 1 <= self.version <= MAX_VERSION:
            raise InvalidInput(
                f"version {self.version} of {self.aggregate_id!r} is out of range: versions are "
                f"1 … {MAX_VERSION}"
            )


class Append(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One aggregate's request: add these events after `expected_version`.

    Raises:
        InvalidInput: A value that no backend could store, or no event at all.
    """

    aggregate_id: str
    aggregate_type: str
    expected_version: int
    events: tuple[NewEvent, ...]

    def __post_init__(self) -> None:
        check_identifier("aggregate id", self.aggregate_id)
        _check_type_name("aggregate type", self.aggregate_type)
        if not self.events:
            raise InvalidInput(f"the append to {self.aggregate_id!r} has no event")
        if not 0 <= self.expected_version <= MAX_VERSION - len(self.events):
            raise InvalidInput(
                f"expected version {self.expected_version} of {self.aggregate_id!r} is out of "
                f"range: it counts saved events, 0 … {MAX_VERSION}"
            )
        for event in self.events:
            _check_new_event(event)
        if len({event.event_id for event in self.events}) != len(self.events):
            raise InvalidInput(f"the append to {self.aggregate_id!r} repeats an event id")


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """An event as a backend holds it, not decoded. Times are in UTC.

    The fields are in the order of the backends' columns, for pages of the log are made of these.
    """

    position: int
    event_id: UUID
    event_type: str
    schema_version: int
    aggregate_id: str
    aggregate_type: str
    version: int
    data: str
    metadata: str | None
    occurred_at: datetime
    stored_at: datetime


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The encoded state of an aggregate at one version.

    Attributes:
        fingerprint: Tells which code made it; code with another fingerprint does not use it.
        data: The state as JSON, kept to the letter (the order of keys too).
    """

    aggregate_id: str
    aggregate_type: str
    version: int
    fingerprint: str
    data: str


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """What `load` found of one aggregate.

    Attributes:
        snapshot: The stored snapshot, if it has the fingerprint that was asked for.
        unusable: The version of the stored snapshot, if it has another fingerprint.
        events: In order: with a snapshot from its version on, that event included, so that a
            snapshot which no event bears out shows; without one from version 1.
    """

    snapshot: Snapshot | None
    unusable: int | None
    events: Sequence[StreamRow]


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the whole log.

    Attributes:
        events: In order of position.
        checkpoint: Where to read on: every committed event up to it that matches the filter has
            now been given.
    """

    events: Sequence[StoredEvent]
    checkpoint: int


def check_group(appends: Sequence[Append]) -> None:
    """Refuse an atomic group that is empty, names an aggregate twice or repeats an event id.

    Raises:
        InvalidInput: It does.
    """
    if not appends:
        raise InvalidInput("there is nothing to append")
    if len(appends) == 1:
        return
    if len({append.aggregate_id for append in appends}) != len(appends):
        raise InvalidInput("an aggregate appears twice in one transaction: append to it once")
    ids = [event.event_id for append in appends for event in append.events]
    if len(set(ids)) != len(ids):
        raise InvalidInput("two events of one transaction have the same event id")


def check_range(from_version: int, to_version: int | None, limit: int | None) -> None:
    """Refuse a range of versions that makes no sense.

    Raises:
        InvalidInput: A bound or a limit that is below 1 or above any version.
    """
    _check_counts(from_version=from_version, to_version=to_version, limit=limit)


def check_page(
    after: int,
    limit: int,
    *,
    event_types: Sequence[str] | None = None,
    aggregate_types: Sequence[str] | None = None,
) -> None:
    """Refuse a page of the log that makes no sense.

    Raises:
        InvalidInput: A negative or impossible position, a limit below 1, or a filter that is one
            name rather than several, or has a name that no type can have.
    """
    if not 0 <= after <= MAX_POSITION:
        raise InvalidInput(f"after={after}: give 0, or a position that the store has told")
    _check_counts(limit=limit)
    _check_filter("event type", event_types)
    _check_filter("aggregate type", aggregate_types)


def check_id_page(aggregate_type: str, after: str, limit: int) -> None:
    """Refuse a page of aggregate ids that makes no sense.

    Raises:
        InvalidInput: A type or an id that there cannot be, or a limit below 1.
    """
    _check_type_name("aggregate type", aggregate_type)
    if after:
        check_identifier("aggregate id", after)
    _check_counts(limit=limit)


def refusal(append: Append, actual: int, actual_type: str | None) -> AggregateError:
    """The error for an append that lost against what the store holds."""
    if actual_type is not None and actual_type != append.aggregate_type:
        return type_mismatch(append.aggregate_id, actual_type, append.aggregate_type)
    if actual == TOMBSTONED:
        return AggregateTombstoned(append.aggregate_id)
    return AggregateVersionConflict(append.aggregate_id, append.expected_version, actual)


def divided(
    events: Sequence[PlacedEvent], heads: Mapping[str, tuple[int, str]]
) -> tuple[list[PlacedEvent], list[PlacedEvent]]:
    """The events of a history that are to be written, and those whose versions are taken.

    Args:
        events: In order.
        heads: The version and the type of each aggregate that is stored.

    Raises:
        AggregateVersionConflict: A version does not follow the one before it.
        AggregateIDMismatch: An aggregate is stored, or told of before, under another type.
    """
    fresh: list[PlacedEvent] = []
    taken: list[PlacedEvent] = []
    latest = dict(heads)
    for event in events:
        head, aggregate_type = latest.get(event.aggregate_id, (0, event.aggregate_type))
        if aggregate_type != event.aggregate_type:
            raise type_mismatch(event.aggregate_id, aggregate_type, event.aggregate_type)
        if event.version == head + 1:
            latest[event.aggregate_id] = (event.version, aggregate_type)
            fresh.append(event)
        elif event.version <= heads.get(event.aggregate_id, (0, ""))[0]:
            taken.append(event)
        else:
            raise AggregateVersionConflict(event.aggregate_id, event.version - 1, head)
    return fresh, taken


def check_open(fresh: Sequence[PlacedEvent], closed: Collection[str]) -> None:
    """Refuse events of a history that are to be written to an aggregate that is closed for good.

    Raises:
        AggregateTombstoned: One is.
    """
    for event in fresh:
        if event.aggregate_id in closed:
            raise AggregateTombstoned(event.aggregate_id)


def check_taken(
    taken: Sequence[PlacedEvent],
    stored: Mapping[tuple[str, int], UUID],
    heads: Mapping[str, tuple[int, str]],
) -> None:
    """Refuse a history that tells another event than the one that is stored.

    Raises:
        AggregateVersionConflict: It does.
    """
    for event in taken:
        if stored[event.aggregate_id, event.version] != event.event_id:
            head, _ = heads[event.aggregate_id]
            raise AggregateVersionConflict(event.aggregate_id, event.version - 1, head)


def without_first(append: Append, count: int) -> Append:
    """The rest of an append whose first `count` events are stored already."""
    return Append(
        aggregate_id=append.aggregate_id,
        aggregate_type=append.aggregate_type,
        expected_version=append.expected_version + count,
        events=append.events[count:],
    )


def utc(moment: datetime) -> datetime:
    """The same moment, in UTC.

    Raises:
        InvalidInput: It has no time zone, or is before year 1 or after year 9999 there.
    """
    if moment.tzinfo is UTC:
        return moment
    if moment.utcoffset() is None:
        raise InvalidInput(f"{moment} has no time zone: give one, such as tzinfo=UTC")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InvalidInput(f"{moment} cannot be told in UTC: its year is out of range") from None


_check_type_name = lru_cache(maxsize=4096)(check_identifier)


def _check_counts(**given: int | None) -> None:
    for name, value in given.items():
        if value is not None and not 1 <= value <= MAX_VERSION:
            raise InvalidInput(f"{name}={value}: give 1 … {MAX_VERSION}")


def _check_filter(what: str, names: Any) -> None:
    if names is None:
        return
    if isinstance(names, str) or not isinstance(names, Collection):
        argument = what.replace(" ", "_") + "s"
        raise InvalidInput(f"{argument}={names!r}: give a list of names, such as ['One']")
    for name in cast("Collection[object]", names):
        check_identifier(what, name)


def _check_new_event(event: NewEvent) -> None:
    _check_type_name("event type", event.event_type)
    if not 1 <= event.schema_version <= MAX_SCHEMA_VERSION:
        raise InvalidInput(f"schema version {event.schema_version} is not in 1 … 32767")
    if event.occurred_at.utcoffset() is None:
        raise InvalidInput(f"occurred_at={event.occurred_at} has no time zone: give one")
