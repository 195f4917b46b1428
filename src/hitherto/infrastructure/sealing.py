"""`Sealing`: a backend in which personal fields are stored encrypted."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from hitherto.application.alongside import Alongside
from hitherto.application.logging import log_event
from hitherto.application.looking.values import Names, Statistics, Wanted
from hitherto.application.personal import MARK, envelopes
from hitherto.application.ports import Backend, Looking
from hitherto.application.ports.personal import PersonalKeys
from hitherto.application.records import (
    Append,
    LogPage,
    PlacedEvent,
    Snapshot,
    StoredEvent,
    Stream,
)
from hitherto.application.within import CallersTransaction
from hitherto.errors import EventSerializationFailed
from hitherto.infrastructure.calling import called
from hitherto.infrastructure.ciphers import (
    Ciphers,
    ciphers_of,
    open_text,
    opened_event,
    sealed_event,
)
from hitherto.infrastructure.decorator import Decorator

T = TypeVar("T")


class Sealing(Decorator):
    """Decorates a backend: what crosses it upwards is open, what is stored below is sealed.

    Values are encrypted by AES-GCM-SIV (RFC 8452), with a random nonce, under a key of their
    subject's own, bound to the field, the subject and the key's number. Keys are fetched for each
    call that meets sealed values, and never kept: a key that was destroyed anywhere is gone
    everywhere.

    Args:
        backend: What does the work.
        keys: Where keys are; left out: in the backend.
        logger: Is told of keys that are missing.

    Attributes:
        keys: Where keys are.
        seals: True; a store refuses personal fields where it is not.
    """

    seals = True

    def __init__(
        self,
        backend: Backend,
        keys: PersonalKeys | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        super().__init__(backend)
        self.keys: PersonalKeys = keys or backend.personal
        self._logger = logger or logging.getLogger("hitherto")
        self._lacks_keys = False

    @property
    def sealed(self) -> Backend:
        """The backend, for who is to see what is stored."""
        return self.backend

    def within(self, transaction: CallersTransaction) -> Backend:
        """See `Store.within`; keys are made at once, so that nobody waits for the commit."""
        keys, run = self.keys, transaction.run
        if run is not None:

            async def waited(name: str, call: Callable[[], Awaitable[T]]) -> T:  # noqa: ARG001
                return run(call)

            keys = called(keys, waited)
        return Sealing(super().within(transaction), keys, self._logger)

    # ---- what is sealed ----

    async def append(
        self, appends: Sequence[Append], *, alongside: Alongside | None = None
    ) -> tuple[int, ...]:
        """See `EventStore.append`."""
        ciphers = await self._made(event.data for each in appends for event in each.events)
        if ciphers:
            appends = [
                msgspec.structs.replace(
                    each, events=tuple([sealed_event(event, ciphers) for event in each.events])
                )
                for each in appends
            ]
            alongside = _with_open_effects(alongside, ciphers)
        return await self.sealed.append(appends, alongside=alongside)

    async def import_events(self, events: Sequence[PlacedEvent]) -> int:
        """See `EventStore.import_events`."""
        ciphers = await self._made(event.data for event in events)
        if ciphers:
            events = [sealed_event(event, ciphers) for event in events]
        return await self.sealed.import_events(events)

    async def _made(self, texts: Iterable[str]) -> Ciphers:
        """The ciphers to seal with."""
        subjects = {
            each.subject for text in texts for each in envelopes(text).values() if not each.sealed
        }
        return ciphers_of(await self.keys.make(subjects)) if subjects else {}

    # ---- what is opened ----

    async def load(
        self, aggregate_id: str, *, fingerprint: str | None, to_version: int | None = None
    ) -> Stream:
        """See `EventStore.load`."""
        stream = await self.sealed.load(
            aggregate_id, fingerprint=fingerprint, to_version=to_version
        )
        (opened,) = await self._opened_streams([stream])
        return opened

    async def load_many(
        self, aggregate_ids: Sequence[str], *, fingerprint: str | None
    ) -> Mapping[str, Stream]:
        """See `EventStore.load_many`."""
        streams = await self.sealed.load_many(aggregate_ids, fingerprint=fingerprint)
        opened = await self._opened_streams(list(streams.values()))
        return dict(zip(streams, opened, strict=True))

    async def read(
        self,
        aggregate_id: str,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        limit: int | None = None,
        backward: bool = False,
    ) -> Sequence[StoredEvent]:
        """See `EventStore.read`."""
        events = await self.sealed.read(
            aggregate_id,
            from_version=from_version,
            to_version=to_version,
            limit=limit,
            backward=backward,
        )
        return await self.opened(events)

    async def read_all(
        self,
        *,
        after: int = 0,
        limit: int = 1000,
        event_types: Sequence[str] | None = None,
        aggregate_types: Sequence[str] | None = None,
    ) -> LogPage:
        """See `EventStore.read_all`."""
        page = await self.sealed.read_all(
            after=after, limit=limit, event_types=event_types, aggregate_types=aggregate_types
        )
        return LogPage(events=await self.opened(page.events), checkpoint=page.checkpoint)

    async def opened(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        """Stored events, their personal fields open, or redacted where the key is gone.

        One that cannot be opened stays as it is stored, and is decoded by nobody.
        """
        sealed = [each.data for each in events if MARK in each.data]
        if not sealed:
            return events
        ciphers = await self._found(sealed)
        return [self._opened(each, ciphers) if MARK in each.data else each for each in events]

    def _opened(self, event: StoredEvent, ciphers: Ciphers) -> StoredEvent:
        try:
            return opened_event(event, ciphers)
        except EventSerializationFailed as error:
            log_event(self._logger, logging.WARNING, "personal_value_unreadable", error=str(error))
            return event

    async def _opened_streams(self, streams: Sequence[Stream]) -> Sequence[Stream]:
        sealed = [row[3] for each in streams for row in each.events if MARK in row[3]]
        if not sealed:
            return streams
        ciphers = await self._found(sealed)
        return [
            msgspec.structs.replace(
                each,
                events=[
                    (version, event_type, schema, open_text(data, ciphers), aggregate_type)
                    for version, event_type, schema, data, aggregate_type in each.events
                ],
            )
            for each in streams
        ]

    async def _found(self, texts: Iterable[str]) -> Ciphers:
        """The ciphers to open with."""
        wanted: set[tuple[str, int]] = set()
        for text in texts:
            with suppress(EventSerializationFailed):  # Whoever opens it tells that.
                found = envelopes(text).values()
                wanted |= {(each.subject, each.key) for each in found if each.sealed}
        if not wanted:
            return {}
        there = ciphers_of(await self.keys.keys({subject for subject, _ in wanted}))
        missing = wanted - there.keys()
        if missing:
            self._lacks_keys = True
            log_event(self._logger, logging.WARNING, "personal_keys_missing", keys=len(missing))
        return {**dict.fromkeys(missing), **there}

    async def save_snapshot(self, snapshot: Snapshot, *, replacing: int | None = None) -> bool:
        """See `SnapshotStore.save_snapshot`.

        Once keys were missing, as where a process was not given them, none is kept: others, who
        have the keys, would be given what is redacted.
        """
        if self._lacks_keys:
            return False
        return await super().save_snapshot(snapshot, replacing=replacing)

    @property
    def looking(self) -> Looking:
        """See `Backend.looking`."""
        return _OpenLooking(self.sealed.looking, self.opened)


class _OpenLooking:
    """See `Looking`."""

    def __init__(
        self,
        looking: Looking,
        opened: Callable[[Sequence[StoredEvent]], Awaitable[Sequence[StoredEvent]]],
    ) -> None:
        self._looking = looking
        self._opened = opened

    async def event(self, event_id: UUID) -> StoredEvent | None:
        """See `Looking.event`."""
        event = await self._looking.event(event_id)
        return None if event is None else (await self._opened([event]))[0]

    async def search(self, wanted: Wanted, **bounds: Any) -> LogPage:
        """See `Looking.search`."""
        page = await self._looking.search(wanted, **bounds)
        return LogPage(events=await self._opened(page.events), checkpoint=page.checkpoint)

    async def names(self) -> Names:
        """See `Looking.names`."""
        return await self._looking.names()

    async def statistics(self, *, now: datetime, snapshot_every: int, top: int = 10) -> Statistics:
        """See `Looking.statistics`."""
        return await self._looking.statistics(now=now, snapshot_every=snapshot_every, top=top)


def _with_open_effects(alongside: Alongside | None, ciphers: Ciphers) -> Alongside | None:
    """Inline projections are told open values."""
    effects = None if alongside is None else alongside.effects
    if alongside is None or effects is None:
        return alongside

    def opened(stored: Sequence[StoredEvent], connection: Any) -> Awaitable[None] | None:
        return effects([opened_event(each, ciphers) for each in stored], connection)

    return msgspec.structs.replace(alongside, effects=opened)
