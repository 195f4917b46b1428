"""The command: one chapter after the other."""

import asyncio
import json
import sys
import time
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from hitherto import ConfigurationError, Repository, Store, connect
from hitherto.cli.demo import advice, steps, views
from hitherto.examples.traffic_fines import Fine, import_fines, sample_lines

FILE: Final = Path("hitherto-demo.db")
SCHEMA: Final = "hitherto_demo"


def demo(*, url: str | None = None) -> None:
    """Import 2,000 real traffic fines, and see what event sourcing makes of them.

    It takes a few seconds and leaves a file, hitherto-demo.db, to look into; the next run starts
    over. On PostgreSQL it keeps to a schema of its own, hitherto_demo, and a further run adds
    its fines under new ids:

        hitherto demo --url postgresql://localhost/test

    Parameters
    ----------
    url:
        A store's URL in place of the file.
    """
    if url is None:
        _start_over()
        url = f"sqlite:///{FILE}"
    output: Any = sys.stdout
    if isinstance(output, TextIOWrapper):
        output.reconfigure(errors="replace")  # Not every encoding has the bars.
    asyncio.run(_tell(url, Console(highlight=False)))


def _start_over() -> None:
    for suffix in ("", "-wal", "-shm"):
        try:
            Path(f"{FILE}{suffix}").unlink(missing_ok=True)
        except OSError as error:
            raise ConfigurationError(f"cannot replace {FILE}{suffix}: {error}") from error


async def _tell(url: str, console: Console) -> None:
    async with connect(url, schema=SCHEMA) as store:
        ids = await _import(store, console)
        fines = Repository(store, Fine)
        eventful = ids[_most_eventful(sample_lines())]
        moments = await steps.tell_history(fines, eventful)
        views.show_history(console, eventful, moments)
        now = await fines.load(eventful)
        views.show_time_travel(console, await fines.load(eventful, version=now.version - 2), now)
        views.show_race(console, await steps.race(fines, eventful))
        views.show_comparison(console, await steps.compare_snapshot(store, f"{ids[0]}-instalments"))
        views.show_years(console, await steps.sum_years(fines, ids))
    commands = list(advice.commands_for(url, SCHEMA, eventful))
    views.show_next(console, advice.left_by(url, SCHEMA), commands)


async def _import(store: Store, console: Console) -> list[str]:
    """Import the sample; returns the ids of its fines, in the sample's order."""
    lines = sample_lines()
    fines = Repository(store, Fine)
    log_ids: list[str] = [json.loads(line)["fine"] for line in lines]
    prefix = await steps.free_prefix(fines, log_ids[0])
    start = await store.watermark()
    with views.progress(console, len(lines)) as advance:
        started = time.perf_counter()
        imported = await import_fines(fines, lines, prefix=prefix, progress=advance)
        seconds = time.perf_counter() - started
    views.show_import(console, imported, seconds, await steps.count_activities(store, start))
    return [prefix + log_id for log_id in log_ids]


def _most_eventful(lines: list[str]) -> int:
    """The number of the fine to which the most different things have happened."""

    def eventfulness(number: int) -> tuple[int, int]:
        activities = [event["activity"] for event in json.loads(lines[number])["events"]]
        return len(set(activities)), len(activities)

    return max(range(len(lines)), key=eventfulness)
