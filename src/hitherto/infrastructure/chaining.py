"""`Chained`: a backend whose events are in hash chains."""

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from hitherto.application.alongside import Alongside
from hitherto.application.chain.links import content_hash
from hitherto.application.ports import Backend
from hitherto.application.records import Append, PlacedEvent
from hitherto.application.within import CallersTransaction
from hitherto.infrastructure.decorator import Decorator

_MANY = 100  # events from which on another thread hashes them, so that the loop goes on


class Chained(Decorator):
    """Decorates a backend: what is appended has its content hashed, and so is chained there.

    What is hashed is what is stored: a decorator that encrypts belongs outside of this one.

    Args:
        backend: What does the work.
        threads: Whether many events may be hashed by another thread.
    """

    def __init__(self, backend: Backend, *, threads: bool = True) -> None:
        super().__init__(backend)
        self._threads = threads

    def within(self, transaction: CallersTransaction) -> Backend:
        """See `Store.within`."""
        return Chained(super().within(transaction), threads=transaction.run is None)

    async def append(
        self, appends: Sequence[Append], *, alongside: Alongside | None = None
    ) -> tuple[int, ...]:
        """See `EventStore.append`.

        Raises:
            EventSerializationFailed: The data or metadata of an event are no JSON.
        """
        many = self._threads and sum(len(append.events) for append in appends) >= _MANY
        hashed = await asyncio.to_thread(_appends, appends) if many else _appends(appends)
        return await self.backend.append(hashed, alongside=alongside)

    async def import_events(self, events: Sequence[PlacedEvent]) -> int:
        """See `EventStore.import_events`.

        Raises:
            EventSerializationFailed: The data or metadata of an event are no JSON.
        """
        return await self.backend.import_events(await asyncio.to_thread(_history, events))


def _appends(appends: Sequence[Append]) -> list[Append]:
    return [_append(append) for append in appends]


def _append(append: Append) -> Append:
    place = append.aggregate_id, append.aggregate_type
    events = tuple(
        [
            replace(event, content_hash=content_hash(event, *place, version))
            for version, event in enumerate(append.events, append.expected_version + 1)
        ]
    )
    return replace(append, events=events)


def _history(events: Sequence[PlacedEvent]) -> list[PlacedEvent]:
    return [
        replace(
            event,
            content_hash=content_hash(
                event, event.aggregate_id, event.aggregate_type, event.version
            ),
        )
        for event in events
    ]
