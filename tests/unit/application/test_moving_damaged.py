"""Exports that are not as they were written: each is refused, and told where."""

import gzip
import random
import re
from pathlib import Path

import pytest
from tests.unit.application.moved import HISTORY, exported, holding, told

from hitherto import InvalidInput
from hitherto.application.moving import check_file, import_file
from hitherto.application.moving.lines import Seal


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A sound one, of 9 lines."""
    path = tmp_path / "log.jsonl"
    await exported((await holding(*HISTORY)).backend, path)
    return path


async def refused_at(path: Path) -> int:
    """The line that is told, 1 where it is told that the file is none; nothing is stored."""
    store = await holding()
    with pytest.raises(InvalidInput) as caught:
        await import_file(store, path)
    assert await store.backend.watermark() == 0
    message = str(caught.value)
    assert message.startswith(str(path))
    if "is no export" in message:
        return 1
    found = re.search(r": (?:line|row) (\d+) ", message)
    assert found, message
    return int(found[1])


async def test_a_sound_file_is_not_refused(path: Path) -> None:
    """Else the rest would tell nothing."""
    assert (await check_file(path)).events == 7


async def test_any_byte_that_was_changed_is_found_in_its_line(path: Path) -> None:
    """Whichever it is: in the data, a check, the end of a line, the first or the last line."""
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        assert await refused_at(path) == whole[:place].count(b"\n") + 1, place


async def test_a_file_that_was_cut_off_is_refused_wherever_it_ends(path: Path) -> None:
    """Between lines, or within one."""
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        lines = whole[:length].count(b"\n") + (whole[:length][-1:] != b"\n")
        assert await refused_at(path) == lines


@pytest.mark.parametrize("number", range(1, 10))
async def test_a_line_that_was_lost_is_found_where_it_was(path: Path, number: int) -> None:
    """The next one is in its place; of the last one, the line before it is told."""
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[number - 1]
    path.write_bytes(b"".join(lines))
    assert await refused_at(path) == min(number, 8)


@pytest.mark.parametrize("number", range(1, 10))
async def test_a_line_that_is_there_twice_is_found_the_second_time(path: Path, number: int) -> None:
    """Right behind the first time, or at the end."""
    lines = path.read_bytes().splitlines(keepends=True)
    lines.insert(number, lines[number - 1])
    path.write_bytes(b"".join(lines))
    assert await refused_at(path) == number + 1


@pytest.mark.parametrize(("one", "other"), [(1, 2), (2, 3), (2, 8), (4, 6), (8, 9)])
async def test_lines_that_were_swapped_are_found_at_the_first(
    path: Path, one: int, other: int
) -> None:
    """Each is sound by itself."""
    lines = path.read_bytes().splitlines(keepends=True)
    lines[one - 1], lines[other - 1] = lines[other - 1], lines[one - 1]
    path.write_bytes(b"".join(lines))
    assert await refused_at(path) == one


async def test_what_follows_the_last_line_is_refused(path: Path) -> None:
    """Such as a second export behind the first."""
    path.write_bytes(path.read_bytes() * 2)
    assert await refused_at(path) == 10


async def test_a_line_of_another_export_is_refused(path: Path, tmp_path: Path) -> None:
    """Though it is in the same place there."""
    other = tmp_path / "other.jsonl"
    await exported((await holding(told("a", 1), *HISTORY[1:])).backend, other)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[4] = other.read_bytes().splitlines(keepends=True)[4]
    path.write_bytes(b"".join(lines))
    assert await refused_at(path) == 5


@pytest.mark.parametrize("kind", ["jsonl.gz", "parquet"])
async def test_a_packed_file_that_was_changed_is_refused(tmp_path: Path, kind: str) -> None:
    """A byte of it, or its end."""
    path = tmp_path / f"log.{kind}"
    await exported((await holding(*(told("a", n) for n in range(1, 400)))).backend, path)
    whole, chance = path.read_bytes(), random.Random(3)
    sound = await check_file(path)
    for _ in range(60):
        changed = bytearray(whole)
        place = chance.randrange(len(whole))
        changed[place] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        try:  # Of gzip's header and Parquet's statistics nothing is read.
            assert await check_file(path) == sound
        except InvalidInput:
            continue
        assert kind == "parquet" or place < 10
    for length in range(0, len(whole), len(whole) // 20 + 1):
        path.write_bytes(whole[:length])
        await refused_at(path)


async def test_a_packed_file_is_told_the_line_of(path: Path) -> None:
    """As of one that is not."""
    lines = path.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b"Happened", b"happened")
    path.write_bytes(gzip.compress(b"".join(lines)))
    assert await refused_at(path) == 5


async def test_a_row_that_was_changed_is_told(tmp_path: Path) -> None:
    """The first row is number 1."""
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    path = tmp_path / "log.parquet"
    await exported((await holding(*HISTORY)).backend, path)
    table = parquet.read_table(path)
    kept = parquet.ParquetFile(path).metadata.metadata
    types = table.column("event_type").to_pylist()
    types[4] = "Else"
    column = arrow.array(types)
    table = table.set_column(table.column_names.index("event_type"), "event_type", column)
    ours = {name: value for name, value in kept.items() if name.startswith(b"hitherto")}
    parquet.write_table(table.replace_schema_metadata(ours), path)
    assert await refused_at(path) == 5
    parquet.write_table(table.replace_schema_metadata({}), path)
    await refused_at(path)
    parquet.write_table(table.drop(["data"]).replace_schema_metadata(ours), path)
    await refused_at(path)


def sealed(*bodies: bytes) -> bytes:
    """A file whose checks and hash are right."""
    seal = Seal()
    lines = [seal.seal(body) for body in bodies]
    return b"".join([*lines, seal.last(len(bodies) - 1)])


HEADER = b'{"format":"hitherto-events","version":1,"positions":false,"filter":{}'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (sealed(HEADER.replace(b'"version":1', b'"version":2')), "upgrade hitherto"),
        (sealed(HEADER.replace(b"hitherto-events", b"other")), "is no export"),
        (sealed(HEADER.replace(b"{}", b'{"after":-1}')), "is no export"),
        (sealed(HEADER, b'{"event_id":1'), "line 2 tells no event"),
        (b"", "is no export"),
        (b"\n", "is no export"),
        (b"SQLite format 3\0\n\xff\xfe\n", "is no export"),
        (b"[]\n", "is no export"),
        (b"PAR1", "cannot be read"),
        (b"\x1f\x8bnothing", "cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_is_no_export_is_refused(path: Path, content: bytes, said: str) -> None:
    """Or one of a later time."""
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=said):
        await import_file(await holding(), path)


@pytest.mark.parametrize(
    "change",
    [('"version":1,"data"', '"version":0,"data"'), ("2024-02-29T12:01", "yesterday"),
     ('"aggregate_id":"a"', '"aggregate_id":""'), ('"schema_version":1', '"schema_version":0')],
)  # fmt: skip
async def test_an_event_that_no_store_takes_is_refused_before_anything_is_written(
    path: Path, change: tuple[str, str]
) -> None:
    """Though its file is sound: somebody has made it by hand."""
    _, *lines, _ = path.read_text().split("\n")[:-1]
    bodies = [line[: line.rindex(',"check"')] for line in lines]
    bodies[5] = bodies[0].replace(*change)
    assert bodies[5] != bodies[0]
    path.write_bytes(sealed(HEADER, *(body.encode() for body in bodies)))
    store = await holding()
    with pytest.raises(InvalidInput):
        await import_file(store, path)
    assert await store.backend.watermark() == 0
