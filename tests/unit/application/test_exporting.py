"""Out of a store: what an export holds."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.application.moved import HISTORY, ODD, exported, holding, told

from hitherto import (
    EventSerializationFailed,
    InvalidInput,
)
from hitherto.application.moving import Filter, check_file, export_log, import_file, writing
from hitherto.application.records import StoredEvent
from hitherto.infrastructure.memory import MemoryStore
from hitherto.testing.probe import Probe
from hitherto.testing.store_contract.making import placed

KINDS = ["jsonl", "jsonl.gz", "parquet"]


async def test_a_file_has_a_header_a_line_for_each_event_and_a_last_one(tmp_path: Path) -> None:
    """In the order of the log; the last one has the number and the hash."""
    path = tmp_path / "log.jsonl"
    store = await holding(*HISTORY)
    done = await exported(store.backend, path)
    header, *events, last = path.read_bytes().splitlines(keepends=True)
    assert json.loads(header)["format"] == "hitherto-events"
    assert [json.loads(line)["event_id"] for line in events] == [
        str(event.event_id) for event in HISTORY
    ]
    sha256 = hashlib.sha256(b"".join([header, *events])).hexdigest()
    assert json.loads(last) == {"events": 7, "sha256": sha256}
    assert (done.events, done.sha256) == (7, sha256)


async def test_an_event_is_told_in_canonical_form(tmp_path: Path) -> None:
    """Keys sorted, no spaces, every digit of a number, times in UTC with microseconds."""
    path = tmp_path / "log.jsonl"
    await exported(
        (await holding(told("a", 1, data=ODD, metadata='{"b": 1, "a": 2}'))).backend, path
    )
    line = path.read_text().split("\n")[1]
    huge = "1" + "0" * 300
    assert '"aggregate_id":"a","aggregate_type":"Thing","version":1,"data":{"NaN":"NaN",' in line
    assert f'"z":[1.50,{huge},0.0,123456789012345678901234567890,0.1],"é":"😀\\n\u2028"}}' in line
    assert '"metadata":{"a":2,"b":1},"occurred_at":"2024-02-29T12:30:15.123456Z",' in line
    assert '"stored_at":"2024-02-29T12:01:00.000000Z","check":"' in line
    assert list(json.loads(line)) == [
        "event_id", "event_type", "schema_version", "aggregate_id", "aggregate_type", "version",
        "data", "metadata", "occurred_at", "stored_at", "check",
    ]  # fmt: skip


async def test_a_packed_file_does_not_tell_when_and_under_which_name_it_was_made(
    tmp_path: Path,
) -> None:
    """The header of gzip has a place for both."""
    store = await holding(*HISTORY)
    await exported(store.backend, tmp_path / "log.jsonl")
    await exported(store.backend, tmp_path / "log.jsonl.gz")
    packed = (tmp_path / "log.jsonl.gz").read_bytes()
    assert (packed[3], packed[4:8]) == (0, b"\0\0\0\0")
    assert gzip.decompress(packed) == (tmp_path / "log.jsonl").read_bytes()


async def test_all_kinds_of_files_tell_the_same_hash(tmp_path: Path) -> None:
    """They hold the same lines."""
    store = await holding(*HISTORY)
    done = [await exported(store.backend, tmp_path / f"log.{kind}") for kind in KINDS]
    assert done[0] == done[1] == done[2]


async def test_parquet_has_the_columns_of_the_lines(tmp_path: Path) -> None:
    """With times and numbers as such; metadata that there are none of are null."""
    parquet = pytest.importorskip("pyarrow.parquet")
    await exported((await holding(*HISTORY)).backend, tmp_path / "log.parquet", positions=True)
    table = parquet.read_table(tmp_path / "log.parquet")
    assert table.column_names == [
        "position", "event_id", "event_type", "schema_version", "aggregate_id", "aggregate_type",
        "version", "data", "metadata", "occurred_at", "stored_at", "check",
    ]  # fmt: skip
    row = table.to_pylist()[0]
    assert (row["position"], row["version"], row["aggregate_id"]) == (1, 1, "a")
    assert (row["stored_at"], row["metadata"]) == (HISTORY[0].stored_at, '{"n":1.0,"who":"ada"}')
    assert table.column("metadata").null_count == 5


async def test_a_large_parquet_file_has_several_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is read as one."""
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("hitherto.application.moving.selecting._PAGE", 100)
    monkeypatch.setattr("hitherto.application.moving.parquet._ROWS_OF_A_GROUP", 300)
    store, path = await holding(*(told("a", version) for version in range(1, 1001))), tmp_path / "l"
    await exported(store.backend, path.with_suffix(".parquet"))
    assert parquet.ParquetFile(path.with_suffix(".parquet")).num_row_groups == 4
    assert (await import_file(await holding(), path.with_suffix(".parquet"))).written == 1000


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), [1, 2, 3, 4, 5, 6, 7]),
        (Filter(event_types=("Odd",)), [2, 5]),
        (Filter(event_types=("Odd", "Happened")), [1, 2, 3, 4, 5, 6, 7]),
        (Filter(aggregate_types=("Other",)), [2, 6]),
        (Filter(aggregates=("b", "a", "b")), [1, 2, 3, 5, 6]),
        (Filter(aggregates=("a", "nobody"), after=1, until=3), [3]),
        (Filter(aggregates=("a", "b"), event_types=("Odd",), aggregate_types=("Thing",)), [5]),
        (Filter(after=2, until=5), [3, 4, 5]),
        (Filter(after=7), []),
        (Filter(until=99), [1, 2, 3, 4, 5, 6, 7]),
    ],
    ids=str,
)
async def test_a_part_of_the_log_may_be_exported(
    wanted: Filter, found: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The header tells which."""
    monkeypatch.setattr("hitherto.application.moving.selecting._PAGE", 2)
    path = tmp_path / "log.jsonl"
    done = await exported((await holding(*HISTORY)).backend, path, wanted, positions=True)
    header, *lines, _ = map(json.loads, path.read_bytes().splitlines())
    assert [line["position"] for line in lines] == found
    assert done.events == len(found)
    assert header["positions"] is True
    assert msgspec.convert(header["filter"], Filter) == wanted
    assert ("event_types" in header["filter"]) == bool(wanted.event_types)


@pytest.mark.parametrize(
    "wrong",
    [
        {"event_types": ("",)}, {"aggregate_types": ("a\0",)}, {"aggregates": ("x" * 256,)},
        {"after": -1}, {"after": 5, "until": 4},
    ],
)  # fmt: skip
def test_a_filter_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    """Before the store is asked."""
    with pytest.raises(InvalidInput):
        Filter(**wrong)


async def test_what_is_stored_after_the_beginning_is_left_out(tmp_path: Path) -> None:
    """An export ends where the log ended, though others go on writing."""
    store = await holding(*HISTORY)

    def write(lines: Any) -> None:
        path.write_bytes(path.read_bytes() + b"".join(lines))
        log: list[StoredEvent] = store.backend._log  # type: ignore[attr-defined]
        log.append(msgspec.structs.replace(log[-1], position=len(log) + 1))

    path = tmp_path / "log.jsonl"
    path.touch()
    assert (await export_log(store.backend, write)).events == 7
    assert (await check_file(path)).events == 7


async def test_data_that_are_no_json_are_not_exported(tmp_path: Path) -> None:
    """The event is named, and no file is made."""
    with pytest.raises(EventSerializationFailed, match=r"version 1 of 'a' .*hitherto verify"):
        await exported(
            (await holding(told("a", 1, data='{"n": NaN}'))).backend, tmp_path / "l.jsonl"
        )
    assert list(tmp_path.iterdir()) == []


async def test_a_file_that_exists_is_not_replaced(tmp_path: Path) -> None:
    """It may be somebody's store."""
    path = tmp_path / "shop.db"
    path.write_text("precious")
    with pytest.raises(InvalidInput, match=r"shop\.db exists already"), writing(path):
        pytest.fail("work that is for nothing")
    assert path.read_text() == "precious"


async def test_a_large_log_is_read_page_by_page(tmp_path: Path) -> None:
    """Each page once."""
    probe = Probe(MemoryStore())
    await probe.import_events([placed("a", version) for version in range(1, 5001)])
    probe.reset()
    await exported(probe, tmp_path / "log.jsonl")
    assert probe.calls.count("read_all") == 3


def test_of_two_that_make_one_file_one_does(tmp_path: Path) -> None:
    """The one that has begun first is told, and takes nothing away from the other."""
    path = tmp_path / "log.jsonl"
    first, second = writing(path), writing(path)
    first.__enter__()([b"first\n"])
    write = second.__enter__()
    write([b"second, "])
    with pytest.raises(InvalidInput, match="was taken away"):
        first.__exit__(None, None, None)
    write([b"whole\n"])
    second.__exit__(None, None, None)
    assert path.read_bytes() == b"second, whole\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("bound", ["_ROWS_OF_A_GROUP", "_BYTES_OF_A_GROUP"])
async def test_parquet_is_the_same_file_whatever_pages_were_read(
    bound: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its groups are as many rows, or bytes, as memory is to hold."""
    monkeypatch.setattr(f"hitherto.application.moving.parquet.{bound}", 3)
    store = await holding(*HISTORY)
    for page in (2, 7):
        monkeypatch.setattr("hitherto.application.moving.selecting._PAGE", page)
        await exported(store.backend, tmp_path / f"{page}.parquet")
    assert (tmp_path / "2.parquet").read_bytes() == (tmp_path / "7.parquet").read_bytes()
    assert (await check_file(tmp_path / "2.parquet")).events == 7
