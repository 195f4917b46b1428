"""`CommandBus` and the middleware that is made for a store, without await."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import Context, ContextVar, copy_context
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar, overload

from hitherto.application import commands as _asynchronous
from hitherto.application import middleware as _middleware
from hitherto.application.commands import Middleware
from hitherto.application.repository import refuse_awaitable
from hitherto.application.store import _appended
from hitherto.domain.aggregate import Aggregate
from hitherto.domain.decider import Decided
from hitherto.domain.metadata import Metadata
from hitherto.sync.repository import Repository
from hitherto.sync.store import Store

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
        run: Callable[[Any, C], Any] | None = None,
        create: bool = False,
    ) -> None:
        """See `hitherto.CommandBus.route`."""
        given: Any = run  # The overloads above have told what it may be.
        self._async.route(command, repository._async, id=id, run=given, create=create)

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


class _Sending:
    """A command under way: on the loop, but for what it calls in the thread that sends it.

    While such a function runs, no operation is under way; so it may use stores, and fork.
    """

    def __init__(self, send: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._send = send
        self._context = copy_context()
        self._context.run(_sending.set, self)
        self._calls: asyncio.Queue[_Call | None] = asyncio.Queue()
        self._task: asyncio.Task[Any] | None = None
        self._result: Any = None

    def run(self, store: Store) -> Any:
        """Send it, in the thread that sends it; gives what it gives."""
        call = None
        try:
            call = store._run(self._begin)
            while call is not None:
                call.make()
                call = store._run(self._go_on, call)
        except BaseException:
            if self._task is not None and call is not None:
                loop = self._task.get_loop()
                loop.call_soon_threadsafe(self._task.cancel)
                loop.call_soon_threadsafe(call.made.set)
            raise
        finally:
            _adopt_appends(self._context)
        return self._result

    async def call(self, function: Callable[[], Any]) -> Any:
        """Call the function in the thread that sends the command, with the context of here."""
        call = _Call(function)
        self._calls.put_nowait(call)
        try:
            await call.made.wait()
        except asyncio.CancelledError:
            await call.made.wait()  # It cannot be broken off, and is to save with the command's id.
            raise
        finally:
            _adopt_appends(call.context)
        return call.outcome.result()

    async def _begin(self) -> "_Call | None":
        self._task = asyncio.create_task(self._send(), context=self._context)
        self._task.add_done_callback(lambda _: self._calls.put_nowait(None))
        return await self._next(self._task)

    async def _go_on(self, call: "_Call") -> "_Call | None":
        assert self._task is not None  # noqa: S101
        call.made.set()
        return await self._next(self._task)

    async def _next(self, task: asyncio.Task[Any]) -> "_Call | None":
        """What is to be called next; None once the command is done."""
        try:
            call = await self._calls.get()
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task])
            raise
        if call is None:
            self._result = task.result()
        return call


class _Call:
    """A function that is to be called in another thread, with the context of here."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self.context = copy_context()
        self.outcome: Future[Any] = Future()
        self.made = asyncio.Event()

    def make(self) -> None:
        try:
            result = self.context.run(self._function)
            refuse_awaitable(result)
            self.outcome.set_result(result)
        except BaseException as error:  # noqa: BLE001  # it is raised where the outcome is taken
            self.outcome.set_exception(error)


_sending: ContextVar[_Sending] = ContextVar("hitherto_sending")


def _adopt_appends(context: Context) -> None:
    """Let `wait_for` know here what was appended there."""
    appended = context.get(_appended)
    if appended is not None:
        _appended.set(appended)


def log_commands(store: Store) -> Middleware:
    """See `hitherto.log_commands`."""
    return _middleware.log_commands(store._async)


def measure_commands(store: Store) -> Middleware:
    """See `hitherto.measure_commands`."""
    return _middleware.measure_commands(store._async)
