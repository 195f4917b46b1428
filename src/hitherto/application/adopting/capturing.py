"""`Capture`: takes captured changes over as events, each once."""

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from hitherto.application.adopting.baseline import OF_NO_ROW, RIVALS
from hitherto.application.adopting.mapped import CannotMap, Mapped, by_key
from hitherto.application.adopting.ports import Change
from hitherto.application.adopting.settling import settle
from hitherto.application.alongside import Alongside
from hitherto.application.logging import log_event
from hitherto.application.records import Append
from hitherto.application.saving import append
from hitherto.application.store import utc_now
from hitherto.errors import AggregateLocked, HithertoError, Unavailable

_BATCH = 200  # changes
_ATTEMPTS = 20
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.2  # seconds
_LOOK_EVERY = 0.2  # seconds
_OUTAGE = 1.0  # seconds
_REMEMBER = timedelta(days=1)  # longer than any worker is frozen, and then goes on
_FORGET_EVERY = timedelta(hours=1)

_Changes = Mapping[str, Sequence[Change]]


class Capture:
    """Takes the changes of a table over, in the order of each key, until stopped.

    What a change leads to and the mark that it is handled are one transaction of the store. Only
    then it is dropped, in the transaction that makes the row what its aggregate says by now. So
    each is applied once, whoever dies, and however many work on it. A change that is refused waits,
    with those of its key that follow; others go on.

    Args:
        mapped: The table and the aggregate.

    Attributes:
        taken: Changes that this one has taken over.
        written: Rows that it has written where new code had changed them, too.
        refused: Changes that it has refused.
    """

    def __init__(self, mapped: Mapped) -> None:
        self.taken: int = 0
        self.written: int = 0
        self.refused: int = 0
        self._mapped = mapped
        self._store = mapped.store
        self._stopped = asyncio.Event()
        self._forgot_at: datetime | None = None

    async def run(self) -> None:
        """Work until `stop` is called; outages are waited for."""
        while not self._stopped.is_set():
            pause = _LOOK_EVERY
            try:
                if await self.take():
                    continue
                await self._forget()
            except (Unavailable, AggregateLocked) as error:
                if isinstance(error, Unavailable) and not error.transient:
                    raise
                log_event(self._store.logger, logging.WARNING, "capture_waits", error=str(error))
                pause = _OUTAGE
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopped.wait()

    async def catch_up(self) -> None:
        """Work until no change waits, but for those that are refused, or `stop` is called."""
        while not self._stopped.is_set() and await self.take():
            pass

    def stop(self) -> None:
        """Let it end after the batch at hand."""
        self._stopped.set()

    async def take(self) -> int:
        """Take a batch over; returns of how many changes it was.

        Raises:
            AggregateLocked: Somebody holds a row of it for long.
            EventStoreUnavailable: The store, or the table's database, cannot be reached.
        """
        changes = await self._mapped.table.changes(_BATCH)
        parts = by_key(changes)
        if changes:
            try:
                await self._settle(parts, await self._record(parts))
            except OF_NO_ROW:
                raise
            except HithertoError:
                await self._take_each(parts)
        return len(changes)

    async def _take_each(self, parts: _Changes) -> None:
        """One key after the other, so that what is wrong with one does not concern the others."""
        locked: AggregateLocked | None = None
        for key, changes in parts.items():
            part = {key: changes}
            try:
                await self._settle(part, await self._patiently(part))
            except OF_NO_ROW:
                raise
            except AggregateLocked as error:
                locked = error
            except HithertoError as error:
                await self._refuse(changes, error)
        if locked is not None:
            raise locked

    async def _patiently(self, part: _Changes) -> dict[int, str]:
        pause = _FIRST_PAUSE
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._record(part)
            except RIVALS:
                await asyncio.sleep(pause * random.random())  # noqa: S311  # jitter
                pause = min(2 * pause, _LONGEST_PAUSE)
        return await self._record(part)

    async def _record(self, parts: _Changes) -> dict[int, str]:
        """Append what changes lead to, of each key one after the other; those that are refused."""
        ids = [each.change_id for changes in parts.values() for each in changes]
        handled = await self._store.backend.handled(self._mapped.scope, ids)
        left = {
            key: [each for each in changes if each.change_id not in handled]
            for key, changes in parts.items()
        }
        refused: dict[int, str] = {}
        while first := [changes.pop(0) for changes in left.values() if changes]:
            for change, error in await self._append(first):
                refused[change.id] = str(error)
                left[change.key] = []
        return refused

    async def _append(self, changes: Sequence[Change]) -> list[tuple[Change, CannotMap]]:
        """Append what changes lead to, each of another key; gives those that are refused."""
        mapped = self._mapped
        folds = await mapped.folds([each.key for each in changes])
        appends: list[Append] = []
        handled: list[str] = []
        refused: list[tuple[Change, CannotMap]] = []
        for change in changes:
            try:
                aggregate = mapped.change(folds.get(change.key), change)
                appends += mapped.appends([aggregate] if aggregate.pending else [])
            except CannotMap as error:
                refused.append((change, error))
            else:
                handled.append(change.change_id)
        if handled:
            await append(self._store, appends, Alongside(scope=mapped.scope, handled=handled))
        return refused

    async def _settle(self, parts: _Changes, refused: Mapping[int, str]) -> None:
        """Drop what was taken over; with a refused change, those of its key that follow stay."""
        taken: list[int] = []
        left: list[Change] = []
        for changes in parts.values():
            ids = [each.id for each in changes]
            first = next((place for place, each in enumerate(ids) if each in refused), len(ids))
            taken += ids[:first]
            left += changes[first : first + 1]
        self.written += await settle(self._mapped, parts.keys(), taken=taken, refused=refused)
        self.taken += len(taken)
        for each in left:
            self._tell_refused(each.key, refused[each.id])

    async def _refuse(self, changes: Sequence[Change], error: HithertoError) -> None:
        async with self._mapped.table.settling() as turn:
            await turn.finish((), {changes[0].id: str(error)})
        self._tell_refused(changes[0].key, str(error))

    def _tell_refused(self, key: str, reason: str) -> None:
        self.refused += 1
        table = self._mapped.table.name
        log_event(
            self._store.logger, logging.WARNING, "change_refused",
            table=table, key=key, error=reason,
        )  # fmt: skip

    async def _forget(self) -> None:
        """Drop old marks now and then, where no change waits that they could be of."""
        now = utc_now()
        if self._forgot_at is not None and now < self._forgot_at + _FORGET_EVERY:
            return
        if (await self._mapped.table.refused(1))[0]:  # They may be handled, but not written back.
            return
        self._forgot_at = now
        scope = self._mapped.scope
        if await self._store.backend.forget_handled(scope, before=now - _REMEMBER):
            self._forgot_at = None  # There may be more.
