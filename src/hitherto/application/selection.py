"""`Selection`: which events of the log are asked for, and how they are decoded."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec

from hitherto.application.codec import decoded_metadata, recorded_event
from hitherto.application.records import StoredEvent, check_page
from hitherto.domain.definition import Definition
from hitherto.domain.event import Event
from hitherto.domain.handlers import event_classes
from hitherto.domain.recorded import RecordedEvent
from hitherto.errors import InvalidInput

if TYPE_CHECKING:
    from hitherto.application.store import Store

T = TypeVar("T")
E = TypeVar("E", bound=StoredEvent | RecordedEvent[Any])

PAGE = 1000
"""The most events that are read at once."""

_TURN = 200  # events between two turns of the event loop, which reads ahead meanwhile


class Undecoded(Event):
    """Stands for an event whose class the code does not know, where that was asked for.

    Attributes:
        data: The event's own fields, as JSON.
    """

    data: str


class Page(msgspec.Struct, Generic[E], frozen=True, kw_only=True):
    """Some events in a row.

    Attributes:
        events: In order; none where nothing matched.
        checkpoint: Every matching event up to it is in this page or before it.
        full: Whether there may be more right behind it.
    """

    events: Sequence[E]
    checkpoint: int
    full: bool

    def up_to(self, position: int | None) -> "Page[E]":
        """What of it is not beyond a position; None: all."""
        if position is None or self.checkpoint < position:
            return self
        events = [each for each in self.events if each.position <= position]
        return Page(events=events, checkpoint=position, full=False)


class Selection:
    """Which events of a store's log are asked for.

    Args:
        store: Decodes them.
        types: Event classes, or a union of them; None: all that there are.
        aggregate_types: Aggregate classes, deciders or stored names; None: all.
        undecoded: Whether events of unknown types are given too, as `Undecoded`.

    Raises:
        InvalidInput: A class that is no event's, or is in no aggregate's union.
    """

    def __init__(
        self,
        store: "Store",
        types: Any = None,
        aggregate_types: Iterable[Any] | None = None,
        *,
        undecoded: bool = False,
    ) -> None:
        self._store = store
        self._undecoded = undecoded
        self._decode_metadata = store.codec.decoder(dict[str, Any])
        self._wanted: Collection[tuple[str, str]] | None = None
        self._chosen: Collection[type[Event]] | None = None
        self._event_types: Sequence[str] | None = None
        self._aggregate_types: Sequence[str] | None = None
        if aggregate_types is not None:
            self._aggregate_types = [_stored_name(store, each) for each in _listed(aggregate_types)]
        if types is not None:
            self._narrow(event_classes(types))
        check_page(0, 1, event_types=self._event_types, aggregate_types=self._aggregate_types)

    async def read(self, after: int, limit: int) -> Page[StoredEvent]:
        """A page of the log; `limit` bounds what is read, a part of which may not match."""
        page = await self._store.backend.read_all(
            after=after,
            limit=limit,
            event_types=self._event_types,
            aggregate_types=self._aggregate_types,
        )
        events = page.events
        if self._wanted is not None:  # The filter by names takes each with each.
            events = list(filter(self.wants, events))
        return Page(events=events, checkpoint=page.checkpoint, full=len(page.events) == limit)

    def wants(self, stored: StoredEvent) -> bool:
        """Whether an event is asked for."""
        if self._wanted is not None:
            return (stored.aggregate_type, stored.event_type) in self._wanted
        return self._aggregate_types is None or stored.aggregate_type in self._aggregate_types

    def decode(self, stored: StoredEvent) -> Sequence[RecordedEvent[Any]]:
        """An event of such a page: one, unless upcasters give others.

        Raises:
            EventSerializationFailed: The code does not know its type, or its data do not fit.
        """
        if self._undecoded:
            serializer = self._store.known_serializer(stored.aggregate_type)
            if serializer is None or not serializer.knows(stored):
                metadata = decoded_metadata(stored, self._decode_metadata)
                return (recorded_event(stored, Undecoded(data=stored.data), metadata),)
        found = self._store.recorded(stored)
        if self._chosen is None:
            return found
        return [each for each in found if type(each.event) in self._chosen]

    def _narrow(self, classes: Iterable[type[Event]]) -> None:
        """Filter by both names, or by the aggregates' alone where that comes to the same."""
        chosen = set(classes)
        pairs: set[tuple[str, str]] = set()
        found: dict[str, Definition] = {}
        for cls in chosen:
            owners: dict[str, Definition] = cls.__definitions__
            if not owners:
                raise InvalidInput(
                    f"{cls.__qualname__} is in no aggregate's union: import the aggregate that "
                    "records it"
                )
            for name, definition in owners.items():
                if self._aggregate_types is None or name in self._aggregate_types:
                    names = (*cls.__stored_names__, *[each for each, _ in definition.upcasters])
                    pairs.update((name, each) for each in names)
                    found[name] = definition
                    if self._store.known_serializer(name) is None:
                        self._store.serializer(definition)
        if any(definition.upcasters for definition in found.values()):
            self._chosen = chosen  # What upcasters give is known when they have given it.
        self._wanted = pairs
        self._aggregate_types = sorted({aggregate_type for aggregate_type, _ in pairs})
        if any(not definition.event_classes <= chosen for definition in found.values()):
            self._event_types = sorted({event_type for _, event_type in pairs})


async def walk(
    read: Callable[[int], Awaitable[Page[StoredEvent]]],
    after: int,
    decode: Callable[[StoredEvent], Iterable[T]],
) -> AsyncGenerator[T]:
    """All events after a position, up to the watermark; a page is read ahead.

    Args:
        read: Gives the page after a position.
        after: Where to begin.
        decode: What is made of each stored event.
    """
    reading = asyncio.ensure_future(read(after))
    try:
        while True:
            page = await reading
            if page.full:
                reading = asyncio.ensure_future(read(page.checkpoint))
            for number, each in enumerate(chain.from_iterable(map(decode, page.events))):
                if not number % _TURN:
                    await asyncio.sleep(0)
                yield each
            if not page.full:
                return
    finally:
        reading.cancel()


def _listed(values: Any) -> Collection[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InvalidInput(f"{values!r}: give a list, such as [{values!r}]")
    return list(cast("Any", values))


def _stored_name(store: "Store", kind: Any) -> Any:
    definition = getattr(kind, "definition", None)
    if not isinstance(definition, Definition):
        return kind
    if store.known_serializer(definition.aggregate_type) is None:
        store.serializer(definition)
    return definition.aggregate_type
