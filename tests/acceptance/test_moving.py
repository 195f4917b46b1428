"""Stores that are moved between PostgreSQL, SQLite and memory, and back."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.acceptance.postgres_stores import opened
from tests.acceptance.test_postgres_role_script import Made, made
from tests.servers import new_schema
from tests.unit.application.moved import HISTORY, exported, holding, told

from hitherto import Repository, SchemaMismatch, Store, connect
from hitherto.application.moving import Moved, import_file
from hitherto.application.ports import Backend
from hitherto.examples.traffic_fines import Fine, import_fines, sample_lines
from hitherto.infrastructure.sqlite import SqliteStore
from hitherto.infrastructure.sqlite.branching import branch
from hitherto.testing.store_contract.content import NUMBERS, TEXTS, TIMES
from hitherto.testing.store_contract.making import append_to, whole_log

pytestmark = pytest.mark.integration

__all__ = ["made"]


@pytest.fixture
async def backends(postgres_url: str, tmp_path: Path) -> AsyncIterator[dict[str, Backend]]:
    """Empty ones, one of each kind and a second PostgreSQL."""
    sqlite = SqliteStore(str(tmp_path / "events.db"), max_readers=4)
    await sqlite.open()
    async with (
        opened(postgres_url, new_schema()) as postgres,
        opened(postgres_url, new_schema()) as other,
    ):
        memory = (await holding()).backend
        yield {"postgres": postgres, "sqlite": sqlite, "memory": memory, "other": other}
    await sqlite.close()


async def moved(backends: list[Backend], folder: Path) -> list[bytes]:
    """What the first store holds, moved through all others; what each one exports."""
    files: list[bytes] = []
    for number, backend in enumerate(backends):
        if number:
            await import_file(Store(backend), folder / f"{number - 1}.jsonl")
        path = folder / f"{number}.jsonl"
        await exported(backend, path)
        files.append(path.read_bytes())
    return files


async def test_real_fines_are_the_same_file_wherever_they_have_been(
    backends: dict[str, Backend], tmp_path: Path
) -> None:
    """PostgreSQL, SQLite, memory, PostgreSQL: to the byte."""
    fines = Repository(Store(backends["postgres"]), Fine)
    await import_fines(fines, sample_lines())
    first, *others = await moved(list(backends.values()), tmp_path)
    assert first.count(b"\n") > 8000
    assert all(other == first for other in others)
    there = Repository(Store(backends["other"]), Fine)
    for fine_id in ("A1", "A100", "A10249"):
        assert (await there.load(fine_id)).version == (await fines.load(fine_id)).version


@pytest.mark.parametrize("order", ["postgres sqlite memory other", "memory other sqlite postgres",
                                   "sqlite postgres other memory"])  # fmt: skip
async def test_odd_payloads_and_times_survive(
    order: str, backends: dict[str, Backend], tmp_path: Path
) -> None:
    """Huge numbers, texts that look like numbers, any text, the first and the last time of all."""
    ordered = [backends[name] for name in order.split()]
    data = [f'{{"n": {number}, "list": [{number}, "{number}"]}}' for number in NUMBERS]
    data += ['{"b": 1e300, "a": -1e-300, "c": -0.0, "NaN": "NaN", "b": 1E+307}']
    data += [json.dumps({text: {text: [text]}}) for text in TEXTS]
    history = [
        told("odd", version, data=text, metadata=text if version % 2 else None)
        for version, text in enumerate(data, 1)
    ]
    history += [
        told("times", version, stored_at=moment, occurred_at=moment)
        for version, moment in enumerate(TIMES, 1)
    ]
    await ordered[0].import_events([*HISTORY, *history])
    first, *others = await moved(ordered, tmp_path)
    assert all(other == first for other in others)


async def test_a_transaction_that_is_open_does_not_keep_an_import_from_its_end(
    postgres_url: str, tmp_path: Path
) -> None:
    """It holds back those who read the log; what was imported is looked for by itself."""
    await exported((await holding(*HISTORY)).backend, tmp_path / "log.jsonl")
    schema = new_schema()
    async with opened(postgres_url, schema) as backend:
        holder = await asyncpg.connect(postgres_url)
        try:
            await holder.execute("BEGIN")
            await holder.execute(
                f"""INSERT INTO "{schema}".event_store (event_id, event_type, aggregate_id,
                aggregate_type, event_version, event_data, occurred_at) VALUES (
                gen_random_uuid(), 'E', 'held', 'T', 1, '{{}}', now())"""
            )
            done = await import_file(Store(backend), tmp_path / "log.jsonl")
            assert done == Moved(events=7, written=7, skipped=0)
            assert await whole_log(backend) == []
        finally:
            await holder.close()


async def test_who_may_only_write_cannot_tell_times_of_storing(made: Made, tmp_path: Path) -> None:
    """Else a writer could rewrite when things were known; the owner may, and so may a superuser."""
    path = tmp_path / "log.jsonl"
    await exported((await holding(*HISTORY)).backend, path)
    async with opened(made.login("writer"), made.schema, migrate=False) as backend:
        with pytest.raises(SchemaMismatch, match=r"import as the owner .*permission denied"):
            await import_file(Store(backend), path)
    async with opened(made.login("owner"), made.schema, migrate=False) as backend:
        assert (await import_file(Store(backend), path)).written == 7


async def test_a_branch_of_postgresql_keeps_positions(postgres_url: str, tmp_path: Path) -> None:
    """Gaps of transactions that were rolled back too."""
    async with opened(postgres_url, new_schema()) as backend:
        await backend.import_events(HISTORY)
        for _ in range(3):
            with pytest.raises(Exception, match="stored already"):
                await backend.append([append_to("new", 1), _taken()])
        await backend.append([append_to("new", 3)])
        whole = await whole_log(backend)
        assert whole[-1].position > len(whole)
        assert await branch(backend, tmp_path / "bug.db") == 10
        copy = SqliteStore(str(tmp_path / "bug.db"), migrate=False)
        await copy.open()
        assert await whole_log(copy) == whole
        await copy.close()
        assert await branch(backend, tmp_path / "part.db", until=whole[7].position) == 8


def _taken() -> Any:
    from hitherto.testing.store_contract.making import new_event

    return append_to("other", [new_event(event_id=HISTORY[0].event_id)])


async def test_a_killed_import_into_postgresql_goes_on(postgres_url: str, tmp_path: Path) -> None:
    """By kill -9, in the middle of what it does."""
    path, schema = tmp_path / "log.jsonl", new_schema()
    history = [told(f"a{number % 100}", number // 100 + 1) for number in range(30_000)]
    await exported((await holding(*history)).backend, path)
    async with opened(postgres_url, schema) as backend:
        process = subprocess.Popen(
            [sys.executable, "-m", "hitherto.cli", "import", str(path), postgres_url,
             "--schema", schema],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        while process.poll() is None and await backend.watermark() < 5000:
            time.sleep(0.005)
        assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        async with connect(postgres_url, schema=schema) as store:
            done = await import_file(store, path)
        assert done.events == 30_000
        assert 5000 <= done.skipped < 30_000
        await exported(backend, tmp_path / "again.jsonl")
        assert (tmp_path / "again.jsonl").read_bytes() == path.read_bytes()
