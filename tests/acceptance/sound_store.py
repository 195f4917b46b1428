"""A sound store of real fines, and what the command line says of it after somebody meddled."""

import asyncio
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from hitherto import Repository, connect
from hitherto.cli.app import run
from hitherto.examples.traffic_fines import Fine, import_fines, sample_lines

AGGREGATES = ("--aggregates", "hitherto.examples.traffic_fines")
FINES = 40
# What only hashes and signatures tell.
TAMPERED = {"events-missing", "hash-mismatch", "chain-broken", "checkpoint-mismatch"}


def make_store(url: str, schema: str = "public") -> None:
    """Some fines, of which those with three events and more have a snapshot."""
    asyncio.run(_make_store(url, schema))


async def _make_store(url: str, schema: str) -> None:
    async with connect(url, schema=schema) as store:
        fines = Repository(store, Fine)
        lines = sample_lines()[:FINES]
        await import_fines(fines, lines, concurrency=1)
        for each in await store.backend.aggregate_ids("Fine"):
            fine = await fines.load(each)
            if fine.version >= 3:
                assert await fines.snapshot(fine)


def reported(*words: str) -> tuple[int, dict[str, Any]]:
    """The exit status of a command, and what it reports as JSON."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = run([*words, "--json"])
    assert err.getvalue() == ""
    report: dict[str, Any] = json.loads(out.getvalue())
    return status, report


def kinds(report: dict[str, Any]) -> dict[str, int]:
    """How often each kind of damage was found."""
    found = {finding["kind"]: finding["count"] for finding in report["findings"]}
    assert len(found) == len(report["findings"])
    return found


def places(report: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Where a kind was found."""
    (found,) = (finding for finding in report["findings"] if finding["kind"] == kind)
    return list(found["places"])
