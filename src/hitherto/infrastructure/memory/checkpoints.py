"""`MemoryCheckpoints`: how far projections have come, in plain Python: the reference."""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from hitherto.application.checkpoints import (
    Attendance,
    Change,
    Document,
    Generation,
    Lease,
    Lends,
    ParkedEvent,
    Progress,
    ProjectionStatus,
    State,
    Work,
)
from hitherto.application.ports.personal import TextPlace
from hitherto.application.records import StoredEvent
from hitherto.infrastructure.checkpoints import (
    generation_for,
    lease_lost,
    not_inline,
    superseded,
)
from hitherto.infrastructure.memory.documents import chosen
from hitherto.infrastructure.memory.handlers import run
from hitherto.infrastructure.memory.views import Partition, View
from hitherto.infrastructure.opening import Opening

_FORGET_AFTER = 60.0  # seconds since a worker was last alive


class MemoryCheckpoints:
    """Keeps the checkpoints beside the log in this process.

    Args:
        log: The store's, in order of position, which is counted from 1.
        writing: Held while generations change, and while the store appends.
    """

    lends: Lends = "nothing"

    def __init__(self, log: Sequence[StoredEvent], writing: Opening) -> None:
        self._log = log
        self._writing = writing
        self._views: dict[str, dict[int, View]] = {}
        self._numbers: dict[str, int] = {}

    async def prepare(
        self,
        name: str,
        *,
        version: int,
        partitions: int,
        rebuild: bool,
        setup: Change,
        after: int = 0,
    ) -> Generation:
        """See `Checkpoints.prepare`."""
        async with self._writing.lock():
            active, filling = self._generation(name, "active"), self._generation(name, "filling")
            found = generation_for(version, active, filling, rebuild=rebuild)
            if found is not None:
                return found
            made = Generation(
                name=name,
                number=self._numbers.get(name, 0) + 1,
                version=version,
                state="filling" if active else "active",
                partitions=partitions,
            )
            await self._make(made, setup, filling, after=0 if active else after)
            return made

    async def take_inline(self, name: str, *, version: int, setup: Change) -> bool:
        """See `Checkpoints.take_inline`."""
        async with self._writing.lock():
            if self._current(name, "active") is None and not self._log:
                made = Generation(
                    name=name, number=1, version=version, state="active", partitions=1
                )
                await self._make(made, setup, None)
            view = self._current(name, "active")
            if view is None:
                return False
            if version < view.generation.version:
                raise superseded(version, view.generation)
            if version > view.generation.version or view.reached(self._log) < len(self._log):
                return False
            if not view.inline:
                if view.parked:
                    return False
                view.inline = True
                view.fence_off()
            return True

    def check_inline(self, name: str, version: int) -> None:
        """Refuse an append that runs a projection which is not run by appends.

        Raises:
            ProjectionSuperseded: See above.
        """
        view = self._current(name, "active")
        if view is None or not view.inline or view.generation.version != version:
            raise not_inline(name, version)

    async def attend(
        self, generation: Generation, worker: str, *, lease: float, held: Mapping[int, int]
    ) -> Attendance:
        """See `Checkpoints.attend`."""
        view = self._view(generation)
        if view is None:
            return Attendance(leases=(), share=0, state="retired", paused=False)
        now = time.time()
        view.workers[worker] = now + lease
        view.workers = {
            each: until for each, until in view.workers.items() if until > now - _FORGET_AFTER
        }
        live = sum(1 for until in view.workers.values() if until > now)
        share = 0 if view.inline else -(-len(view.partitions) // live)
        mine = view.matching(held)
        if not view.paused:
            mine += view.take(worker, now, share - len(mine), mine)
        for each in mine:
            view.partitions[each].leased_until = now + lease
        return Attendance(
            leases=tuple([self._lease(view, each) for each in sorted(mine)]),
            share=share,
            state=view.generation.state,
            paused=view.paused,
            retry=any(each.retry and each.partition in mine for each in view.parked.values()),
        )

    async def begin(self, generation: Generation, held: Mapping[int, int]) -> None:
        """See `Checkpoints.begin`."""
        view = self._held(generation, held)
        for each in held:
            view.partitions[each].attempts += 1

    async def advance(self, progress: Progress, work: Work | None = None) -> None:
        """See `Checkpoints.advance`."""
        generation = progress.generation
        if work is not None:
            await run(repr(generation.name), partial(work, None))
        view = self._held(generation, progress.leases)
        moved = any(
            view.partitions[each].position != position
            for each, position in progress.after.items()
            if each in progress.leases
        )
        if moved or not view.parked.keys() >= set(progress.unparked):
            raise lease_lost(generation)
        view.move(progress, self._event_id(progress.position))
        for position in progress.unparked:
            del view.parked[position]
        for parked in progress.parked:
            view.parked[parked.position] = msgspec.structs.replace(
                parked, retry=False, parked_at=datetime.now(UTC)
            )
        for document in progress.documents:
            view.keep(document)

    async def release(
        self, generation: Generation, worker: str, held: Mapping[int, int], *, leave: bool
    ) -> None:
        """See `Checkpoints.release`."""
        view = self._view(generation)
        if view is None:
            return
        for each in view.matching(held):
            partition = view.partitions[each]
            partition.attempts = max(partition.attempts - 1, 0)
            partition.let_go()
        if leave:
            view.workers.pop(worker, None)

    async def switch(self, generation: Generation, *, side_effects: bool, finish: Change) -> bool:
        """See `Checkpoints.switch`."""
        async with self._writing.lock():
            new, old = self._view(generation), self._current(generation.name, "active")
            if new is None or old is None or new is old:
                return False
            if not new.may_replace(old.reached(self._log), side_effects=side_effects):
                return False
            if old.inline and new.parked:
                return False
            await run(repr(generation.name), partial(finish, None, new.generation, old.generation))
            reached = old.reached(self._log)
            if (old.inline and new.parked) or not new.may_replace(
                reached, side_effects=side_effects
            ):
                return False  # Workers went on while it was awaited.
            del self._views[generation.name][old.generation.number]
            new.generation = msgspec.structs.replace(new.generation, state="active")
            new.paused, new.inline = old.paused, old.inline
            new.workers.clear()
            new.fence_off()
            if side_effects:
                new.leave_effects_to(old, reached)
            return True

    def has_table(self, connection: Any, name: str) -> bool:  # noqa: ARG002
        """See `Checkpoints.has_table`."""
        return False

    async def reset(self, name: str, *, setup: Change) -> bool:
        """See `Checkpoints.reset`."""
        async with self._writing.lock():
            view = self._current(name, "active")
            if view is None:
                return False
            await run(repr(name), partial(setup, None, view.generation, view.generation))
            view.partitions = [Partition(token=each.token + 1) for each in view.partitions]
            view.parked.clear()
            view.kept.clear()
            view.inline = False
            return True

    async def pause(self, name: str, *, paused: bool) -> bool:
        """See `Checkpoints.pause`."""
        views = self._views.get(name, {})
        for view in views.values():
            view.paused = paused
        return bool(views)

    async def status(self, name: str | None = None) -> Sequence[ProjectionStatus]:
        """See `Checkpoints.status`."""
        names = sorted(self._views) if name is None else [name]
        return [
            view.status(self._log)
            for each in names
            for _, view in sorted(self._views.get(each, {}).items())
        ]

    async def position(self, name: str) -> int | None:
        """See `Checkpoints.position`."""
        view = self._current(name, "active")
        return None if view is None else view.reached(self._log)

    async def parked(self, name: str, generation: int | None = None) -> Sequence[ParkedEvent]:
        """See `Checkpoints.parked`."""
        if generation is None:
            view = self._current(name, "active")
        else:
            view = self._views.get(name, {}).get(generation)
        return [] if view is None else [each for _, each in sorted(view.parked.items())]

    async def retry_parked(self, name: str, aggregate_id: str | None, *, skip: bool) -> int:
        """See `Checkpoints.retry_parked`."""
        view = self._current(name, "active")
        if view is None:
            return 0
        concerned = [
            each for each in view.parked.values() if aggregate_id in {None, each.aggregate_id}
        ]
        for each in concerned:
            if skip and each.attempts:
                del view.parked[each.position]
            else:
                view.parked[each.position] = msgspec.structs.replace(each, retry=True)
        return len(concerned)

    async def read_documents(
        self, generation: Generation, collection: str, keys: Sequence[str], partition: int | None
    ) -> Mapping[str, str]:
        """See `Checkpoints.read_documents`."""
        view = self._view(generation)
        found = [each for key in keys for each in view.under(collection, key)] if view else []
        return {
            each.key: each.data
            for each in found
            if partition in {None, each.partition} and each.data is not None
        }

    async def find_documents(
        self,
        name: str,
        collection: str,
        *,
        key: str | None = None,
        equal: Mapping[str, Any] | None = None,
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
    ) -> Sequence[Document]:
        """See `Checkpoints.find_documents`."""
        view = self._current(name, "active")
        if view is None:
            return []
        found = view.documents(collection) if key is None else view.under(collection, key)
        return chosen(found, equal or {}, order_by, descending=descending)[:limit]

    def _view(self, generation: Generation) -> View | None:
        """A generation's, unless it is retired."""
        return self._views.get(generation.name, {}).get(generation.number)

    def _current(self, name: str, state: State) -> View | None:
        views = self._views.get(name, {}).values()
        return next((each for each in views if each.generation.state == state), None)

    def _generation(self, name: str, state: State) -> Generation | None:
        view = self._current(name, state)
        return None if view is None else view.generation

    async def _make(
        self, made: Generation, setup: Change, old: Generation | None, *, after: int = 0
    ) -> None:
        await run(repr(made.name), partial(setup, None, made, old))
        self._numbers[made.name] = made.number
        views = self._views.setdefault(made.name, {})
        if old is not None:
            del views[old.number]
        begin = min(after, len(self._log)), self._event_id(min(after, len(self._log)))
        views[made.number] = View(made, [Partition(*begin) for _ in range(made.partitions)])

    def _held(self, generation: Generation, held: Mapping[int, int]) -> View:
        view = self._view(generation)
        if view is None or len(view.matching(held)) < len(held):
            raise lease_lost(generation)
        return view

    def texts(self) -> Iterator[tuple[TextPlace, str]]:
        """All that is stored of projections as text, with its place."""
        views = [each for views in self._views.values() for each in views.values()]
        return (found for each in views for found in each.texts())

    def _event_id(self, position: int) -> UUID | None:
        return self._log[position - 1].event_id if 0 < position <= len(self._log) else None

    def _lease(self, view: View, number: int) -> Lease:
        partition = view.partitions[number]
        position, event_id = partition.position, partition.event_id
        return Lease(
            partition=number,
            token=partition.token,
            position=position,
            attempts=partition.attempts,
            silent_until=partition.silent_until,
            intact=not position or (event_id is not None and event_id == self._event_id(position)),
        )
