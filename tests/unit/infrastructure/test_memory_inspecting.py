"""What can be wrong with a log and its snapshots, by the reference."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from hitherto.application.records import Snapshot, StoredEvent
from hitherto.infrastructure.memory.inspecting import inspect

NOW = datetime(2024, 2, 29, tzinfo=UTC)


def event(position: int, aggregate_id: str, version: int) -> StoredEvent:
    """A sound one."""
    return StoredEvent(
        position=position,
        event_id=UUID(int=position),
        event_type="Happened",
        schema_version=1,
        aggregate_id=aggregate_id,
        aggregate_type="Thing",
        version=version,
        data="{}",
        metadata=None,
        occurred_at=NOW,
        stored_at=NOW,
    )


LOG = [event(1, "a", 1), event(2, "b", 1), event(3, "a", 2), event(4, "a", 3)]
SNAPSHOT = Snapshot(
    aggregate_id="a", aggregate_type="Thing", version=3, fingerprint="f", data="[1]"
)

Change = Callable[[list[StoredEvent]], list[StoredEvent]]


def changed(index: int, **values: Any) -> Change:
    """The log with one event changed."""

    def change(log: list[StoredEvent]) -> list[StoredEvent]:
        log[index] = msgspec.structs.replace(log[index], **values)
        return log

    return change


def test_a_sound_log_is_found_sound() -> None:
    """With a snapshot, or without, or empty."""
    assert inspect(LOG, [SNAPSHOT]) == ()
    assert inspect(LOG, []) == ()
    assert inspect([], []) == ()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (changed(0, schema_version=0), {"schema-version-out-of-range": [1]}),
        (changed(0, data="[1]"), {"data-not-object": [1]}),
        (changed(0, data='{"a": '), {"data-not-object": [1]}),
        (changed(0, data="[" * 100_000), {"data-not-object": [1]}),
        (changed(0, metadata="7"), {"metadata-not-object": [1]}),
        (changed(0, event_id=UUID(int=4)), {"event-id-twice": [1, 4]}),
        (changed(0, position=2), {"position-twice": [2, 2]}),
        (changed(0, position=0), {"position-out-of-range": [0]}),
        (changed(0, version=0), {"version-out-of-range": [1], "version-gap": [3]}),
        (lambda log: log[1:], {"version-gap": [3]}),
        (changed(2, version=1), {"version-twice": [3], "version-gap": [4]}),
        (changed(3, aggregate_type="Other"), {"type-mixed": [4]}),
        (changed(2, aggregate_type="Other"), {"type-mixed": [3, 4]}),
    ],
)
def test_what_is_wrong_with_events_is_found(change: Change, found: dict[str, list[int]]) -> None:
    """And where: at which positions."""
    told = inspect(change(list(LOG)), [SNAPSHOT])
    assert {each.kind: [place.position for place in each.places] for each in told} == found


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"aggregate_id": "c"}, "snapshot-without-events"),
        ({"version": 4}, "snapshot-ahead"),
        ({"version": 0}, "snapshot-out-of-range"),
        ({"aggregate_type": "Other"}, "snapshot-of-another-type"),
        ({"data": "{"}, "snapshot-not-json"),
    ],
)
def test_what_is_wrong_with_snapshots_is_found(values: dict[str, Any], kind: str) -> None:
    """And of which aggregate."""
    (told,) = inspect(LOG, [msgspec.structs.replace(SNAPSHOT, **values)])
    (place,) = told.places
    assert (told.kind, place.aggregate_id) == (kind, values.get("aggregate_id", "a"))
