"""`Projection`: what is to be done with events, in order, to have a view of them."""

import inspect
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import new_class
from typing import Any, ClassVar, Generic, TypeVar, cast

from hitherto.application.checkpoints import Document, Generation
from hitherto.domain.event import Event
from hitherto.domain.handlers import EventHandler, Handlers, event_classes, handlers_of, on
from hitherto.domain.identifiers import check_identifier
from hitherto.domain.recorded import RecordedEvent
from hitherto.errors import InvalidInput

C = TypeVar("C")
Recorded = RecordedEvent[Any]

ReadDocuments = Callable[[str, int, Sequence[str]], Awaitable[Mapping[str, str]]]
"""The documents of a collection and a partition, by key."""

_TABLE = re.compile(r"(?:[a-z_][a-z0-9_]{0,62}\.)?[a-z_][a-z0-9_]{0,49}")

SPREAD = 64
"""Partitions of a projection that is spread over workers; fixed, so that they may come and go."""


@dataclass(slots=True)
class Batch(Generic[C]):
    """What a projection is given together with events.

    Attributes:
        connection: In whose transaction the effects and the checkpoint are committed. Which type
            it has depends on the store: asyncpg's or apsw's connection, or what `transactions` of
            the worker gives; None on a store in memory, and for effects elsewhere.
        generation: The filling that this is a part of.
        silent: Whether an earlier generation has done the side effects of these events.
        documents: Documents to write in the same transaction.
        tables: The projection's own.
    """

    connection: C
    generation: Generation
    silent: bool
    documents: list[Document]
    tables: tuple[str, ...]

    def table(self, name: str) -> str:
        """The name under which one of the projection's `tables` is to be written now.

        Raises:
            InvalidInput: It is none of them.
        """
        if name not in self.tables:
            raise InvalidInput(
                f"{name!r} is no table of {self.generation.name!r}: name it in the class "
                f"statement, tables={[*self.tables, name]!r}"
            )
        return table_name(name, self.generation)


@dataclass(slots=True)
class Context(Batch[C]):
    """What a handler is given together with one event.

    Attributes:
        recorded: The event with its envelope.
    """

    recorded: Recorded

    @property
    def idempotency_key(self) -> str:
        """The same each time this event is given to this projection, and no other."""
        return f"{self.generation.name}:{self.recorded.event_id}"


class Projection(Generic[C]):
    """Base of your projections; `C` is the type of the connection that they write to.

    A handler is a method marked with `on`; the annotation of its first parameter tells which
    events it is for, a class or a union::

        class Balances(Projection[asyncpg.Connection], version=2, tables=["balances"]):
            async def setup(self, connection, batch):
                await connection.execute(f"CREATE TABLE {batch.table('balances')} (…)")

            @on
            async def paid(self, event: PaymentReceived, context: Context[asyncpg.Connection]):
                await context.connection.execute(
                    f"INSERT INTO {context.table('balances')} …", context.recorded.aggregate_id
                )

    Where many events can be handled at once, override `handle` in place of handlers, and name the
    events in the class statement. On SQLite, methods are plain functions. One that writes nothing
    in the store's database is a `Projection[None]`.

    Args (of the class statement):
        name: The stored name; the class's name if left out.
        version: Bump it when the view must be built anew; it is then filled beside the old one.
        events: The event classes, where `handle` is overridden; None: every event.
        tables: The tables that `setup` makes, which a rebuild fills under other names and then
            puts in place of the old ones.
        elsewhere: The effects are not in the store's database: they are done before the
            checkpoint is moved, so at least once, with an idempotency key.
    """

    name: str = ""
    version: ClassVar[int] = 1
    tables: ClassVar[tuple[str, ...]] = ()
    elsewhere: ClassVar[bool] = False
    events: tuple[type[Event], ...] | None = None
    _handlers: ClassVar[Handlers] = {}

    def __init_subclass__(
        cls,
        *,
        name: str | None = None,
        version: int = 1,
        events: Any = None,
        tables: Sequence[str] = (),
        elsewhere: bool | None = None,
        **options: Any,
    ) -> None:
        super().__init_subclass__(**options)
        cls.name = check_identifier("the projection's name", cls.__name__ if name is None else name)
        given: Any = version
        if not isinstance(given, int) or not 1 <= version < 2**31:
            raise InvalidInput(f"{cls.__qualname__}: version={version}, but versions are 1, 2, 3 …")
        cls.version = version
        if isinstance(tables, str):
            raise InvalidInput(f"{cls.__qualname__}: tables={tables!r}: give a list, [{tables!r}]")
        cls.tables = tuple(tables)
        for table in cls.tables:
            if not _TABLE.fullmatch(table):
                raise InvalidInput(
                    f"{cls.__qualname__}: table {table!r}: give a name of lower-case letters, "
                    "digits and _, 50 at most, perhaps with a schema's before a dot"
                )
        if elsewhere is not None:
            cls.elsewhere = elsewhere
        cls._handlers = handlers_of(cls)
        if events is not None:
            cls.events = event_classes(events)
        elif cls._handlers:
            cls.events = tuple(cls._handlers)

    def check(self) -> None:
        """See that it does something; a worker calls it.

        Raises:
            InvalidInput: It has no handler.
        """
        cls: Any = type(self)
        handles = self._handlers or cls.handle is not Projection[Any].handle
        if not handles and not self.gathers:
            raise InvalidInput(
                f"{cls.__qualname__} handles nothing: mark its methods with @on, or override handle"
            )

    def setup(self, connection: C, batch: Batch[C]) -> Awaitable[None] | None:
        """Make the projection's `tables`, under the names that `batch.table` gives.

        Name no index or constraint in it, for the next version's is made while it is there.
        """

    def handle(self, events: Sequence[Recorded], batch: Batch[C]) -> Awaitable[None] | None:
        """Handle events, in order; all or none of it is committed.

        By default it calls the handlers. Override it where many events can be written at once.
        """
        return in_order(self._calls(events, batch))

    async def gather(
        self, events: Sequence[Recorded], batch: Batch[C], read: "ReadDocuments"
    ) -> None:
        """Look up, before the transaction, what handling the events needs; fill `batch.documents`.

        Nobody else writes the documents of these events' partitions meanwhile, or else the
        transaction is refused.
        """

    async def caught_up(self) -> float | None:
        """Called when all that is stored has been handled, by the worker that has done so.

        Returns:
            Seconds until it is to be called again at the latest; None: after the next events.
        """
        return None

    @property
    def gathers(self) -> bool:
        """Whether it has something to do before the transaction, in `gather`."""
        cls: Any = type(self)
        return cls.gather is not Projection[Any].gather

    @property
    def side_effects(self) -> bool:
        """Whether it has a handler whose effect is not in the view."""
        return self.elsewhere or any(each.side_effect for each in self._all_handlers())

    def _calls(self, events: Sequence[Recorded], batch: Batch[C]) -> Iterator[Any]:
        for recorded in events:
            event: Event = recorded.event
            for handler in self._handlers.get(type(event), ()):
                if handler.side_effect and batch.silent:
                    continue
                yield handler.function(self, event, _context(batch, recorded))

    def _all_handlers(self) -> list[EventHandler]:
        return [each for handlers in self._handlers.values() for each in handlers]


