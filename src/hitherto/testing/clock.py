"""`ManualClock`: a clock that a test turns."""

from datetime import UTC, datetime, timedelta

from hitherto.errors import InvalidInput

START = datetime(2024, 1, 1, tzinfo=UTC)


class ManualClock:
    """Tells the moment that it was set to last; hand it to `connect(clock=…)`.

    ::

        clock = ManualClock()
        async with connect("memory:", clock=clock) as store:
            ...
            clock.advance(timedelta(days=14))
            await worker.catch_up()  # fires the timers that are due by now

    The times of events, the timers of processes and the ages of what is archived are told by it.
    The database's own time remains what leases, the window in which a command's id is known, and
    `stored_at` go by; waiting, as in `wait_for`, takes real seconds.

    Args:
        now: What it tells at first; left out: the beginning of 2024.

    Raises:
        InvalidInput: The moment has no time zone.
    """

    def __init__(self, now: datetime = START) -> None:
        self.travel(now)

    def __call__(self) -> datetime:
        return self._now

    @property
    def now(self) -> datetime:
        """What it tells."""
        return self._now

    def advance(self, by: timedelta) -> datetime:
        """Let time pass; returns the moment that it is then.

        Raises:
            InvalidInput: It would go back, which `travel` does.
        """
        if by < timedelta():
            raise InvalidInput(f"advance({by!r}) would turn the clock back: use travel")
        return self.travel(self._now + by)

    def travel(self, to: datetime) -> datetime:
        """Set it to a moment, later or earlier, and return that.

        Raises:
            InvalidInput: The moment has no time zone.
        """
        if to.utcoffset() is None:
            raise InvalidInput(f"{to} has no time zone: give one, such as tzinfo=UTC")
        self._now = to
        return to
