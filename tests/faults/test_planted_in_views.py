"""Bugs of workers and of subscriptions that the matrix has to find; see `test_planted_bugs`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.faults import crew
from tests.faults.registry import execute, row
from tests.faults.rows import worker_freezes, worker_kills

from hitherto.infrastructure.postgres import schema as postgres_schema
from hitherto.infrastructure.sql import named_queries

pytestmark = pytest.mark.integration

_BEGIN = """
import os, signal
import msgspec
from hitherto.application import selection
from hitherto.infrastructure.postgres import checkpoints
from tests.faults import ledger
from tests.faults.following import main

Checkpoints = checkpoints.PostgresCheckpoints
advance = Checkpoints.advance

def plant(owner, name, bug):
    getattr(owner, name)  # Else it would grow beside what was renamed.
    setattr(owner, name, bug)
"""


class Program:
    """Plants a bug in the workers' processes.

    Attributes:
        path: Of what they run.
    """

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = directory / "careless.py"
        self._monkeypatch = monkeypatch

    def __call__(self, bug: str) -> None:
        self.path.write_text(f"{_BEGIN}{bug}\nmain()\n")
        self._monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        self._monkeypatch.setattr(crew, "_PROGRAM", (str(self.path),))


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """What plants a bug."""
    return Program(tmp_path, monkeypatch)


_UNFENCED = """
async def advance_anyway(self, progress, work=None):
    rows = await self._fetch("tokens", progress.generation.name, progress.generation.number)
    leases = {partition: token for partition, token in rows if partition in progress.leases}
    await advance(self, msgspec.structs.replace(progress, leases=leases, after={}), work)

queries = checkpoints.Schema.queries
def with_tokens(self, resource, **options):
    return queries(self, resource, **options) | {"tokens": self.sql('''
        SELECT partition::int, token FROM {schema}.projection_checkpoints
        WHERE name = $1 AND generation = $2''')}

plant(checkpoints.Schema, "queries", with_tokens)
plant(Checkpoints, "advance", advance_anyway)
"""


async def test_a_checkpoint_without_a_fencing_token_is_found(
    plant: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was frozen does again what others have done."""
    plant(_UNFENCED)
    monkeypatch.setattr(worker_freezes, "POINTS", {"postgresql": ["attempt/answered"]})
    assert some(await violations("worker_freezes", 1), "twice: event")


_APART = """
def die(where):
    if not os.path.exists(f"{__file__}.{where}.manned"):
        return
    with open(f"{__file__}.{where}", "ab") as deaths:
        if deaths.tell() < 2:
            deaths.write(b"x")
            deaths.flush()
            os.kill(os.getpid(), signal.SIGKILL)

async def advance_apart(self, progress, work=None):
    if work is not None:
        async with checkpoints.lent(self._connections, "it", patience=5.0) as borrowed:
            await borrowed.run(work)
        if progress.generation.name == "ledger":
            die("postgresql")
    await advance(self, progress)

def handle_apart(self, events, batch, handle=ledger.SqliteLedger.handle):
    handle(self, events, batch)
    batch.connection.execute("COMMIT")
    die("sqlite")
    batch.connection.execute("BEGIN IMMEDIATE")

plant(Checkpoints, "advance", advance_apart)
plant(ledger.SqliteLedger, "handle", handle_apart)
"""


async def test_a_checkpoint_that_is_committed_after_the_effects_is_found(
    plant: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a worker has done that dies in between is done again."""
    plant(_APART)
    man = worker_kills._Killer.man

    async def then_let_them_die(killer: Any) -> None:
        await man(killer)  # It waits to see workers of every view alive.
        plant.path.with_name(f"{plant.path.name}.{killer._crew._place.name}.manned").touch()

    monkeypatch.setattr(worker_kills._Killer, "man", then_let_them_die)
    found = await violations("worker_kills", 2)
    assert some(found, "postgresql", "twice: event")
    assert some(found, "sqlite", "twice: event")


_UNCOUNTED = """
async def begin(self, generation, held):
    pass

plant(Checkpoints, "begin", begin)
"""


async def test_attempts_that_are_counted_afterwards_are_found(plant: Program) -> None:
    """An event that ends its process would do so for ever."""
    plant(_UNCOUNTED)
    assert some(await violations("poison_events", 3), "deaths the parked events have [] attempts")


_TOO_SOON = """
async def see_fits(self, *arguments):
    return 0

async def read_and_stop(self, after, limit, read=selection.Selection.read):
    return msgspec.structs.replace(await read(self, after, limit), full=False)

plant(Checkpoints, "_see_fits", see_fits)
plant(selection.Selection, "read", read_and_stop)
"""


async def test_a_new_view_that_is_put_in_place_too_soon_is_found(plant: Program) -> None:
    """Its readers see half of it."""
    plant(_TOO_SOON)
    assert some(await violations("view_rebuilds", 2), "a reader saw", "after one of")


async def test_consumers_without_the_watermark_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """All three kinds skip what is committed late."""

    def careless(package: Any, resource: str) -> dict[str, str]:
        found = dict(named_queries(package, resource))
        if "watermark" in found:
            highest = "SELECT coalesce(max(global_position), 0) FROM {schema}.event_store"
            found["watermark"] = f"SELECT ({highest}) AS watermark, 0 AS held_back"
        return found

    monkeypatch.setattr(postgres_schema, "named_queries", careless)
    found = await violations("writer_storms", 20)
    assert some(found, "the subscription skipped")
    assert some(found, "ledger: skipped")
    assert some(found, "shared_ledger: skipped")


def some(violations: Sequence[str], *words: str) -> bool:
    """Whether one of them has all the words."""
    return any(all(word in each for word in words) for each in violations)


async def violations(name: str, count: int) -> list[str]:
    """What a row finds."""
    return (await execute(name, row(name), seed=1, count=count)).outcome.violations
