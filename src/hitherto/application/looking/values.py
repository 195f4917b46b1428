"""What is asked of a backend when somebody looks into it, and what it tells."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, cast

import msgspec

from hitherto.application.records import MAX_POSITION, LogPage, StoredEvent, check_page, utc
from hitherto.domain.identifiers import check_identifier
from hitherto.errors import InvalidInput

_MOMENTS = ("stored_since", "stored_until", "occurred_since", "occurred_until")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which events of the log are wanted: those that match all that is given.

    Attributes:
        event_types: Of one of these types.
        aggregate_types: Of an aggregate of one of these types.
        aggregate_id: Of this aggregate.
        correlation_id: With this one in their metadata.
        causation_ids: With one of these as causation id in their metadata.
        stored_since: Stored then or later; with a time zone, as all of these.
        stored_until: Stored then or earlier.
        occurred_since: Happened then or later.
        occurred_until: Happened then or earlier.

    Raises:
        InvalidInput: A value that no event could have.
    """

    event_types: Sequence[str] | None = None
    aggregate_types: Sequence[str] | None = None
    aggregate_id: str | None = None
    correlation_id: str | None = None
    causation_ids: Sequence[str] | None = None
    stored_since: datetime | None = None
    stored_until: datetime | None = None
    occurred_since: datetime | None = None
    occurred_until: datetime | None = None

    def __post_init__(self) -> None:
        check_page(0, 1, event_types=self.event_types, aggregate_types=self.aggregate_types)
        if self.aggregate_id is not None:
            check_identifier("aggregate id", self.aggregate_id)
        if self.correlation_id is not None:
            _check_text("correlation id", self.correlation_id)
        for each in self.causation_ids or ():
            _check_text("causation id", each)
        for name in _MOMENTS:
            moment: datetime | None = getattr(self, name)
            if moment is not None:
                msgspec.structs.force_setattr(self, name, utc(moment))

    def given(self) -> dict[str, Any]:
        """What is given, by name."""
        fields = msgspec.structs.asdict(self)
        return {name: value for name, value in fields.items() if value is not None}


class Names(msgspec.Struct, frozen=True):
    """The stored names that there are, each in the order of its bytes."""

    event_types: Sequence[str]
    aggregate_types: Sequence[str]


class Amount(msgspec.Struct, frozen=True):
    """Events, and the bytes that their data and metadata take as they are stored."""

    events: int
    bytes: int


class KindStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Of the events of one type, of one type of aggregate."""

    aggregate_type: str
    event_type: str
    total: Amount
    last_7_days: Amount
    last_30_days: Amount


class Length(msgspec.Struct, frozen=True, kw_only=True):
    """Of one aggregate: how many events it has, and at which version its snapshot is, if any."""

    aggregate_id: str
    aggregate_type: str
    events: int
    snapshot: int | None


class Relation(msgspec.Struct, frozen=True, kw_only=True):
    """A table or an index; or the whole file, where it cannot be told what takes it.

    Attributes:
        table: The table's name, of an index too.
        name: Its own.
        bytes: On the disk, without its indexes.
        scans: How often an index was used since the server's statistics were reset; None: it is
            not counted.
    """

    kind: Literal["table", "index", "file"]
    table: str
    name: str
    bytes: int
    scans: int | None = None


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a store holds.

    Attributes:
        kinds: By aggregate type and event type.
        aggregates: How many there are.
        longest: Those with the most events.
        wanting: How many have a snapshot's worth of events, or more, after their snapshot.
        most_wanting: Those of them with the most.
        relations: Tables and indexes, each table followed by its own.
        watermark: The position up to which the log can be read.
        held_back: How many allocated positions cannot be read yet.
        open_appends: Transactions that have appended and are open.
    """

    kinds: Sequence[KindStatistics]
    aggregates: int
    longest: Sequence[Length]
    wanting: int
    most_wanting: Sequence[Length]
    relations: Sequence[Relation]
    watermark: int
    held_back: int = 0
    open_appends: int = 0


def check_bounds(after: int, until: int | None, limit: int) -> None:
    """Refuse a part of the log that makes no sense.

    Raises:
        InvalidInput: A negative or impossible position, or a limit below 1.
    """
    check_page(after, limit)
    if until is not None and not 0 <= until <= MAX_POSITION:
        raise InvalidInput(f"until={until}: give 0, or a position that the store has told")


def page_of(
    events: Sequence[StoredEvent], *, after: int, end: int, limit: int, backward: bool
) -> LogPage:
    """The page of `Looking.search` that has these events, of the part after … end."""
    if len(events) == limit:
        checkpoint = events[-1].position - 1 if backward else events[-1].position
    else:
        checkpoint = after if backward else max(after, end)
    return LogPage(events=events, checkpoint=checkpoint)


def metadata_of(event: StoredEvent) -> dict[str, Any]:
    """An event's metadata; none where they cannot be read, which `hitherto verify` tells."""
    try:
        found: Any = json.loads(event.metadata) if event.metadata is not None else None
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def text_in(event: StoredEvent, key: str) -> str | None:
    """A value of an event's metadata as text, as the backends compare it; None: there is none."""
    value = metadata_of(event).get(key)
    return value if value is None or isinstance(value, str) else json.dumps(value)


def listed(rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """What the query `lengths` of a backend has found: list, id, type, events, snapshot."""
    found: dict[str, list[Length]] = {"longest": [], "wanting": []}
    counts = (0, 0)
    for name, aggregate_id, aggregate_type, events, snapshot in rows:
        if name == "count":
            counts = events, snapshot
        else:
            found[name].append(
                Length(
                    aggregate_id=aggregate_id,
                    aggregate_type=aggregate_type,
                    events=events,
                    snapshot=snapshot,
                )
            )
    return {
        "aggregates": counts[0],
        "wanting": counts[1],
        "longest": found["longest"],
        "most_wanting": found["wanting"],
    }


def names_of(rows: Sequence[Sequence[Any]]) -> Names:
    """What the query `names` of a backend has found: kind, name."""
    found: dict[str, list[str]] = {"event": [], "aggregate": []}
    for kind, name in rows:
        if type(name) is str:  # Not bytes, which SQLite lets in.
            found[kind].append(name)
    return Names(found["event"], found["aggregate"])


def kind_statistics(row: Sequence[Any]) -> KindStatistics:
    """A row of the query `kinds` of a backend."""
    aggregate_type, event_type, *amounts = row
    return KindStatistics(
        aggregate_type=aggregate_type,
        event_type=event_type,
        total=Amount(*amounts[0:2]),
        last_7_days=Amount(*amounts[2:4]),
        last_30_days=Amount(*amounts[4:6]),
    )


def _check_text(what: str, value: Any) -> None:
    """Metadata are not limited in length, other than identifiers."""
    check_identifier(what, value[:255] if isinstance(value, str) else value)
    check_identifier(what, value[255:] or "-")
