"""The durable backends that rows run on one after the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from tests.faults.row import Run
from tests.faults.shared_server import new_schema, shared_server

from hitherto import Store

_CLOSING = 30.0  # seconds


class Place(msgspec.Struct, frozen=True):
    """Where a store can be made.

    Attributes:
        name: Of the backend.
        url: For `connect`.
        settings: For `connect` too.
    """

    name: str
    url: str
    settings: dict[str, Any] = {}


def places(run: Run) -> tuple[Place, ...]:
    """A fresh one for each durable backend."""
    return (
        Place("sqlite", f"sqlite:///{run.directory / 'store.db'}"),
        Place("postgresql", shared_server().url(), {"schema": new_schema()}),
    )


def innermost(backend: Any) -> Any:
    """The backend itself, out of what decorates it."""
    while hasattr(backend, "backend"):
        backend = backend.backend
    return backend


@asynccontextmanager
async def opened(store: Store, violations: list[str]) -> AsyncIterator[Store]:
    """An open store; one that does not close, as when something leaked, is a violation."""
    await store.open()
    try:
        yield store
    finally:
        try:
            await asyncio.wait_for(store.close(), _CLOSING)
        except TimeoutError:
            violations.append(f"the store has not closed within {_CLOSING:g} s")
