"""A time of storing that no store can hold is refused before any I/O."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

import pytest

from hitherto.application.records import PlacedEvent
from hitherto.errors import InvalidInput


def test_a_time_of_storing_that_utc_cannot_tell_is_refused() -> None:
    """Else PostgreSQL's driver raises an error of its own."""
    moment = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
    with pytest.raises(InvalidInput, match="cannot be told in UTC"):
        PlacedEvent(
            event_id=uuid4(), event_type="T", schema_version=1, data="{}", metadata=None,
            occurred_at=datetime.now(tz=UTC), aggregate_id="a", aggregate_type="A",
            version=1, stored_at=moment,
        )  # fmt: skip
