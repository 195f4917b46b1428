"""Short ways to say who works on what, and how far it comes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from hitherto.application.checkpoints import (
    Attendance,
    Document,
    Generation,
    Lease,
    ParkedEvent,
    Progress,
)
from hitherto.application.ports import Backend
from hitherto.testing.store_contract.making import append_to, same_json

NAME = "view"
LONG, SHORT = 60.0, 0.2  # seconds of a lease


def nothing(*_arguments: Any) -> None:
    """A change, or work, that does nothing."""


class Changes:
    """A change that notes what it is called with; it raises if it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[tuple[Generation, Generation | None]] = []
        self.error = error

    def __call__(self, _connection: Any, new: Generation, old: Generation | None) -> None:
        self.calls.append((new, old))
        if self.error is not None:
            raise self.error


async def prepare(
    backend: Backend,
    *,
    name: str = NAME,
    version: int = 1,
    partitions: int = 1,
    rebuild: bool = False,
    setup: Any = nothing,
    after: int = 0,
) -> Generation:
    """The generation to work on."""
    return await backend.checkpoints.prepare(
        name, version=version, partitions=partitions, rebuild=rebuild, setup=setup, after=after
    )


async def rebuilt(backend: Backend, **options: Any) -> tuple[Generation, Generation]:
    """An active generation, and one that is being filled."""
    return await prepare(backend, **options), await prepare(backend, rebuild=True, **options)


async def attend(
    backend: Backend,
    generation: Generation,
    worker: str = "one",
    held: Mapping[int, int] | None = None,
    *,
    lease: float = LONG,
) -> Attendance:
    """What a worker learns."""
    return await backend.checkpoints.attend(generation, worker, lease=lease, held=held or {})


def tokens(attendance: Attendance) -> dict[int, int]:
    """What is held."""
    return {lease.partition: lease.token for lease in attendance.leases}


async def hold(
    backend: Backend, generation: Generation, worker: str = "one", *, lease: float = LONG
) -> dict[int, int]:
    """Take what is free; the token of each partition."""
    return tokens(await attend(backend, generation, worker, lease=lease))


async def leases(
    backend: Backend, generation: Generation, held: Mapping[int, int], worker: str = "one"
) -> dict[int, Lease]:
    """How the partitions that a worker holds stand now."""
    found = await attend(backend, generation, worker, held)
    return {lease.partition: lease for lease in found.leases if lease.partition in held}


def step(generation: Generation, held: Mapping[int, int], position: int, **more: Any) -> Progress:
    """A step of some partitions to a position."""
    values: dict[str, Any] = {"handled": {}, "lease": LONG, **more}
    return Progress(generation=generation, leases=held, position=position, **values)


async def advance(
    backend: Backend, generation: Generation, held: Mapping[int, int], position: int, **more: Any
) -> None:
    """Take such a step, without effects."""
    await backend.checkpoints.advance(step(generation, held, position, **more))


async def some_events(
    backend: Backend, count: int = 5, *, aggregate_id: str = "thing"
) -> list[int]:
    """Append events to a new aggregate; their positions."""
    await backend.append([append_to(aggregate_id, count)])
    return [event.position for event in await backend.read(aggregate_id)]


def parked(
    generation: Generation, position: int, aggregate_id: str = "thing", **more: Any
) -> ParkedEvent:
    """An event to set aside."""
    values: dict[str, Any] = {
        "partition": 0,
        "event_id": UUID(int=position),
        "event_type": "Happened",
        "version": position,
        "attempts": 1,
        "error": "ValueError: no",
    }
    return ParkedEvent(
        name=generation.name,
        generation=generation.number,
        position=position,
        aggregate_id=aggregate_id,
        **(values | more),
    )


def document(
    key: str, data: str | None, *, partition: int = 0, collection: str = "things"
) -> Document:
    """A document to write; without data, one to remove."""
    return Document(collection=collection, key=key, partition=partition, data=data)


async def stored(backend: Backend, **filters: Any) -> dict[str, Any]:
    """The documents that a search finds, in order."""
    found = await backend.checkpoints.find_documents(NAME, "things", **filters)
    return {each.key: same_json(each.data) for each in found}


async def eventually(found: Callable[[], Awaitable[Any]]) -> Any:
    """What `found` gives, as soon as that is something."""
    async with asyncio.timeout(30):
        while not (result := await found()):  # noqa: ASYNC110  # a lease's end sends no news
            await asyncio.sleep(0.02)
        return result
