"""`check_crashes`: what is done ends the same, wherever it is broken off and begun anew."""

import asyncio
import copy
import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import Any

import msgspec

from hitherto.application.ports import Backend
from hitherto.application.readers import DOCUMENTS, TotalsReader
from hitherto.application.store import Store
from hitherto.connect import connect
from hitherto.errors import InvalidInput
from hitherto.testing.telling import differences

_PORTS = {"checkpoints", "looking", "chain", "personal", "archive", "erasures"}
_EVER = datetime(9999, 12, 31, tzinfo=UTC)
_PAGE = 1000
_LOOK_EVERY = 0.005  # seconds
_PATIENCE = 5.0  # seconds, for calls that are under way when everything ends


class Crash(BaseException):
    """The process has ended: nothing but the test is to catch it."""


async def stored(store: Store) -> dict[str, Any]:
    """What a store holds, but for ids, times and positions, which are others each time.

    Returns:
        The events of each aggregate; for each projection and process its documents, its totals,
        its timers, and the events that it has set aside.
    """
    found: dict[str, Any] = {"events": await _events(store.backend)}
    checkpoints = store.backend.checkpoints
    for name in sorted({each.name for each in await checkpoints.status()}):
        documents = await checkpoints.find_documents(name, DOCUMENTS)
        timers = await store.backend.due_timers(name, until=_EVER, limit=_PAGE)
        found[name] = {
            "documents": {each.key: _value(each.data) for each in documents},
            "totals": await TotalsReader(checkpoints, name).all(),
            "timers": {(each.aggregate_id, each.name): each.due for each in timers},
            "set aside": [
                (each.aggregate_id, each.version) for each in await checkpoints.parked(name)
            ],
        }
    return found


async def check_crashes(
    work: Callable[[Store], Awaitable[object]],
    *,
    prepare: Callable[[Store], Awaitable[object]] | None = None,
    open_store: Callable[[], AbstractAsyncContextManager[Store]] | None = None,
    end: Callable[[Store], Awaitable[object]] = stored,
    every: int = 1,
) -> int:
    """Break `work` off at each call of the store, do it again, and compare how it ends.

    It is done once to the end. Then, for each call of the store that it has made, twice on a new
    store: a `Crash` ends it just before the call, or when the call has taken effect and nobody
    knows; every later call crashes, too. Leases of dead workers are waited for, and `work` is
    done again, as by a process that has been started anew. It must end as if nothing had been::

        async def work(store: Store) -> None:
            reactions = Reactions(store, Reminder, bus(store))
            await ProjectionWorker(store, reactions, lease=0.1).catch_up()

        async def test_it_survives_a_crash_anywhere() -> None:
            await check_crashes(work, prepare=place_some_orders)

    Args:
        work: Is given the store, and makes all else anew, repositories and workers too. Give
            workers a short `lease`, such as 0.1 seconds.
        prepare: Is done before, on each new store, without a crash.
        open_store: Opens a new, empty store each time; left out: one in memory.
        end: Tells what is compared. Add to what `stored` tells where effects are elsewhere.
        every: Only each so-many-th crash, for a slow store; an odd number, to have both kinds.

    Returns:
        How many crashes there were.

    Raises:
        InvalidInput: `work` makes no call of the store, or `every` is below 1.
        AssertionError: It ends otherwise; at which call it was broken off, and where it differs.
    """
    if every < 1:
        raise InvalidInput(f"every={every}: give 1 for each crash, or an odd number")
    opened = open_store or _in_memory

    async def lived(fate: _Fate) -> object:
        async with opened() as store:
            if prepare is not None:
                await prepare(store)
            if await _until_death(work, store, fate):
                await _calls_end(fate)
                await _leases_end(store)
                await work(store)
            return await end(store)

    undisturbed = _Fate()
    expected = await lived(undisturbed)
    if not undisturbed.calls:
        raise InvalidInput("the work makes no call of the store it is given: it cannot be broken")
    crashes = 0
    numbers = range(1, len(undisturbed.calls) + 1)
    for number, after in [*product(numbers, (False, True))][::every]:
        fate = _Fate(number, after=after)
        try:
            found = await lived(fate)
        except Exception as error:
            raise AssertionError(f"{fate}: what was done again raised {error!r}") from error
        lines = differences(expected, found)
        if lines:
            raise AssertionError("\n  ".join([f"{fate}: it ends otherwise", *lines]))
        crashes += fate.dead
    return crashes


