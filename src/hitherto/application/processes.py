"""`Reactions`: gives events and timers to a process, and carries out what it decides, once."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from hitherto.application.alongside import Alongside, Timer
from hitherto.application.codec import decoded_metadata
from hitherto.application.commands import CommandBus, Target
from hitherto.application.projection import Batch, Projection, Recorded
from hitherto.application.repository import Repository
from hitherto.application.saving import append_decided, prepare, settle
from hitherto.application.selection import Selection
from hitherto.application.store import Store, utc_now
from hitherto.application.timers import DueTimers, told
from hitherto.domain.aggregate import Aggregate
from hitherto.domain.event import Event
from hitherto.domain.identifiers import check_identifier
from hitherto.domain.metadata import Metadata
from hitherto.domain.process import Process
from hitherto.errors import (
    AggregateLocked,
    AggregateNotFound,
    AggregateVersionConflict,
    AlreadyHandled,
    EventStoreUnavailable,
)

P = TypeVar("P", bound=Process[Any])

_ATTEMPTS = 10
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.2  # seconds
_LOOK_EVERY, _SOON = 1.0, 0.05  # seconds between two looks for timers
_REMEMBER = timedelta(days=1)  # longer than any worker is frozen, and then goes on
_FORGET_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Cause(Generic[P]):
    """An event or a timer that an instance reacts to.

    Attributes:
        event_id: The event's, by which it is marked as handled; None of a timer.
        instance: The id of the instance.
        react: Has that react.
        metadata: Of what is recorded due to it.
        timer: The one that fires.
    """

    event_id: str | None
    instance: str
    react: Callable[[P], None]
    metadata: Metadata
    timer: Timer | None = None


class Reactions(Projection[None], Generic[P], name="reactions", elsewhere=True):
    """Runs a process, in a `ProjectionWorker`: events in, commands out, each cause once.

    What a batch of events leads to is one transaction: the process's own events, those of the
    aggregates that are commanded, its timers, and a mark for each event. An event whose mark is
    there is not given again, whatever crashed, and whoever has taken over meanwhile. If a
    command is refused, that raises, and the event is tried again and at last set aside::

        bus = CommandBus(store)
        bus.route(SendReminder, orders, id=…, run=…)
        await ProjectionWorker(store, Reactions(store, Reminder, bus)).run()

    Timers fire when every event that was stored before has been handled. Time is `store.clock`.

    The events that it leads to have the id of their cause as causation id, its correlation id,
    or else its id, and the process's name as actor.

    Args:
        store: An open store.
        process: The process class.
        bus: Knows what each command is for. Its middleware is not asked, for the commands are
            carried out here, all in one transaction.
    """

    def __init__(self, store: Store, process: type[P], bus: CommandBus) -> None:
        self.name: str = process.definition.aggregate_type
        self.events: tuple[type[Event], ...] | None = process.reacts_to
        self._store = store
        self._process = process
        self._bus = bus
        self._repository = Repository(store, process)
        self._selection = Selection(store, self.events)
        self._decode_metadata = store.codec.decoder(dict[str, Any])
        self._scope = check_identifier("the process's scope", f"process:{self.name}")
        self._moment: tuple[datetime, int] | None = None
        self._timers = DueTimers(store, process, self._selection)
        self._forgot_at: datetime | None = None

    async def handle(self, events: Sequence[Recorded], batch: Batch[None]) -> None:  # noqa: ARG002
        """React to events; see `Projection`."""
        by_key = {str(each.event_id): each for each in events}

        async def fresh() -> Sequence[_Cause[P]]:
            handled = await self._store.backend.handled(self._scope, list(by_key))
            return [self._cause_of(each) for key, each in by_key.items() if key not in handled]

        await self._once(fresh)

    async def caught_up(self) -> float:
        """Fire some of the timers that are due, where all events of before have been handled."""
        anew = self._moment is None
        if self._moment is None:
            self._moment = self._store.clock(), await self._store.watermark()
        until, watermark = self._moment
        if await self._is_behind(watermark):
            return _SOON
        timers = await self._timers.next(until)
        if timers:
            await self._fire(timers)
            return 0
        self._moment = None
        await self._forget()
        return _LOOK_EVERY if anew else 0

    async def _is_behind(self, watermark: int) -> bool:
        """Whether an event up to there is not handled: others may be slower, if work is spread."""
        position = await self._store.backend.checkpoints.position(self.name) or 0
        page = await self._selection.read(position, 1)
        return page.full and page.checkpoint <= watermark

    async def _once(self, causes: Callable[[], Awaitable[Sequence[_Cause[P]]]]) -> None:
        """React to those causes that nobody has reacted to; who was faster is asked each time."""
        pause = _FIRST_PAUSE
        for left in reversed(range(_ATTEMPTS)):
            fresh = await causes()
            if not fresh:
                return
            try:
                await _Turn(self._store, self._repository, self._bus).take(self._scope, fresh)
            except (AlreadyHandled, AggregateVersionConflict, AggregateLocked):
                if not left:
                    raise
            else:
                return
            await asyncio.sleep(pause * random.random())  # noqa: S311  # jitter
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _cause_of(self, recorded: Recorded) -> _Cause[P]:
        key = str(recorded.event_id)
        return _Cause(
            event_id=key,
            instance=self._process.instance_of(recorded),
            react=lambda instance: instance.react(recorded),
            metadata=self._metadata(key, recorded.metadata.correlation_id or key),
        )

    def _metadata(self, causation_id: str, correlation_id: object) -> Metadata:
        return Metadata(
            causation_id=causation_id, correlation_id=str(correlation_id), actor=self.name
        )

    async def _fire(self, timers: Sequence[Timer]) -> None:
        """Fire timers, all at once; where that fails, one by one."""

        async def standing() -> Sequence[_Cause[P]]:
            latest = max(each.due for each in timers if each.due is not None)
            due = set(await self._timers.all(latest))
            fresh = [each for each in timers if each in due]
            return await asyncio.gather(*map(self._cause_of_timer, fresh))

        try:
            await self._once(standing)
        except EventStoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  # it is the process's own, or an aggregate's
            if len(timers) == 1:
                self._timers.failed(timers[0], error)
                return
            for each in timers:
                await self._fire([each])

    async def _cause_of_timer(self, timer: Timer) -> _Cause[P]:
        instance, name, due = timer.aggregate_id, timer.name, timer.due
        assert due is not None  # noqa: S101  # it was found by its time
        last = await self._store.backend.read(instance, backward=True, limit=1)
        known = decoded_metadata(last[0], self._decode_metadata) if last else Metadata()
        return _Cause(
            event_id=None,
            instance=instance,
            react=lambda process: process.on_timer(name, due),
            metadata=self._metadata(told(timer), known.correlation_id or instance),
            timer=timer,
        )

    async def _forget(self) -> None:
        """Drop old marks now and then. They bear the database's time, not that of `store.clock`."""
        now = utc_now()
        if self._forgot_at is not None and now < self._forgot_at + _FORGET_EVERY:
            return
        self._forgot_at = now
        if await self._store.backend.forget_handled(self._scope, before=now - _REMEMBER):
            self._forgot_at = None  # There may be more.


