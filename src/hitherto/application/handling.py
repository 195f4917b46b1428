"""`Handling`: a projection's events, batch by batch, one by one where one fails."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import msgspec

from hitherto.application.checkpoints import Generation, ParkedEvent
from hitherto.application.logging import log_event
from hitherto.application.membership import Held, Membership, lowest
from hitherto.application.projection import Projection, Recorded
from hitherto.application.selection import Page, Selection
from hitherto.application.steps import Steps, Transactions
from hitherto.application.store import Store
from hitherto.errors import HandlerFailed

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0  # seconds between attempts at one event
_DIED = "its worker ended while it handled the event"


class _Part(msgspec.Struct, frozen=True):
    """Some events of a page, and the partitions that move over them to a position."""

    events: Sequence[Recorded]
    held: Mapping[int, Held]
    position: int
    silent: bool


class Handling:
    """Handles events of the partitions that a worker holds.

    An attempt is counted in the store before it is made, so one that ends its process counts too.
    A batch that failed, or that nobody ended, is handled anew event by event. An event that has
    had all of its attempts is parked, and with it the later ones of its aggregate.

    Args:
        store: Where the events are.
        projection: Handles them.
        generation: Of the projection.
        members: What is held.
        transactions: Where a step is committed.
        attempts: How often an event is tried.
        lease: Seconds for which a step renews the leases.

    Attributes:
        reached: The position up to which everything was seen; checkpoints may be behind it for a
            moment, where nothing concerned the projection.
    """

    def __init__(
        self,
        store: Store,
        projection: Projection[Any],
        generation: Generation,
        members: Membership,
        *,
        selection: Selection,
        transactions: Transactions,
        attempts: int,
        lease: float,
    ) -> None:
        self.reached: int = 0
        self._store = store
        self._projection = projection
        self._generation = generation
        self._members = members
        self._selection = selection
        self._checkpoints = store.backend.checkpoints
        self._steps = Steps(store, projection, generation, transactions, lease)
        self._attempts = attempts
        self._following: Mapping[int, Held] = {}
        self._parked: set[str] = set()
        self._again: dict[int, int] = {}
        self._hooks = store.instrumentation

    @property
    def handled(self) -> int:
        """Events handled so far."""
        return self._steps.handled

    @property
    def is_behind(self) -> bool:
        """Whether a checkpoint is behind what was seen."""
        return any(each.position < self.reached for each in self._held().values())

    async def start(self) -> int:
        """Learn which aggregates have events set aside, and try those that are to be tried.

        Returns:
            From where the log is to be read.
        """
        self._following = dict(self._members.held)
        self.reached = lowest(self._following)
        parked = await self._look_for_parked()
        if self._members.retry or self._again:
            self._members.retry = False
            parked = [self._tried_again(each) for each in parked]
            await self._retry([each for each in parked if each.partition in self._following])
        return self.reached

    async def handle(self, page: Page[Recorded]) -> None:
        """Handle a page, and move the checkpoints to its end.

        Where nothing concerns the projection, and more may come at once, that is left to `save`.
        """
        held = self._held()
        events = [each for each in page.events if self._is_due(each, held)]
        if events or page.full:
            for part in self._by_silence(events, held, page.checkpoint):
                if not await self._handle(part, more=page.full):
                    return
        self.reached = page.checkpoint

    async def save(self) -> None:
        """Move the checkpoints to what was seen."""
        await self._steps.advance([], self._held(), self.reached)

    def _held(self) -> dict[int, Held]:
        """What is held of what was held when reading began; the rest may have been read past."""
        held = self._members.held
        return {each: one for each, one in self._following.items() if held.get(each) is one}

    def _is_due(self, recorded: Recorded, held: Mapping[int, Held]) -> bool:
        one = held.get(self._partition(recorded))
        return one is not None and recorded.position > one.position

    def _partition(self, recorded: Recorded) -> int:
        return self._generation.partition_of(recorded.aggregate_id)

    def _by_silence(
        self, events: Sequence[Recorded], held: Mapping[int, Held], end: int
    ) -> Iterator[_Part]:
        """The events whose side effects an earlier generation did, and the others."""
        if self._generation.state == "filling":
            yield _Part(events, held, end, silent=True)
            return
        begin = min((each.position for each in held.values()), default=0)
        ends = {each.silent_until for each in held.values() if begin < each.silent_until < end}
        for until in (*sorted(ends), end):
            for silent in (True, False):
                own = {
                    each: one
                    for each, one in held.items()
                    if (one.silent_until >= until) == silent and one.position < until
                }
                if not own:
                    continue
                part = events
                if ends or len(own) < len(held):
                    due = [each for each in events if self._is_due(each, own)]
                    part = [each for each in due if each.position <= until]
                yield _Part(part, own, until, silent=silent)

    async def _handle(self, part: _Part, *, more: bool) -> bool:
        """Handle a part; False where the worker has to look at something else first."""
        events, held, position, silent = part.events, part.held, part.position, part.silent
        if any(each.aggregate_id in self._parked for each in events):
            await self._look_for_parked()
        parked = [
            self._waiting(each[0])
            for each in _parts(events)
            if each[0].aggregate_id in self._parked
        ]
        rest = [each for each in events if each.aggregate_id not in self._parked]
        if all(not each.attempts or each.begun for each in held.values()):
            try:
                await self._steps.begin(held if rest else {})
                await self._steps.advance(
                    rest, held, position, parked=parked, silent=silent, more=more
                )
            except HandlerFailed as failure:
                self._tell_failed(failure, events=len(rest))
            else:
                return True
        for each in _parts(events):
            if not await self._handle_one(each, held, silent=silent):
                return False
        await self._steps.advance([], held, position)
        return True

    async def _look_for_parked(self) -> Sequence[ParkedEvent]:
        """Learn which aggregates have events set aside; somebody may have dropped some."""
        parked = await self._checkpoints.parked(self._generation.name, self._generation.number)
        self._parked = {each.aggregate_id for each in parked}
        return parked

    async def _handle_one(
        self, parts: Sequence[Recorded], held: Mapping[int, Held], *, silent: bool
    ) -> bool:
        """Try one event until it is handled or parked; False if there is something else to do."""
        recorded = parts[0]
        partition = self._partition(recorded)
        one = held[partition]
        own = {partition: one}
        error, pause = _DIED, _FIRST_PAUSE
        tries = max(one.attempts - 1, 0)  # The first that was counted can have been a batch's.
        while recorded.aggregate_id not in self._parked:
            if self._members.has_news:
                return False
            if tries >= self._attempts:
                await self._park(recorded, own, tries, error)
                return True
            await self._steps.begin(own)  # not again after an outage, which is no fault of its
            try:
                await self._steps.advance(parts, own, recorded.position, silent=silent)
            except HandlerFailed as failure:
                one.begun = False
                tries += 1
                error = _told(failure)
                self._tell_failed(failure, position=recorded.position, attempt=tries)
                await self._members.attend()  # It may have failed because it holds this no more.
                if tries < self._attempts:
                    await self._members.news(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                return True
        await self._steps.advance([], own, recorded.position, parked=[self._waiting(recorded)])
        return True

    async def _park(
        self, recorded: Recorded, own: Mapping[int, Held], tries: int, error: str
    ) -> None:
        parked = self._set_aside(recorded, attempts=tries, error=error)
        await self._steps.advance([], own, recorded.position, parked=[parked])
        self._parked.add(recorded.aggregate_id)
        self._hooks.event_parked(self._projection.name)
        self._log(
            logging.ERROR,
            "event_parked",
            event_type=recorded.event_type,
            aggregate_id=recorded.aggregate_id,
            position=recorded.position,
            attempts=tries,
            error=error,
        )

    async def _retry(self, parked: Sequence[ParkedEvent]) -> None:
        """Try events that were set aside, of each aggregate in order, until one fails."""
        due = {each.aggregate_id for each in parked if each.retry}
        failed: set[str] = set()
        for each in parked:
            if each.aggregate_id in failed:
                await self._keep_waiting(each)
            elif each.aggregate_id in due and not await self._retry_one(each):
                failed.add(each.aggregate_id)
        self._parked -= due - failed

    async def _keep_waiting(self, parked: ParkedEvent) -> None:
        own = {parked.partition: self._following[parked.partition]}
        (one,) = own.values()
        place = [parked.position]
        await self._steps.advance([], own, one.position, unparked=place, parked=[parked])

    async def _retry_one(self, parked: ParkedEvent) -> bool:
        (stored,) = await self._store.backend.read(
            parked.aggregate_id, from_version=parked.version, limit=1
        )
        parts = self._selection.decode(stored)
        own = {parked.partition: self._following[parked.partition]}
        (one,) = own.values()
        silent = self._generation.state == "filling" or parked.position <= one.silent_until
        self._again[parked.position] = parked.attempts
        attempts = parked.attempts + 1
        counted = msgspec.structs.replace(parked, attempts=attempts, error=_DIED, retry=False)
        place = [parked.position]
        await self._steps.advance([], own, one.position, unparked=place, parked=[counted])
        try:
            await self._steps.advance(parts, own, one.position, unparked=place, silent=silent)
        except HandlerFailed as failure:
            self._tell_failed(failure, position=parked.position, attempt=attempts)
            again = msgspec.structs.replace(counted, error=_told(failure))
            await self._steps.advance([], own, one.position, unparked=place, parked=[again])
            del self._again[parked.position]
            return False
        del self._again[parked.position]
        return True

    def _tried_again(self, parked: ParkedEvent) -> ParkedEvent:
        """With what an outage has interrupted, which does not count."""
        if parked.position not in self._again:
            return parked
        attempts = self._again[parked.position]
        return msgspec.structs.replace(parked, attempts=attempts, retry=True)

    def _waiting(self, recorded: Recorded) -> ParkedEvent:
        return self._set_aside(recorded, attempts=0, error=None)

    def _set_aside(self, recorded: Recorded, *, attempts: int, error: str | None) -> ParkedEvent:
        return ParkedEvent(
            name=self._generation.name,
            generation=self._generation.number,
            partition=self._partition(recorded),
            position=recorded.position,
            event_id=recorded.event_id,
            event_type=recorded.event_type,
            aggregate_id=recorded.aggregate_id,
            version=recorded.version,
            attempts=attempts,
            error=error,
        )

    def _tell_failed(self, failure: HandlerFailed, **values: object) -> None:
        self._log(logging.WARNING, "projection_failed", error=_told(failure), **values)

    def _log(self, level: int, event: str, **values: object) -> None:
        name = self._projection.name
        log_event(self._store.logger, level, event, projection=name, **values)


def _parts(events: Iterable[Recorded]) -> Iterator[Sequence[Recorded]]:
    """The events, those together that an upcaster has made of one."""
    for _, group in groupby(events, attrgetter("position")):
        yield list(group)


def _told(failure: HandlerFailed) -> str:
    cause = failure.__cause__ or failure
    return f"{type(cause).__name__}: {cause}"
