"""The disk that loses power loses what was not synced, and nothing else."""

from pathlib import Path
from random import Random
from typing import Any

import apsw
import pytest
from tests.faults.losing_vfs import (
    LOSSES,
    SECTOR,
    Deleted,
    Disk,
    Loss,
    Made,
    Synced,
    Truncated,
    Written,
    recorded,
    restore,
)
from tests.faults.row import Run
from tests.faults.rows import power_loss

from hitherto.infrastructure.sqlite.connections import Connections

RANDOM = Random(0)
LONG = b"new" * SECTOR


def a_disk(*changes: Any) -> Disk:
    """One that had a file, on which something has happened since."""
    disk = Disk({"f": b"old"})
    for change in changes:
        disk.replay(change)
    return disk


@pytest.mark.parametrize("loss", LOSSES)
def test_what_was_synced_survives(loss: Loss) -> None:
    """Whatever is lost."""
    disk = a_disk(Written("f", 1, LONG), Truncated("f", 900), Synced("f", directory=False))
    assert disk.surviving(loss, RANDOM) == {"f": (b"o" + LONG)[:900]}


def test_what_was_not_synced_can_be_lost_wholly() -> None:
    """As if it had not been written."""
    disk = a_disk(Written("f", 0, LONG), Truncated("f", 1))
    assert disk.surviving("all", RANDOM) == {"f": b"old"}


def test_the_last_writes_can_be_lost() -> None:
    """A beginning survives, and every one may."""
    disk = a_disk(Written("f", 0, LONG), Written("f", 5, b"!"))
    found = {disk.surviving("tail", RANDOM)["f"] for _ in range(100)}
    whole = LONG[:5] + b"!" + LONG[6:]
    assert found == {b"old", LONG[:SECTOR], LONG[: 2 * SECTOR], LONG, whole}


def test_sectors_here_and_there_can_be_lost() -> None:
    """Each for itself; what was never written there reads as zeros."""
    disk = a_disk(Written("f", 0, LONG))
    found = {disk.surviving("sectors", RANDOM)["f"] for _ in range(100)}
    assert len(found) == 8
    assert b"old" + bytes(SECTOR - 3) + LONG[SECTOR : 2 * SECTOR] in found


def test_a_sector_is_written_whole() -> None:
    """Bytes before and after a write in its midst keep what they were."""
    disk = a_disk(Written("f", 1, b"e"))
    found = {disk.surviving("sectors", RANDOM)["f"] for _ in range(20)}
    assert found == {b"old", b"oed"}


def test_a_new_file_can_vanish_and_a_deleted_one_return() -> None:
    """Until the directory is synced."""
    changes = [Deleted("f", directory=False), Made("g"), Written("g", 0, b"1")]
    disk = a_disk(*changes, Synced("g", directory=False))
    assert disk.surviving("all", RANDOM) == {"f": b"old"}
    found = [disk.surviving("tail", RANDOM) for _ in range(50)]
    for possible in ({}, {"f": b"old"}, {"g": b"1"}, {"f": b"old", "g": b"1"}):
        assert possible in found
    disk = a_disk(*changes, Synced("g", directory=True))
    assert all(disk.surviving(loss, RANDOM) == {"g": b"1"} for loss in LOSSES)


def test_a_trace_replayed_whole_gives_the_files(tmp_path: Path) -> None:
    """What SQLite wrote is all in it: also what it does besides, such as a checkpoint."""
    directory = tmp_path / "recorded"
    directory.mkdir()
    with recorded() as trace:
        connection = apsw.Connection(str(directory / "f"))
        connection.execute("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 3")
        connection.execute("CREATE TABLE t (x)")
        for number in range(20):
            connection.execute("INSERT INTO t VALUES (?)", (str(number) * 1000,))
        disk = Disk()
        for change in trace:
            disk.replay(change)
        found = disk.surviving("all", RANDOM)
        connection.close()
    restore(found, tmp_path / "found")
    again = apsw.Connection(str(tmp_path / "found" / "f"))
    assert again.execute("SELECT count(*), max(length(x)) FROM t").get == (20, 2000)
    again.close()


async def test_a_store_that_does_not_sync_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its acknowledged events are lost."""
    connect = Connections._connection

    def careless(connections: Connections) -> apsw.Connection:
        connection = connect(connections)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    monkeypatch.setattr(Connections, "_connection", careless)
    # A file of which but some sectors are left can be damaged in any way.
    monkeypatch.setattr(power_loss, "LOSSES", ("all",))
    outcome = await power_loss.ROW.run(Run(seed=1, count=10, directory=tmp_path))
    assert any("lost: " in violation for violation in outcome.violations)


async def test_a_disk_that_lies_about_its_syncs_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the row does see what a sync is worth."""
    replay = Disk.replay

    def lie(disk: Disk, change: Any) -> None:
        if not isinstance(change, Synced) or not change.name.endswith("-wal"):
            replay(disk, change)

    monkeypatch.setattr(Disk, "replay", lie)
    monkeypatch.setattr(power_loss, "LOSSES", ("all",))
    outcome = await power_loss.ROW.run(Run(seed=1, count=10, directory=tmp_path))
    assert any("lost: " in violation for violation in outcome.violations)
