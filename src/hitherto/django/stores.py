"""The project's store: `get_store` without await, `aget_store` for async views."""

import asyncio
import functools
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

import hitherto
from hitherto import sync
from hitherto.application.repository import Repository
from hitherto.django.configuration import connect_arguments
from hitherto.domain.aggregate import Aggregate

A = TypeVar("A", bound=Aggregate[Any])
Held = tuple[hitherto.Store, AsyncGenerator[hitherto.Store]]
Place = tuple[asyncio.AbstractEventLoop, int]

_lock = threading.RLock()  # What the settings name is imported below it, and may ask, too.
_store: sync.Store | None = None
_opening: dict[Place, asyncio.Task[Held]] = {}
_changes = 0  # of the settings


def get_store() -> sync.Store:
    """The store that `settings.HITHERTO` describes, for `hitherto.sync`; always the same.

    It is opened when it is first used, so a module may make its repositories where it begins::

        users = Repository(get_store(), User)

    Raises:
        ConfigurationError: The settings are wrong.
    """
    global _store  # noqa: PLW0603
    with _lock:
        if _store is None:
            _store = sync.Store(_connect)
            _store._open_later()
        return _store


async def aget_store() -> hitherto.Store:
    """The same for async views, open: one for each event loop, closed when the loop ends.

    A server for ASGI has one loop. Under WSGI Django makes one for each request to an async view,
    which then costs a connection: use `get_store` there.

    Raises:
        ConfigurationError: The settings are wrong.
        EventStoreUnavailable: The server cannot be reached; the next call tries again.
    """
    place = (asyncio.get_running_loop(), _changes)
    opening = _opening.get(place)
    if opening is None:
        opening = _opening[place] = asyncio.create_task(_open(place))
    store, _ = await asyncio.shield(opening)  # Others may wait for it, too.
    return store


def arepository(
    aggregate: Callable[[str], A], **options: Any
) -> Callable[[], Awaitable[Repository[A]]]:
    """A function that gives the repository of a kind of aggregate, for async views.

    ::

        get_users = arepository(User)


        async def show(request, user_id):
            users = await get_users()

    Args:
        aggregate: The aggregate class, or an instance of a `Decider`.
        options: See `Repository`.
    """
    made: Repository[A] | None = None

    async def get_repository() -> Repository[A]:
        nonlocal made
        store, there = await aget_store(), made
        if there is None or there.store is not store:
            there = made = Repository(store, aggregate, **options)
        return there

    return get_repository


def renew(*, setting: str, **_more: Any) -> None:
    """Begin anew after a change of the settings, which tests make: the repositories remain."""
    global _changes  # noqa: PLW0603
    if setting == "HITHERTO":
        _changes += 1
        if _store is not None:
            _store._open_later()


def let_go_before(owner: type, name: str) -> None:
    """Have the store closed before a method of a class; it is opened anew where it is used again.

    Django tells nobody that it is about to drop a test runner's database, which a server refuses
    while anybody is connected to it.
    """
    method: Callable[..., Any] = getattr(owner, name)
    if hasattr(method, "lets_go"):
        return

    @functools.wraps(method)
    def wrapped(*args: Any, **options: Any) -> Any:
        renew(setting="HITHERTO")
        return method(*args, **options)

    wrapped.lets_go = True  # type: ignore[attr-defined]
    setattr(owner, name, wrapped)


def _connect() -> hitherto.Store:
    return hitherto.connect(**connect_arguments())


async def _open(place: Place) -> Held:
    holding = _hold(place)
    return await anext(holding), holding


async def _hold(place: Place) -> AsyncGenerator[hitherto.Store]:
    """Keep a store open until the loop ends, which then closes the generators that it has begun.

    Django hands on no other sign of a server's end.
    """
    try:
        async with _connect() as store:
            yield store
    finally:
        del _opening[place]
