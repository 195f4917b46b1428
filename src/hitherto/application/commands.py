"""`CommandBus`: takes a command, a plain typed value, to what carries it out."""

import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar, overload

from hitherto.application.alongside import Alongside
from hitherto.application.logging import log_event
from hitherto.application.repository import Repository, refuse_awaitable
from hitherto.application.saving import marking
from hitherto.application.store import Store, utc_now
from hitherto.domain.aggregate import Aggregate
from hitherto.domain.decider import Decided, Decider
from hitherto.domain.identifiers import check_identifier
from hitherto.domain.metadata import Metadata, current_metadata, metadata_context
from hitherto.errors import AggregateNotFound, AlreadyHandled, EventStoreError, InvalidInput

A = TypeVar("A", bound=Aggregate[Any])
C = TypeVar("C")
T = TypeVar("T")

Next = Callable[[Any], Awaitable[Any]]
"""Carries the command on, to the next middleware or to what it is for; gives the result."""

Middleware = Callable[[Any, Next], Awaitable[Any]]
"""Stands around commands: is given each one, and what comes next."""

WINDOW = timedelta(days=7)

_SCOPE = "commands"
_FORGET_EVERY = 3600.0  # seconds


@dataclass(frozen=True, slots=True)
class Target(Generic[A]):
    """What a command is for: an aggregate, and what is to be done with it.

    Attributes:
        repository: The aggregate's.
        aggregate_id: Which one.
        create: Whether a new one is begun where there is none.
        decide: Is given the aggregate.
    """

    repository: Repository[A]
    aggregate_id: str
    create: bool
    decide: Callable[[A], Any]

    async def load(self) -> A:
        """The aggregate, or a new one.

        Raises:
            AggregateNotFound: It has no event, and is not to be created.
        """
        try:
            return await self.repository.load(self.aggregate_id)
        except AggregateNotFound:
            if not self.create:
                raise
            return self.repository._new(self.aggregate_id)

    def run(self, aggregate: A) -> Any:
        """Carry the command out on the aggregate, which is not saved; gives the result."""
        result = self.decide(aggregate)
        refuse_awaitable(result)
        return result


