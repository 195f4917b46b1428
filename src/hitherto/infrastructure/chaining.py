"""`Chained`: a backend whose events are in hash chains, and `ResilientChain`, which reads them."""

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from hitherto.application.alongside import Alongside
from hitherto.application.chain.links import Head, Link, content_hash
from hitherto.application.ports import Chain
from hitherto.application.records import Append, PlacedEvent
from hitherto.infrastructure.decorator import Decorator
from hitherto.infrastructure.looking import Calls

_MANY = 100  # events from which on another thread hashes them, so that the loop goes on


class Chained(Decorator):
    """Decorates a backend: what is appended has its content hashed, and so is chained there.

    What is hashed is what is stored: a decorator that encrypts belongs outside of this one.
    """

    async def append(
        self, appends: Sequence[Append], *, alongside: Alongside | None = None
    ) -> tuple[int, ...]:
        """See `EventStore.append`.

        Raises:
            EventSerializationFailed: The data or metadata of an event are no JSON.
        """
        many = sum(len(append.events) for append in appends) >= _MANY
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


class ResilientChain:
    """See `Resilient`.

    Args:
        chain: What does the work.
        call: How it is called.
    """

    def __init__(self, chain: Chain, call: Calls) -> None:
        self._chain = chain
        self._call = call

    async def first(self) -> int | None:
        """See `Chain.first`; it has no deadline, for it may read all that is stored."""
        return await self._chain.first()

    async def links(self, *, after: tuple[str, int] = ("", 0), limit: int = 1000) -> Sequence[Link]:
        """See `Chain.links`."""
        return await self._call("links", lambda: self._chain.links(after=after, limit=limit))

    async def heads(self, *, after: str = "", until: int, limit: int = 1000) -> Sequence[Head]:
        """See `Chain.heads`."""
        return await self._call(
            "heads", lambda: self._chain.heads(after=after, until=until, limit=limit)
        )
