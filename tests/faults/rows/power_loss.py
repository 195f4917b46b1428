"""SQLite loses power: what was acknowledged stands, whatever of the unsynced writes is lost."""

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import cast, get_args

import apsw
from tests.faults.checker import check, outcomes
from tests.faults.history import Ended, Line, RecordedBackend, Recorder
from tests.faults.losing_vfs import LOSSES, Change, Disk, Trace, recorded, restore
from tests.faults.row import Outcome, Row, Run
from tests.faults.workload import (
    SNAPSHOT_EVERY,
    Worker,
    WrongFold,
    account_ids,
    folds_equal_snapshots,
    follow,
)

from hitherto import Store, connect
from hitherto.application.ports import Backend
from hitherto.errors import HithertoError

_LOSSES = 10  # in a life
_LIVES = 5  # of one file
_ACCOUNTS = 6
_TASKS = 4
_STEPS = 20  # of each task, before and after the store is closed and opened again
_YOUNG = 60  # changes in which a file and its tables are made
_FILE = "store.db"


class _Recorder(Recorder):
    """Puts the history into the trace too, so that each moment of it has both."""

    def __init__(self, path: Path, client: str, trace: Trace) -> None:
        super().__init__(path, client)
        self._trace = trace

    def write(self, line: Line) -> None:
        super().write(line)
        self._trace.append(line)


async def run(run: Run) -> Outcome:
    """Files live some lives, each of which begins with what the loss before has left."""
    outcome = Outcome()
    random = run.random("losses")
    files: Mapping[str, bytes] = {}
    lines: list[Line] = []
    lives = -(-run.count // _LOSSES)
    for life in range(1, lives + 1):
        files, lines = await _life_and_losses(run, life, files, lines, random, outcome)
        if outcome.violations:
            break
        if life % _LIVES == 0 or life == lives:
            outcome.operations += outcomes(lines)
            files, lines = {}, []
    outcome.notes.append(
        f"{lives} lives of {-(-lives // _LIVES)} files, in each of which power was lost at "
        f"{_LOSSES} moments; the next one began with what the last loss had left"
    )
    return outcome


async def _life_and_losses(
    run: Run,
    life: int,
    files: Mapping[str, bytes],
    lines: Sequence[Line],
    random: Random,
    outcome: Outcome,
) -> tuple[Mapping[str, bytes], list[Line]]:
    """Put load on the store, and see what each loss would have left; returns the last one's."""
    trace = await _life(run, life, files)
    disk, history, replayed = Disk(files), list(lines), 0
    for number, cut in enumerate(_cuts(trace, random), 1):
        for happened in trace[replayed:cut]:
            if isinstance(happened, get_args(Change)):
                disk.replay(happened)
            else:
                history.append(happened)
        replayed = cut
        loss = random.choice(LOSSES)
        files = disk.surviving(loss, random)
        outcome.faults[f"lost {loss}"] += 1
        where = f"life {life}, change {cut} of {len(trace)}, lost {loss}"
        directory = run.directory / f"found-{life}-{number}"
        restore(files, directory)
        found = await _reopened(directory, history, run.random(where))
        outcome.violations += [f"{where}: {each}" for each in found]
        shutil.rmtree(directory)
    return files, history


async def _life(run: Run, life: int, files: Mapping[str, bytes]) -> Trace:
    """Load on a store that is closed and opened once in between."""
    directory = run.directory / f"life-{life}"
    restore(files, directory)
    with recorded() as trace:
        backend = connect(f"sqlite:///{directory / _FILE}").backend
        for half in (1, 2):
            name = f"writer-{life}-{half}"
            recorder = _Recorder(run.directory / f"{name}.jsonl", name, trace)
            store = Store(
                cast("Backend", RecordedBackend(backend, recorder)),
                snapshot_threshold=SNAPSHOT_EVERY,
            )
            async with store:
                await _load(store, recorder, run.random(name))
    return trace


async def _load(store: Store, recorder: Recorder, random: Random) -> None:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(follow(store.backend, recorder, stop))
        async with asyncio.TaskGroup() as workers:
            for _ in range(_TASKS):
                worker = Worker(store, Random(random.random()), account_ids(_ACCOUNTS))
                workers.create_task(worker.run(stop, _STEPS))
        stop.set()
        await following


def _cuts(trace: Trace, random: Random) -> list[int]:
    """Moments: right after an acknowledgement, while the file is young, or any."""
    acknowledged = [
        index
        for index, line in enumerate(trace, 1)
        if isinstance(line, Ended) and line.outcome == "ok"
    ]
    cuts = [
        random.choice(
            [
                random.choice(acknowledged),
                random.choice(acknowledged),
                random.randint(1, len(trace)),
                random.randint(1, _YOUNG),
            ]
        )
        for _ in range(_LOSSES)
    ]
    return sorted(cuts)


async def _reopened(directory: Path, lines: Sequence[Line], random: Random) -> list[str]:
    """Open what was found as after a reboot; what contradicts the promises then."""
    violations: list[str] = []
    connection = apsw.Connection(str(directory / _FILE))
    try:
        async with connect(f"sqlite:///{directory / _FILE}") as store:
            violations += await check(store.backend, lines)
            violations += await folds_equal_snapshots(store)
            worker = Worker(store, random, account_ids(_ACCOUNTS))
            await asyncio.wait_for(worker.run(asyncio.Event(), 5), 30)
        told = connection.execute("PRAGMA integrity_check").get
        if told != "ok":
            violations.append(f"the file is damaged: {told}")
    except (HithertoError, apsw.Error, WrongFold, TimeoutError) as error:
        violations.append(f"the file cannot be used: {error!r}")
    finally:
        connection.close()
    return violations


ROW = Row(title="Power loss (SQLite)", promises="1, 2, 3, 4, 5", run=run, full=200, quick=20)