class CommandBus:
    """Takes commands to what carries them out: an aggregate, a decider, or an async function.

    A command is an instance of any class, best a frozen struct or dataclass. Its class decides
    where it goes::

        bus = CommandBus(store, log_commands(store), validate_commands)
        bus.route(
            AddPenalty,
            fines,
            id=lambda command: command.fine_id,
            run=lambda fine, command: fine.add_penalty(command.cents),
        )
        await bus.send(AddPenalty(fine_id="fine-1", cents=500), id=request_id)

    A command that is sent with an id is carried out once: the id is kept in the transaction of
    its append, for as long as `window` says.

    Args:
        store: Where the ids of commands are kept, and whose aggregates are commanded.
        middleware: Stands around every command, the first outermost.
        window: How long a command is known by its id. Where several buses share a store, in
            whatever process, give all the same: the shortest counts.

    Raises:
        InvalidInput: The window is not above zero.
    """

    def __init__(self, store: Store, *middleware: Middleware, window: timedelta = WINDOW) -> None:
        if window <= timedelta():
            raise InvalidInput(f"window={window}: give more than zero, such as timedelta(days=7)")
        self._store = store
        self._middleware = middleware
        self._window = window
        self._forgot_at = -_FORGET_EVERY
        self._handlers: dict[type, Next] = {}
        self._targets: dict[type, Callable[[Any], Target[Any]]] = {}

    @overload
    def route(
        self,
        command: type[C],
        repository: Repository[Decided[Any, Any, Any]],
        *,
        id: Callable[[C], str],
        create: bool = False,
    ) -> None: ...

    @overload
    def route(
        self,
        command: type[C],
        repository: Repository[A],
        *,
        id: Callable[[C], str],
        run: Callable[[A, C], Any],
        create: bool = False,
    ) -> None: ...

    def route(
        self,
        command: type[C],
        repository: Repository[Any],
        *,
        id: Callable[[C], str],
        run: Callable[[Any, C], Any] | None = None,
        create: bool = False,
    ) -> None:
        """Have commands of a class carried out on an aggregate, as by `Repository.update`.

        Args:
            command: The class.
            repository: Of the aggregate or the decider.
            id: Gives the aggregate's id.
            run: Is given the aggregate and the command, perhaps several times, each on fresh
                state; it is not async. Left out: the decider executes the command.
            create: Begin a new aggregate where there is none; else that is `AggregateNotFound`.

        Raises:
            InvalidInput: The class is known already, the repository is another store's, or `run`
                is left out for what is no decider.
        """
        if repository.store is not self._store:
            raise InvalidInput(
                f"the repository for {command.__qualname__} is of another store than the bus: "
                "make both of one"
            )
        if run is None:
            if not isinstance(repository._new, Decider):
                raise InvalidInput(
                    f"{command.__qualname__}: {repository._type} is no decider: say run=, which "
                    "is given the aggregate and the command"
                )
            run = Decided[Any, Any, Any].execute
        act = run

        def target(given: C) -> Target[Any]:
            return Target(repository, id(given), create, lambda aggregate: act(aggregate, given))

        async def update(given: C) -> Any:
            aim = target(given)
            return await repository._update(aim.aggregate_id, aim.load, aim.run)

        self.register(command, update)
        self._targets[command] = target

    def register(self, command: type[C], handler: Callable[[C], Awaitable[Any]]) -> None:
        """Have commands of a class carried out by an async function.

        Args:
            command: The class.
            handler: Is given the command; it loads and saves by itself. The command's id is kept
                with its first save, so what belongs together goes into one `save_all`.

        Raises:
            InvalidInput: The class is known already.
        """
        if command in self._handlers:
            raise InvalidInput(f"{command.__qualname__} is registered already: do so once")
        self._handlers[command] = handler

    def target(self, command: object) -> Target[Any]:
        """What a command is for, for those who load and save by themselves.

        Raises:
            InvalidInput: Its class was not given to `route`.
        """
        return _of(self._targets, command, "route")(command)

    async def send(
        self, command: object, *, id: str | None = None, metadata: Metadata | None = None
    ) -> Any:
        """Have a command carried out.

        Args:
            command: An instance of a registered class.
            id: Names this command, however often it is sent; unique among all commands. Sent
                again, after an error, a crash or a lost answer, it is done if it was not done.
            metadata: Kept with the events. Its `causation_id` is the command's id, unless given;
                so is its `correlation_id`, where no `metadata_context` has one.

        Returns:
            What carried it out returned; None if it was done before.

        Raises:
            InvalidInput: The class is not registered, or the id cannot be one.
        """
        if id is not None:
            check_identifier("command id", id)
        _of(self._handlers, command, "route or register")
        carry_on: Next = lambda given: self._handle(given, id)  # noqa: E731
        for middleware in reversed(self._middleware):
            carry_on = _around(middleware, carry_on)
        told = _metadata(id, metadata)
        with metadata_context(
            correlation_id=told.correlation_id,
            causation_id=told.causation_id,
            actor=told.actor,
            **told.extra,
        ):
            return await carry_on(command)

    async def _handle(self, command: object, id: str | None) -> Any:
        handler = _of(self._handlers, command, "route or register")
        if id is None:
            return await handler(command)
        if await self._is_handled(id):
            return self._repeated(command, id)
        result = await self._handle_once(handler, command, id)
        await self._forget()
        return result

    async def _handle_once(self, handler: Next, command: object, id: str) -> Any:
        with marking(self._store, Alongside(scope=_SCOPE, handled=[id])) as mark:
            try:
                result = await handler(command)
            except EventStoreError:
                raise
            except Exception:
                # Another sender of this id may have been first, which changed what this one met.
                if mark.used or not await self._is_handled(id):
                    raise
                return self._repeated(command, id)
            if not mark.used:
                with suppress(AlreadyHandled):
                    await self._store.backend.append((), alongside=mark.alongside)
        return result

    async def _is_handled(self, id: str) -> bool:
        return bool(await self._store.backend.handled(_SCOPE, [id]))

    def _repeated(self, command: object, id: str) -> None:
        name = type(command).__name__
        log_event(self._store.logger, logging.INFO, "command_repeated", command=name, id=id)

    async def _forget(self) -> None:
        """Drop old ids now and then; that it fails is no matter of the command's."""
        now = time.monotonic()
        if now < self._forgot_at + _FORGET_EVERY:
            return
        self._forgot_at = now
        try:
            before = utc_now() - self._window
            if await self._store.backend.forget_handled(_SCOPE, before=before):
                self._forgot_at = -_FORGET_EVERY  # There may be more.
        except EventStoreError as error:
            log_event(
                self._store.logger, logging.WARNING, "commands_not_forgotten", error=str(error)
            )


def _of(known: dict[type, T], command: object, method: str) -> T:
    """What is registered for the command's class."""
    found = known.get(type(command))
    if found is None:
        names = sorted(each.__qualname__ for each in known)
        raise InvalidInput(
            f"nothing is registered for {type(command).__qualname__}: give the class to {method}; "
            f"known are {names}"
        )
    return found


def _around(middleware: Middleware, inner: Next) -> Next:
    return lambda command: middleware(command, inner)


def _metadata(id: str | None, given: Metadata | None) -> Metadata:
    """What saves inherit: as given, else as the command's id tells."""
    inherited = current_metadata().correlation_id
    own = Metadata(causation_id=id, correlation_id=id if inherited is None else inherited)
    return own if given is None else given.over(own)
