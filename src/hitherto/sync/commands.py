"""`CommandBus` and the middleware that is made for a store, without await."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import ContextVar, copy_context
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar, overload

from hitherto.application import commands as _asynchronous
from hitherto.application import middleware as _middleware
from hitherto.application.commands import Middleware
from hitherto.application.repository import refuse_awaitable
from hitherto.domain.aggregate import Aggregate
from hitherto.domain.decider import Decided
from hitherto.domain.metadata import Metadata
from hitherto.sync.repository import Repository
from hitherto.sync.store import Store, last_appends

A = TypeVar("A", bound=Aggregate[Any])
C = TypeVar("C")


class CommandBus:
    """Takes commands to what carries them out, from any thread. See `hitherto.CommandBus`.

    Functions given to `register` run in the thread that sends the command. Those given to `route`
    run in the background loop's, as middleware does, which is async: they must not call
    `hitherto.sync`.
    """

    def __init__(
        self, store: Store, *middleware: Middleware, window: timedelta = _asynchronous.WINDOW
    ) -> None:
        self._store = store
        self._async = _asynchronous.CommandBus(store._async, *middleware, window=window)

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
        run: Any = None,
        create: bool = False,
    ) -> None:
        """See `hitherto.CommandBus.route`."""
        self._async.route(command, repository._async, id=id, run=run, create=create)

    def register(self, command: type[C], handler: Callable[[C], Any]) -> None:
        """Have commands of a class carried out by a plain function.

        See `hitherto.CommandBus.register`; it runs in the thread that sends the command.
        """

        async def handle(given: C) -> Any:
            return await _sending.get().call(partial(handler, given))

        self._async.register(command, handle)

    def send(
        self, command: object, *, id: str | None = None, metadata: Metadata | None = None
    ) -> Any:
        """See `hitherto.CommandBus.send`."""
        sending = _Sending(partial(self._async.send, command, id=id, metadata=metadata))
        return sending.run(self._store)


class _Call:
    """A function that is to be called in another thread, with the context of here."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function
        self.context = copy_context()
        self.outcome: Future[Any] = Future()
        self.done = asyncio.Event()

    def __call__(self) -> None:
        try:
            self.outcome.set_result(self.context.run(self.function))
        except BaseException as error:  # noqa: BLE001  # it is raised where the outcome is taken
            self.outcome.set_exception(error)


class _Sending:
    """A command under way: on the loop, but for what it calls in the thread that sends it.

    While such a function runs, no operation is under way: so it may use stores, and fork.
    """

    def __init__(self, send: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._send = send
        self._context = copy_context()
        self._context.run(_sending.set, self)
        self._calls: asyncio.Queue[_Call | None] = asyncio.Queue()
        self._task: asyncio.Task[Any] | None = None

    def run(self, store: Store) -> Any:
        """Send it, and give what it gives."""
        call = store._run(self._begin)
        try:
            while call is not None:
                call()
                call = store._run(self._go_on, call)
        finally:
            last_appends.set
        return self._task.result()
