"""All that a store is read by, to compare before and after its events were moved."""

from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from hitherto.application.looking.values import Wanted
from hitherto.application.ports import Backend
from hitherto.testing.store_contract.making import (
    whole_log,
)

PAGES = (1, 2, 3, 1000)


def reads(backend: Backend) -> list[Awaitable[Any]]:
    """Reads of single aggregates, in every part and direction."""
    bounds: list[dict[str, Any]] = [{}]
    bounds += [{"limit": limit} for limit in (1, 2, 5, 9)]
    bounds += [{"from_version": n} for n in (2, 4, 5, 6)]
    bounds += [{"to_version": n} for n in (1, 3, 5, 6)]
    bounds += [{"from_version": 2, "to_version": 3}, {"from_version": 2, "to_version": 5}]
    bounds += [{"from_version": 2, "limit": 2}, {"to_version": 3, "limit": 2}]
    reads: list[Awaitable[Any]] = [
        backend.read(one, backward=backward, **each)
        for one in ("a", "b", "c", "nobody")
        for backward in (False, True)
        for each in bounds
    ]
    for fingerprint in (None, "code-1", "code-2"):
        for one in ("a", "b", "c", "nobody"):
            reads += [
                _loaded(backend, one, fingerprint, version) for version in (None, 1, 2, 4, 5, 6)
            ]
        reads.append(_loaded_many(backend, ["c", "nobody", "a", "b", "d"], fingerprint))
    return reads


async def _loaded(
    backend: Backend, id: str, fingerprint: str | None, to_version: int | None
) -> object:
    stream = await backend.load(id, fingerprint=fingerprint, to_version=to_version)
    return stream.snapshot, stream.unusable, [tuple(row) for row in stream.events]


async def _loaded_many(backend: Backend, ids: Sequence[str], fingerprint: str | None) -> object:
    streams = await backend.load_many(ids, fingerprint=fingerprint)
    return {
        each: (stream.snapshot, stream.unusable, [tuple(row) for row in stream.events])
        for each, stream in streams.items()
    }


async def log_of(backend: Backend) -> object:
    """The log, in pages and by filters."""
    filters: list[dict[str, Any]] = [
        {},
        {"event_types": ["Rare"]},
        {"event_types": ["Happened", "Rare"]},
        {"event_types": ["Happened"], "aggregate_types": ["Other"]},
        {"aggregate_types": ["Thing"]},
    ]
    logs = [await whole_log(backend, page=page, **each) for page in PAGES for each in filters]
    ids = [await backend.aggregate_ids(each, limit=2) for each in ("Thing", "Other")]
    return logs, ids, await backend.watermark()


async def looked_at(backend: Backend) -> object:
    """What people look at."""
    log = await whole_log(backend)
    found = [await backend.looking.event(event.event_id) for event in log]
    pages = [
        await backend.looking.search(wanted, limit=limit, backward=backward)
        for wanted in (Wanted(), Wanted(aggregate_id="a"), Wanted(event_types=["Rare"]))
        for limit in PAGES
        for backward in (False, True)
    ]
    statistics = await backend.looking.statistics(
        now=datetime(2100, 1, 1, tzinfo=UTC), snapshot_every=2
    )
    counted = msgspec.structs.replace(statistics, relations=())
    kinds = [(each.event_type, each.total.events) for each in statistics.kinds]
    found_texts = await backend.personal.find(['"number": 1', '"number":1'])
    return found, pages, msgspec.structs.replace(counted, kinds=()), kinds, found_texts


async def chains(backend: Backend) -> object:
    """The hashes."""
    links = await backend.chain.links()
    pages = [await backend.chain.links(after=("a", version), limit=2) for version in range(1, 5)]
    watermark = await backend.watermark()
    heads = [await backend.chain.heads(until=until) for until in range(1, watermark + 1)]
    return (
        links,
        pages,
        heads,
        await backend.chain.first(),
        await backend.chain.heads(after="a", until=watermark, limit=1),
    )
