"""`ProjectionWorker`, `Reactions` and `live`, without await."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Generic, TypeVar

from hitherto.application import live as _live
from hitherto.application import processes as _processes
from hitherto.application import worker as _asynchronous
from hitherto.application.projection import Projection
from hitherto.application.steps import Transactions
from hitherto.application.subscription import PAGE
from hitherto.domain.process import Process
from hitherto.sync.commands import CommandBus
from hitherto.sync.endless import Endless
from hitherto.sync.store import Store

C = TypeVar("C")
P = TypeVar("P", bound=Process[Any])
V = TypeVar("V", bound=Projection[Any])


class ProjectionWorker(Generic[C]):
    """Gives a projection the events that it asks for, and keeps its checkpoint.

    `run` and `catch_up` block, in a process or a thread of the worker's own; `stop` may be called
    from any thread, or by a signal handler::

        worker = ProjectionWorker(store, Balances())
        signal.signal(signal.SIGTERM, lambda *_: worker.stop())
        worker.run()

    Handlers run in the thread of the background loop, or on SQLite in that of its writer: they
    write through the connection that they are given, and must not call `hitherto.sync`, nor block
    for long, which would hold up all other calls of it.

    See `hitherto.ProjectionWorker`, also for the arguments.
    """

    def __init__(
        self,
        store: Store,
        projection: Projection[C],
        *,
        spread: bool = False,
        batch: int = PAGE,
        lease: float = _asynchronous.LEASE,
        attempts: int = _asynchronous.ATTEMPTS,
        transactions: Transactions | None = None,
        rebuild: bool = False,
        after: int = 0,
    ) -> None:
        self._store = store
        self._make = partial(
            _asynchronous.ProjectionWorker[C],
            store._async,
            projection,
            spread=spread,
            batch=batch,
            lease=lease,
            attempts=attempts,
            transactions=transactions,
            rebuild=rebuild,
            after=after,
        )
        self._backend = store._async.backend
        self._async = self._make()
        self._endless = Endless(store)

    @property
    def name(self) -> str:
        """The worker's own, unique among all processes."""
        return self._async.name

    @property
    def handled(self) -> int:
        """See `hitherto.ProjectionWorker.handled`."""
        return self._async.handled

    @property
    def position(self) -> int:
        """See `hitherto.ProjectionWorker.position`."""
        return self._async.position

    def run(self) -> None:
        """Work until `stop` is called, from another thread; see `hitherto.ProjectionWorker.run`."""
        self._work(lambda worker: worker.run())

    def catch_up(self) -> None:
        """See `hitherto.ProjectionWorker.catch_up`."""
        self._work(lambda worker: worker.catch_up())

    def stop(self) -> None:
        """Let `run` return, after the batch at hand, or at once where it has not begun."""
        self._endless.stop()

    def _work(self, work: Callable[[_asynchronous.ProjectionWorker[C]], Awaitable[None]]) -> None:
        try:
            self._endless.run(self._own, work)
        finally:
            self._endless.stopped = False

    def _own(self) -> _asynchronous.ProjectionWorker[C]:
        """What does the work in this process: a forked child has a backend of its own."""
        if self._backend is not self._store._async.backend:
            self._backend = self._store._async.backend
            self._async = self._make()
        return self._async


class Reactions(_processes.Reactions[P], name="reactions"):
    """Runs a process, in a `ProjectionWorker`. See `hitherto.Reactions`.

    The process and the commands' functions run where handlers do.
    """

    def __init__(self, store: Store, process: type[P], bus: CommandBus) -> None:
        super().__init__(store._async, process, bus._async)


def live(store: Store, projection: V) -> V:
    """See `hitherto.live`; the handlers run in the background loop's thread."""
    return store._run(_live.live, store._async, projection)