@dataclass
class _Fate:
    """Counts calls of the store, and ends everything at one of them.

    Attributes:
        number: Of that call; 0: at none.
        after: Whether it takes effect.
        dead: Whether everything has ended.
        calls: The names of the methods.
        under_way: Calls that have begun and not ended, but for those that wait for news.
    """

    number: int = 0
    after: bool = False

    def __post_init__(self) -> None:
        self.dead = False
        self.calls: list[str] = []
        self.under_way: set[asyncio.Future[Any]] = set()

    def __str__(self) -> str:
        if not self.dead:
            return f"without the crash at call {self.number}, which was not made this time"
        moment = "after" if self.after else "before"
        return f"a crash {moment} call {self.number} of the store, {self.calls[self.number - 1]}"

    def ended(self, call: asyncio.Future[Any]) -> None:
        self.under_way.discard(call)
        if not call.cancelled():
            call.exception()  # Else asyncio would log it where nobody waits any more.

    def meets(self, call: int, *, after: bool) -> None:
        if self.dead or (call == self.number and after == self.after):
            self.dead = True
            raise Crash


class _Mortal:
    """A backend, or one of its ports, whose every call may be the last."""

    def __init__(self, part: Any, fate: _Fate, path: str = "") -> None:
        self._part = part
        self._fate = fate
        self._path = path

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name in _PORTS:
            return _Mortal(found, self._fate, f"{name}.")
        return self._guarded(found, name) if inspect.ismethod(found) else found

    def _guarded(self, method: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            result = method(*args, **options)
            if name == "within":
                return _Mortal(result, self._fate)
            return self._run(result, name) if inspect.iscoroutine(result) else result

        return call

    async def _run(self, result: Any, name: str) -> Any:
        if not self._fate.dead:
            self._fate.calls.append(self._path + name)
        number = len(self._fate.calls)
        try:
            self._fate.meets(number, after=False)
        except Crash:
            result.close()
            raise
        answer = await self._lasting(result) if name != "wait" else await result
        self._fate.meets(number, after=True)
        return answer

    async def _lasting(self, result: Any) -> Any:
        """What a call gives; a store goes on with it, though who has asked is no more."""
        call: asyncio.Future[Any] = asyncio.ensure_future(result)
        self._fate.under_way.add(call)
        call.add_done_callback(self._fate.ended)
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            if not self._fate.dead:
                call.cancel()
                await asyncio.wait([call])
            raise


async def _until_death(
    work: Callable[[Store], Awaitable[object]], store: Store, fate: _Fate
) -> bool:
    """Do the work on a store that fate may end; whether it has."""
    mortal = copy.copy(store)
    mortal.backend = _mortal(store.backend, fate)
    mortal.sealed = _mortal(store.sealed, fate)
    try:
        await work(mortal)
    except (Crash, BaseExceptionGroup, Exception):
        if not fate.dead:
            raise
    return fate.dead


def _mortal(backend: Backend, fate: _Fate) -> Any:
    return _Mortal(backend, fate)


async def _calls_end(fate: _Fate) -> None:
    """Wait for calls of other tasks: a process that is started anew comes after them."""
    if fate.under_way:
        await asyncio.wait(fate.under_way, timeout=_PATIENCE)


async def _leases_end(store: Store) -> None:
    """Wait until nobody holds what the dead have held."""
    checkpoints = store.backend.checkpoints
    while any(each.owners for each in await checkpoints.status()):  # noqa: ASYNC110  # leases end
        await asyncio.sleep(_LOOK_EVERY)


def _in_memory() -> AbstractAsyncContextManager[Store]:
    return connect("memory:")


async def _events(backend: Backend) -> dict[str, list[tuple[str, Any]]]:
    found: dict[str, list[tuple[str, Any]]] = {}
    after, full = 0, True
    while full:
        page = await backend.read_all(after=after, limit=_PAGE)
        for each in page.events:
            event = each.event_type, _value(each.data)
            found.setdefault(each.aggregate_id, []).append(event)
        after, full = page.checkpoint, len(page.events) == _PAGE
    return found


def _value(data: str | None) -> Any:
    return msgspec.json.decode(data or "null")
