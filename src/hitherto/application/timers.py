"""`DueTimers`: which timers of a process are to fire now."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from hitherto.application.alongside import Timer
from hitherto.application.checkpoints import ParkedEvent
from hitherto.application.logging import log_event
from hitherto.application.selection import Selection
from hitherto.application.store import Store
from hitherto.domain.process import Process

_TIMERS = 500  # at once
_FIRST_REST, _LONGEST_REST = timedelta(seconds=5), timedelta(hours=1)


class DueTimers:
    """Timers that are due, but for those that have failed just now, or that have to wait.

    A timer waits while an event of its instance is set aside: it may be what the instance waits
    for.

    Args:
        store: Where the timers are.
        process: Whose they are.
        selection: Decodes the events that the process asks for.
    """

    def __init__(self, store: Store, process: type[Process[Any]], selection: Selection) -> None:
        self._store = store
        self._process = process
        self._name = process.definition.aggregate_type
        self._selection = selection
        self._resting: dict[Timer, tuple[datetime, timedelta]] = {}
        self._set_aside: dict[int, frozenset[str]] = {}

    async def next(self, until: datetime) -> list[Timer]:
        """Those to fire next, the earliest of each instance, which may cancel its others."""
        while due := await self.all(until):
            waiting = await self._instances_of_parked()
            self._hold_up([each for each in due if each.aggregate_id in waiting])
            first = {each.aggregate_id: each for each in reversed(due)}
            free = [each for instance, each in first.items() if instance not in waiting]
            if free:
                return free
        return []

    async def all(self, until: datetime) -> list[Timer]:
        """Those that do not rest, the earliest first; so many at most."""
        limit = _TIMERS + len(self._resting)
        due = await self._store.backend.due_timers(self._name, until=until, limit=limit)
        if len(due) < limit:
            self._forget(until, due)
        now = self._store.clock()
        resting = {timer for timer, (end, _) in self._resting.items() if end > now}
        return [each for each in due if each not in resting]

    def failed(self, timer: Timer, error: Exception) -> None:
        """Let a timer rest; it stays set, and others go on."""
        _, rest = self._resting.get(timer, (None, _FIRST_REST / 2))
        rest = min(2 * rest, _LONGEST_REST)
        self._resting[timer] = self._store.clock() + rest, rest
        log_event(
            self._store.logger,
            logging.ERROR,
            "timer_failed",
            process=self._name,
            timer=told(timer),
            error=f"{type(error).__name__}: {error}",
            again_in=rest.total_seconds(),
        )

    def _hold_up(self, timers: Sequence[Timer]) -> None:
        """Look at them again in a while."""
        if not timers:
            return
        self._resting |= dict.fromkeys(timers, (self._store.clock() + _FIRST_REST, _FIRST_REST))
        log_event(
            self._store.logger,
            logging.WARNING,
            "timers_wait_for_parked",
            process=self._name,
            timers=len(timers),
        )

    def _forget(self, until: datetime, due: Sequence[Timer]) -> None:
        """Drop what is no longer set, of what would be due."""
        standing = set(due)
        self._resting = {
            each: rest
            for each, rest in self._resting.items()
            if each in standing or (each.due is not None and each.due > until)
        }

    async def _instances_of_parked(self) -> set[str]:
        known, self._set_aside = self._set_aside, {}
        for each in await self._store.backend.checkpoints.parked(self._name):
            place = each.position
            found = known.get(place)
            self._set_aside[place] = await self._instances_of(each) if found is None else found
        return {each for instances in self._set_aside.values() for each in instances}

    async def _instances_of(self, parked: ParkedEvent) -> frozenset[str]:
        (stored,) = await self._store.backend.read(
            parked.aggregate_id, from_version=parked.version, limit=1
        )
        return frozenset(map(self._process.instance_of, self._selection.decode(stored)))


def told(timer: Timer) -> str:
    """What a timer is called in metadata and logs."""
    return f"timer:{timer.aggregate_id}:{timer.name}"