class _Turn(Generic[P]):
    """One try to react to some causes, on aggregates as they are stored now."""

    def __init__(self, store: Store, repository: Repository[P], bus: CommandBus) -> None:
        self._store = store
        self._repository = repository
        self._bus = bus
        self._loaded: dict[str, tuple[Repository[Any], Aggregate[Any]]] = {}
        self._timers: dict[tuple[str, str], datetime | None] = {}

    async def take(self, scope: str, causes: Sequence[_Cause[P]]) -> None:
        """Have the instances react, carry out what they send, and store it all at once."""
        ids = [each.instance for each in causes]
        await self._load([Target(self._repository, each, True, _nothing) for each in ids])
        sent = [(target, each.metadata) for each in causes for target in self._react(each)]
        await self._load([target for target, _ in sent])
        for target, metadata in sent:
            _, aggregate = self._loaded[target.aggregate_id]
            target.repository._check_own(aggregate)
            target.run(aggregate)
            self._envelop(aggregate, metadata)
        await self._append(scope, causes)

    def _react(self, cause: _Cause[P]) -> list[Target[Any]]:
        instance: Any = self._loaded[cause.instance][1]
        cause.react(instance)
        commands, timers = instance._taken()
        for name, due in timers.items():
            self._timers[cause.instance, name] = due
        self._envelop(instance, cause.metadata)
        return [self._bus.target(each) for each in commands]

    def _envelop(self, aggregate: Aggregate[Any], metadata: Metadata) -> None:
        """Give what was recorded just now the metadata of its cause."""
        if aggregate._unsaved:
            prepare(self._store, [aggregate], metadata)

    async def _load(self, targets: Iterable[Target[Any]]) -> None:
        """Load what is not loaded yet, of each kind in one round trip."""
        missing: dict[Repository[Any], dict[str, Target[Any]]] = {}
        for target in targets:
            if target.aggregate_id not in self._loaded:
                missing.setdefault(target.repository, {})[target.aggregate_id] = target
        for repository, wanted in missing.items():
            found = await repository.load_many(wanted)
            for each, target in wanted.items():
                aggregate = found.get(each)
                if aggregate is None and not target.create:
                    raise AggregateNotFound(each, repository._type)
                self._loaded[each] = repository, aggregate or repository._new(each)

    async def _append(self, scope: str, causes: Sequence[_Cause[P]]) -> None:
        changed = {key: loaded for key, loaded in self._loaded.items() if loaded[1]._unsaved}
        appends = prepare(self._store, [aggregate for _, aggregate in changed.values()], None)
        process = self._repository._type
        timers = [
            Timer(process=process, aggregate_id=instance, name=name, due=due)
            for (instance, name), due in self._timers.items()
        ]
        alongside = Alongside(
            scope=scope,
            handled=[each.event_id for each in causes if each.event_id is not None],
            fired=[each.timer for each in causes if each.timer is not None],
            timers=timers,
        )
        await append_decided(self._store, appends, alongside)
        for each in appends:
            repository, aggregate = changed[each.aggregate_id]
            events = settle(self._store, aggregate, each)
            await repository._snapshots.after_save(aggregate, events)


def _nothing(_: object) -> None:
    """What an instance is commanded: it is only loaded."""
