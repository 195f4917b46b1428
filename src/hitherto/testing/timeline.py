"""`Timeline`: events of a test, recorded as a store would."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from hitherto.application.ids import time_ordered_id
from hitherto.domain.event import Event
from hitherto.domain.identifiers import check_identifier
from hitherto.domain.metadata import Metadata
from hitherto.domain.recorded import RecordedEvent
from hitherto.errors import InvalidInput
from hitherto.testing.clock import ManualClock

Happening: TypeAlias = Event | tuple[str, Event] | RecordedEvent[Any] | timedelta
"""An event; the id of another aggregate, and its event; an event as recorded; time that passes."""


class Timeline:
    """Gives events their envelopes, and lets time pass.

    Args:
        id: The aggregate whose events come without an id.
        at: When it begins, with a time zone.

    Attributes:
        clock: Tells where it is.
    """

    def __init__(self, id: str, at: datetime) -> None:
        self.clock: ManualClock = ManualClock(at)
        self._id = check_identifier("aggregate id", id)
        self._versions: Counter[str] = Counter()
        self._position = 0

    def recorded(self, what: Event | tuple[str, Event] | RecordedEvent[Any]) -> RecordedEvent[Any]:
        """An event that happens now; one that has an envelope keeps it.

        Raises:
            InvalidInput: It is no event.
        """
        if isinstance(what, RecordedEvent):
            return what
        aggregate_id, event = what if isinstance(what, tuple) else (self._id, what)
        given: Any = event
        if not isinstance(given, Event):
            raise InvalidInput(f"{event!r}: give events, (aggregate id, event), or a timedelta")
        self._versions[aggregate_id] += 1
        self._position += 1
        known = type(event).__definitions__
        return RecordedEvent(
            event=event,
            event_id=time_ordered_id(),
            event_type=event.__event_type__,
            schema_version=event.__schema_version__,
            aggregate_id=check_identifier("aggregate id", aggregate_id),
            aggregate_type=next(iter(known), "Given"),
            version=self._versions[aggregate_id],
            position=self._position,
            occurred_at=self.clock.now,
            stored_at=self.clock.now,
            metadata=Metadata(),
        )