Handler = Callable[[Any, Context[C]], Awaitable[None] | None]


def projection(
    name: str, handler: Handler[C], *, version: int = 1, elsewhere: bool = False
) -> Projection[C]:
    """A projection of one function, whose first parameter's annotation tells the events.

    Args:
        name: The stored name.
        handler: Is given each event, and its `Context`.
        version: Bump it when the view must be built anew.
        elsewhere: See `Projection`.
    """

    def method(_self: Any, event: Any, context: Context[C]) -> Awaitable[None] | None:
        return handler(event, context)

    async def async_method(_self: Any, event: Any, context: Context[C]) -> None:
        await cast("Awaitable[None]", handler(event, context))

    wrapped: Any = on(async_method if inspect.iscoroutinefunction(handler) else method)
    wrapped.__wrapped__ = handler
    options = {"name": name, "version": version, "elsewhere": elsewhere}
    cls = new_class(
        getattr(handler, "__name__", name),
        (Projection,),
        options,
        lambda body: body.update(on=wrapped),
    )
    made: Projection[C] = cls()
    return made


def batch_of(
    projection: Projection[C], generation: Generation, connection: C, *, silent: bool
) -> Batch[C]:
    """What a projection is given together with some events."""
    return Batch(connection, generation, silent, [], projection.tables)


def stored_nowhere(projection: Projection[Any]) -> Generation:
    """Stands for a generation of which no store keeps checkpoints."""
    return Generation(
        name=projection.name, number=0, version=projection.version, state="active", partitions=1
    )


def table_name(name: str, generation: Generation) -> str:
    """The name of a projection's table in one of its generations."""
    return name if generation.state == "active" else f"{name}__{generation.number}"


def in_order(results: Iterator[Any]) -> Awaitable[None] | None:
    """Take each result, and await those that are to be; None if none of them is.

    The next one is not taken before the one before it is done.
    """
    for result in results:
        if inspect.isawaitable(result):
            return _awaited(result, results)
    return None


async def _awaited(first: Awaitable[Any], rest: Iterator[Any]) -> None:
    await first
    for result in rest:
        if inspect.isawaitable(result):
            await result


def _context(batch: Batch[C], recorded: Recorded) -> Context[C]:
    return Context(
        batch.connection, batch.generation, batch.silent, batch.documents, batch.tables, recorded
    )
