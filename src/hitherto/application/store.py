"""`Store`: what `connect` returns, a backend with all that stands around it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from hitherto.application.codec import JsonCodec, Serializer, unknown_aggregate_type
from hitherto.application.health import Health, worse_by
from hitherto.application.ids import time_ordered_id
from hitherto.application.importing import History, Imported, Progress, import_events, in_silence
from hitherto.application.inline import Inline
from hitherto.application.instrumentation import Instrumentation
from hitherto.application.ports import Backend, Clock, Codec, IdFactory
from hitherto.application.readers import DocumentReader, TotalsReader
from hitherto.application.records import StoredEvent
from hitherto.application.selection import PAGE, Page, Selection, walk
from hitherto.application.subscription import Subscription
from hitherto.application.turns import Turns
from hitherto.application.waiting import reached
from hitherto.application.within import CallersTransaction, store_within
from hitherto.domain.definition import Definition
from hitherto.domain.event import Event
from hitherto.domain.identifiers import check_identifier
from hitherto.domain.recorded import RecordedEvent
from hitherto.errors import ConfigurationError, InvalidInput, ProjectionBehind

if TYPE_CHECKING:
    from hitherto.application.projection import Projection
    from hitherto.application.views import Documents, Totals

D = TypeVar("D")

_appended: ContextVar[Mapping[object, int]] = ContextVar(
    "hitherto_appended", default=MappingProxyType({})
)


def utc_now() -> datetime:
    """The default clock."""
    return datetime.now(UTC)


class Store:
    """An event store, opened by ``async with``; hand it to repositories.

    Args:
        backend: Where events are kept.
        codec: How values become JSON text.
        clock: Tells the time of a save, with a time zone.
        new_id: Makes event ids.
        instrumentation: Hooks for metrics and traces.
        logger: Gets one event name with key-values a line; never a payload.
        snapshot_threshold: Events between snapshots, where a repository does not say.
        inline: Projections whose effects are committed with each append, through its connection;
            the same in every process that appends.

    Attributes:
        backend: The port below: encoded events, for tools.
        sealed: The same, but personal fields are told as they are stored.
        outer: The store itself, of one that works in a transaction of the caller's.
        turn: Gives what lets updates of one aggregate through this store take turns.
        ended: By projection, that its worker in this process has failed, and why.
        patience: Gives what nobody has asked for so many seconds at the most.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        codec: Codec | None = None,
        clock: Clock = utc_now,
        new_id: IdFactory = time_ordered_id,
        instrumentation: Instrumentation | None = None,
        logger: logging.Logger | None = None,
        snapshot_threshold: int = 100,
        inline: Sequence["Projection[Any]"] = (),
    ) -> None:
        self.backend = backend
        self.sealed: Backend = getattr(backend, "sealed", backend)
        self.codec: Codec = codec or JsonCodec()
        self.clock = clock
        self.new_id = new_id
        self.instrumentation: Instrumentation = instrumentation or Instrumentation()
        self.logger: logging.Logger = logger or logging.getLogger("hitherto")
        self.snapshot_threshold = snapshot_threshold
        self._serializers: dict[str, Serializer[Any]] = {}
        self.inline: Inline = Inline(self, inline)
        self.outer: Store | None = None
        self.ended: dict[str, str] = {}
        self.patience: Callable[[float], AbstractAsyncContextManager[Any]] = asyncio.timeout
        self._key = object()  # unlike the id of a store that is gone, never met again
        self.turn: Callable[[str], AbstractAsyncContextManager[None]] = Turns().turn

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect, and make or migrate the tables; ``async with`` calls it.

        Raises:
            EventStoreUnavailable: The server cannot be reached.
            SchemaMismatch: The tables are newer than this code, or may not be migrated.
            ProjectionBehind: An inline projection has not seen the whole log.
        """
        await self.backend.open()
        try:
            await self.inline.open()
        except BaseException:
            await self.backend.close()
            raise
        self.instrumentation.store_opened(self.backend.usage)

    async def close(self) -> None:
        """Let go of all connections and files; ``async with`` calls it."""
        self.instrumentation.store_closed(self.backend.usage)
        await self.backend.close()

    def within(self, transaction: Any) -> Self:
        """This store, in a transaction of yours: for repositories, and to `read`.

        It is all or nothing with what you write yourself. A save that fails leaves the transaction
        as it was; nothing is tried again. After a rollback load the aggregates anew: those that
        were saved are ahead of what is stored.

        Args:
            transaction: A connection of asyncpg, an async one of psycopg 3, or an `AsyncSession` or
                `AsyncConnection` of SQLAlchemy's, to the database of this store.

        Raises:
            ConfigurationError: It is none of these, or the store is not on PostgreSQL; from the
                first call: it is in no transaction, not in READ COMMITTED, or elsewhere.
            EventStoreUnavailable: The store is not open.
        """
        return store_within(self, CallersTransaction(transaction))

    def serializer(self, definition: Definition) -> Serializer[Any]:
        """The serializer of one kind of aggregate; from now on this store can read its events."""
        known = self._serializers.get(definition.aggregate_type)
        if known is None or known.definition is not definition:
            known = Serializer[Any](definition, self.codec)
            if known.has_personal and not getattr(self.backend, "seals", False):
                raise ConfigurationError(
                    f"{definition.owner.__qualname__} has Personal fields, and this backend would "
                    "store them as they are: make the store by `connect`"
                )
            self._serializers[definition.aggregate_type] = known
        return known

    async def read(
        self,
        aggregate_id: str,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        limit: int | None = None,
        backward: bool = False,
    ) -> list[RecordedEvent[Event]]:
        """Events of one aggregate, both bounds included; newest first if `backward`.

        The classes of its events are known from the repositories made on this store.

        Raises:
            EventSerializationFailed: An event is of a type that no repository knows.
        """
        stored = await self.backend.read(
            check_identifier("aggregate id", aggregate_id),
            from_version=from_version,
            to_version=to_version,
            limit=limit,
            backward=backward,
        )
        return [recorded for event in stored for recorded in self.recorded(event)]

    def read_all(
        self,
        *,
        after: int = 0,
        event_types: Sequence[str] | None = None,
        aggregate_types: Sequence[str] | None = None,
    ) -> AsyncIterator[RecordedEvent[Event]]:
        """The whole log in order, from a position (exclusive) up to the watermark.

        It reads page by page, one ahead, so memory stays bounded; it ends at the watermark of its
        start or later.

        Raises:
            EventSerializationFailed: An event is of a type that no repository knows.
        """

        async def read(after: int) -> Page[StoredEvent]:
            page = await self.backend.read_all(
                after=after, limit=PAGE, event_types=event_types, aggregate_types=aggregate_types
            )
            full = len(page.events) == PAGE
            return Page(events=page.events, checkpoint=page.checkpoint, full=full)

        return walk(read, after, self.recorded)

    def subscribe(
        self,
        types: Any = None,
        *,
        after: int = 0,
        aggregate_types: Sequence[Any] | None = None,
        undecoded: bool = False,
    ) -> Subscription:
        """The log from a position on: the events that there are, then those that come.

        Args:
            types: Only events of these classes: one, several, or a union. Left out, every event
                is given, and one of a class that the code does not know ends the subscription
                with `EventSerializationFailed`.
            after: Where to begin: 0, a subscription's or a page's `checkpoint`, or, for what is
                new, the `watermark`.
            aggregate_types: Only events of these aggregate classes, deciders or stored names.
            undecoded: Give an event of an unknown class too, as `Undecoded`.

        Raises:
            InvalidInput: A class is not an event's, or is in the union of no aggregate.
        """
        selection = Selection(self, types, aggregate_types, undecoded=undecoded)
        return Subscription(self, selection, after)

    def documents(self, view: "type[Documents[D, Any]]") -> DocumentReader[D]:
        """Reads the documents of a view."""
        return DocumentReader(self.backend.checkpoints, view.name, view.decode, view.fields)

    def totals(self, view: "type[Totals[Any, Any]]") -> TotalsReader:
        """Reads the totals of a view."""
        return TotalsReader(self.backend.checkpoints, view.name)

    async def wait_for(
        self,
        projection: "Projection[Any] | type[Projection[Any]] | str",
        position: int | None = None,
        *,
        timeout: float = 30.0,  # noqa: ASYNC109  # its end has an error of its own
    ) -> None:
        """Wait until a projection shows what this task has last saved, or what is at a position.

        Args:
            projection: It, its class, or its name.
            position: What `Repository.save` has returned; left out: the last append of this task.
                A task that has appended nothing does not wait.
            timeout: The most seconds.

        Raises:
            ProjectionBehind: The time is over.
            EventStoreUnavailable: The store cannot be reached.
        """
        if position is None:
            position = _appended.get().get(self._key, 0)
        name = projection if isinstance(projection, str) else projection.name
        try:
            async with asyncio.timeout(timeout):
                await reached(self.backend.checkpoints, name, position)
        except TimeoutError:
            raise ProjectionBehind(
                f"{name!r} did not come to position {position} within {timeout:g} s: see whether "
                "a worker runs (`hitherto projections list`)"
            ) from None

    def appended(self, position: int) -> None:
        """Remember what this task has appended, for `wait_for`; a rollback would not be told."""
        if self.outer is None:
            _appended.set({**_appended.get(), self._key: position})

    async def import_events(
        self,
        events: History,
        *,
        progress: Progress = in_silence,
    ) -> Imported:
        """Store a history that was made elsewhere, in its own order, fast.

        It is written in chunks, each of which is stored whole or not at all. An import that was
        broken off may be run again: what is stored already is skipped. A history is told in
        `PastEvent`, or by another store's `read_all`.

        Args:
            events: In order: of each aggregate version 1, 2, 3 …, or what follows the stored
                ones. The repositories made on this store tell their classes.
            progress: Told after each chunk.

        Raises:
            AggregateVersionConflict: A version does not follow the one before it, or another
                event is stored under it.
            AggregateIDMismatch: An aggregate is stored under another type.
            EventSerializationFailed: No repository knows an event's type.
            InvalidInput: An event's class is not in the aggregate's union, an event id is stored
                elsewhere, or another value cannot be stored.
            EventStoreUnavailable: The store cannot be reached.
        """
        if self.inline:
            raise InvalidInput(
                "a store with inline projections takes no import, which would not run them: "
                "import with a store that has none, then fill their views"
            )
        return await import_events(self, events, progress)

    async def watermark(self) -> int:
        """The highest position up to which no event can appear any more."""
        return await self.backend.watermark()

    async def health_check(self) -> Health:
        """The state of the store, and of workers of it in this process that have failed.

        It reports what is wrong rather than raise.
        """
        return worse_by(await self.backend.health_check(), tuple(self.ended.values()))

    def known_serializer(self, aggregate_type: str) -> Serializer[Any] | None:
        """The serializer of a kind of aggregate that a repository was made of."""
        return self._serializers.get(aggregate_type)

    def recorded(self, stored: StoredEvent) -> Sequence[RecordedEvent[Event]]:
        """What the backend has stored, decoded: one event, unless an upcaster gives others.

        Raises:
            EventSerializationFailed: No repository knows its type, or its data do not fit.
        """
        serializer = self._serializers.get(stored.aggregate_type)
        if serializer is None:
            which = f"event {stored.event_type!r} of {stored.aggregate_id!r}"
            raise unknown_aggregate_type(
                f"{which} at version {stored.version}", stored.aggregate_type
            )
        return serializer.recorded(stored)
