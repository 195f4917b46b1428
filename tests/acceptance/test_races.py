"""Processes that race on a few aggregates, for a while."""

import asyncio
import json
import multiprocessing
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.postgres_writers import an_append

from hitherto import AggregateLocked, AggregateVersionConflict, EventStoreUnavailable, connect

pytestmark = pytest.mark.integration

PROCESSES = int(os.environ.get("RACE_PROCESSES", "4"))
SECONDS = float(os.environ.get("RACE_SECONDS", "2"))
AGGREGATES = int(os.environ.get("RACE_AGGREGATES", "10"))


def test_processes_race_on_sqlite(tmp_path: Path) -> None:
    """Versions are 1 … n with no gap; each acknowledged append is there once, no refused one is."""
    asyncio.run(_race({"url": f"sqlite:///{tmp_path / 'race.db'}"}, tmp_path))


def test_processes_race_on_postgresql(
    postgres_url: str, postgres_schema: str, tmp_path: Path
) -> None:
    """The same, and the log's reader sees each event once."""
    asyncio.run(_race({"url": postgres_url, "schema": postgres_schema}, tmp_path))


async def _race(where: dict[str, Any], folder: Path) -> None:
    async with connect(**where):
        pass
    context = multiprocessing.get_context("spawn")
    racers = [
        context.Process(target=_racer, args=(where, seed, folder / f"{seed}.json"))
        for seed in range(PROCESSES)
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        await asyncio.to_thread(racer.join)
    assert [racer.exitcode for racer in racers] == [0] * PROCESSES
    told = [json.loads((folder / f"{seed}.json").read_text()) for seed in range(PROCESSES)]
    won = [event_id for each in told for event_id in each["won"]]
    lost = {event_id for each in told for event_id in each["lost"]}
    stored: list[str] = []
    async with connect(**where) as store:
        for number in range(AGGREGATES):
            events = await store.backend.read(f"a{number}")
            assert [event.version for event in events] == list(range(1, len(events) + 1))
            stored += [str(event.event_id) for event in events]
        log, after = list[str](), 0
        while (page := await store.backend.read_all(after=after)).events:
            log += [str(event.event_id) for event in page.events]
            after = page.checkpoint
    print(f"{len(won)} events won, {len(lost)} lost, {len(won) / SECONDS:.0f} events/s")
    assert sorted(stored) == sorted(won)
    assert sorted(log) == sorted(won)
    assert not lost.intersection(stored)
    assert won
    assert lost


def _racer(where: dict[str, Any], seed: int, result: Path) -> None:
    sys.exit(asyncio.run(_append_for_a_while(where, seed, result)))


async def _append_for_a_while(where: dict[str, Any], seed: int, result: Path) -> int:
    dice = random.Random(seed)
    heads: dict[str, int] = {}
    won: list[str] = []
    lost: list[str] = []

    async def racer() -> None:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            name = f"a{dice.randrange(AGGREGATES)}"
            append = an_append(name, heads.get(name, 0), dice.randint(1, 3))
            ids = [str(event.event_id) for event in append.events]
            try:
                await store.backend.append([append])
            except AggregateVersionConflict as conflict:
                heads[name] = conflict.actual
                lost.extend(ids)
            except (AggregateLocked, EventStoreUnavailable):
                lost.extend(ids)
            else:
                heads[name] = append.expected_version + len(ids)
                won.extend(ids)

    async with connect(**where, max_connections=4) as store:
        await asyncio.gather(*(racer() for _ in range(4)))
    await asyncio.to_thread(result.write_text, json.dumps({"won": won, "lost": lost}))
    return 0
