"""An export into a store: what comes back, what is skipped, what is refused."""

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.application.moved import HISTORY, NOON, exported, holding, told

from hitherto import (
    AggregateIDMismatch,
    ConfigurationError,
    InvalidInput,
    Store,
)
from hitherto.application.moving import Filter, Moved, import_file
from hitherto.errors import EventStoreError
from hitherto.infrastructure.memory import MemoryStore
from hitherto.testing.probe import Probe
from hitherto.testing.store_contract.making import append_to, new_id, placed, whole_log

KINDS = ["jsonl", "jsonl.gz", "parquet"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("positions", [False, True])
async def test_what_was_exported_is_imported_as_it_was(
    kind: str, positions: bool, tmp_path: Path
) -> None:
    """Out of the new store the same file comes again, to the byte."""
    first, second = (tmp_path / f"{name}.{kind}" for name in ("first", "second"))
    store, other = await holding(*HISTORY), await holding()
    done = await exported(store.backend, first, positions=positions)
    assert await import_file(other, first) == Moved(events=7, written=7, skipped=0)
    assert await exported(other.backend, second, positions=positions) == done
    assert first.read_bytes() == second.read_bytes()
    for one, two in zip(
        await whole_log(store.backend), await whole_log(other.backend), strict=True
    ):
        for name in ("event_id", "event_type", "schema_version", "version", "stored_at"):
            assert getattr(one, name) == getattr(two, name)


async def test_the_kind_of_a_file_is_told_by_what_is_in_it(tmp_path: Path) -> None:
    """Whatever its name."""
    store = await holding(*HISTORY)
    for kind in KINDS:
        path = tmp_path / f"log.{kind}"
        await exported(store.backend, path)
        path.rename(tmp_path / "renamed")
        assert (await import_file(await holding(), tmp_path / "renamed")).written == 7


async def test_without_its_extra_parquet_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is made, with what to install."""
    path = tmp_path / "log.parquet"
    await exported((await holding(*HISTORY)).backend, path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'hitherto\[parquet\]'"):
        await import_file(await holding(), path)
    with pytest.raises(ConfigurationError, match="parquet"):
        await exported(MemoryStore(), tmp_path / "other.parquet")
    assert list(tmp_path.iterdir()) == [path]


async def test_an_import_goes_on_where_it_was_broken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored already is skipped, and compared with the file too."""
    monkeypatch.setattr("hitherto.application.moving.reading._EVENTS", 2)
    path = tmp_path / "log.jsonl"
    await exported((await holding(*HISTORY)).backend, path)
    other = await holding(*HISTORY[:4])
    assert await import_file(other, path) == Moved(events=7, written=3, skipped=4)
    assert await import_file(other, path) == Moved(events=7, written=0, skipped=7)


@pytest.mark.parametrize("before", [0, 8])
async def test_a_store_may_hold_more_than_the_file(
    before: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, among and after what is imported, and in another order."""
    monkeypatch.setattr("hitherto.application.moving.reading._EVENTS", 2)
    monkeypatch.setattr("hitherto.application.moving.selecting._PAGE", 3)
    path = tmp_path / "log.jsonl"
    await exported((await holding(*HISTORY)).backend, path)
    others = [placed("x", version) for version in range(1, 12)]
    stored = await holding(*others[:before], HISTORY[3], HISTORY[6], HISTORY[0], *others[before:])
    await stored.backend.append([append_to("y", 2)])
    probe = Probe(stored.backend)
    assert await import_file(Store(probe), path) == Moved(events=7, written=4, skipped=3)
    assert probe.calls.count("read") == 1  # to see where the first one is; then side by side


async def test_an_import_that_goes_on_reads_from_where_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a large store held before is neither read nor kept in memory."""
    monkeypatch.setattr("hitherto.application.moving.selecting._PAGE", 3)
    path = tmp_path / "log.jsonl"
    await exported((await holding(*HISTORY)).backend, path)
    stored = await holding(*(placed("x", version) for version in range(1, 301)), *HISTORY[:4])
    probe = Probe(stored.backend)
    assert await import_file(Store(probe), path) == Moved(events=7, written=3, skipped=4)
    assert probe.calls.count("read_all") < 10


@pytest.mark.parametrize(
    ("change", "told_of"),
    [
        ({"data": "{}"}, "its data differ"),
        ({"metadata": '{"a":1}', "event_type": "Else"}, "its event_type, metadata differ"),
        ({"stored_at": NOON}, "its stored_at differ"),
        ({"occurred_at": NOON}, "its occurred_at differ"),
    ],
)
@pytest.mark.parametrize("place", [0, 6])
async def test_an_event_that_is_stored_otherwise_is_found_at_the_end(
    place: int, change: dict[str, Any], told_of: str, tmp_path: Path
) -> None:
    """Its id says that it is the same one."""
    path = tmp_path / "log.jsonl"
    history = [msgspec.structs.replace(each, stored_at=told("z", 9).stored_at) for each in HISTORY]
    await exported((await holding(*history)).backend, path)
    history[place] = msgspec.structs.replace(history[place], **change)
    event = history[place]
    which = rf"version {event.version} of '{event.aggregate_id}' .* {told_of}"
    with pytest.raises(EventStoreError, match=which):
        await import_file(await holding(*history), path)


async def test_a_store_that_loses_an_event_is_found_out(tmp_path: Path) -> None:
    """Though it said that it had written all."""
    path = tmp_path / "log.jsonl"
    await exported((await holding(*HISTORY)).backend, path)

    class Losing(MemoryStore):
        async def import_events(self, events: Any) -> int:
            await super().import_events(events[:-1])
            return len(events)

    with pytest.raises(EventStoreError, match=r"version 2 of 'c' .* it is missing"):
        await import_file(Store(Losing()), path)


async def test_what_is_not_below_the_watermark_yet_is_looked_for_by_itself(tmp_path: Path) -> None:
    """An open transaction holds back who reads the log, but not who reads an aggregate."""
    path = tmp_path / "log.jsonl"
    await exported((await holding(*HISTORY)).backend, path)

    class HeldBack(MemoryStore):
        async def watermark(self) -> int:
            return 3

    assert (await import_file(Store(HeldBack()), path)).written == 7


@pytest.mark.parametrize("kept", [HISTORY[:3], HISTORY[:4] + HISTORY[5:]])
async def test_another_history_under_the_same_ids_is_refused(
    kept: list[Any], tmp_path: Path
) -> None:
    """It is told which event is in the way."""
    path = tmp_path / "log.jsonl"
    await exported((await holding(*kept)).backend, path)
    other = await holding(msgspec.structs.replace(HISTORY[0], event_id=new_id()))
    with pytest.raises(InvalidInput, match="another event as version 1 of 'a'"):
        await import_file(other, path)
    with pytest.raises(AggregateIDMismatch):
        await import_file(await holding(told("a", 1, aggregate_type="Else")), path)


async def test_a_part_without_some_versions_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is written."""
    monkeypatch.setattr("hitherto.application.moving.reading._EVENTS", 1)
    store = await holding(*HISTORY, told("a", 4))
    path = tmp_path / "log.jsonl"
    await exported(store.backend, path, Filter(event_types=("Happened",)))
    other = await holding()
    with pytest.raises(InvalidInput, match=r"version 4 of 'a' cannot be stored.*version 3"):
        await import_file(other, path)
    assert await other.backend.watermark() == 0
    path.unlink()
    await exported(store.backend, path, Filter(event_types=("Odd",)))
    with pytest.raises(InvalidInput, match="version 3 of 'a' cannot be stored"):
        await import_file(other, path)
    assert await other.backend.watermark() == 0
    assert (await import_file(await holding(*HISTORY[:3]), path)).written == 1


async def test_a_later_part_follows_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is refused without it, before anything is written."""
    monkeypatch.setattr("hitherto.application.moving.reading._EVENTS", 1)
    store = await holding(*HISTORY[:4], told("d", 1), *HISTORY[4:])
    other = await holding()
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    await exported(store.backend, first, Filter(until=4))
    await exported(store.backend, second, Filter(after=4))
    with pytest.raises(InvalidInput, match="version 3 of 'a' cannot be stored"):
        await import_file(other, second)
    assert await other.backend.watermark() == 0
    await import_file(other, first)
    assert (await import_file(other, second)).written == 4
    whole = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for path, each in zip(whole, (store, other), strict=True):
        await exported(each.backend, path)
    assert whole[0].read_bytes() == whole[1].read_bytes()


async def test_a_store_with_inline_projections_takes_no_import(tmp_path: Path) -> None:
    """They would not be run."""
    store = await holding()
    store.inline = [1]  # type: ignore[assignment]
    with pytest.raises(InvalidInput, match="inline"):
        await import_file(store, tmp_path / "none")


async def test_progress_is_told(tmp_path: Path) -> None:
    """Of each step how far it has come."""
    path = tmp_path / "log.jsonl"
    await exported((await holding(*HISTORY)).backend, path)
    steps: list[tuple[str, int, int | None]] = []
    await import_file(await holding(), path, progress=lambda *step: steps.append(step))
    assert {("checking", 7, None), ("importing", 7, 7), ("verifying", 7, 7)} <= set(steps)
