"""Lines as rows of a Parquet file, and back; needs the extra ``parquet``."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO
from uuid import UUID

import msgspec

from hitherto.application.arrow import arrow, envelope_types
from hitherto.application.moving.lines import (
    Line,
    check_of,
    decode_header,
    decode_line,
    encode,
    end_of_line,
    is_last,
    told,
)

_HEADER, _LAST = "hitherto.header", "hitherto.last"  # names among the file's metadata
_ROWS_OF_A_GROUP, _ROWS_AT_ONCE = 20_000, 1000
_BYTES_OF_A_GROUP = 32 * 1024 * 1024  # of lines; it is not packed in parts
_TIMES = ("occurred_at", "stored_at")
_TEXTS = ("data", "metadata")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def check_installed() -> None:
    """See whether the extra is there.

    Raises:
        ConfigurationError: It is not.
    """
    _arrow("pyarrow.parquet")


@contextmanager
def writing(file: BinaryIO) -> Generator[Callable[[Iterable[bytes]], None]]:
    """What takes lines, and writes them as rows."""
    rows = _Rows(file)
    yield rows.write
    rows.close()


def lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines that were written.

    Raises:
        ConfigurationError: The extra is not installed.
        ValueError: The file is damaged, or none of this kind.
    """
    pyarrow = _arrow("pyarrow")
    try:
        found = _arrow("pyarrow.parquet").ParquetFile(file, page_checksum_verification=True)
        about = found.metadata.metadata
        yield about[_HEADER.encode()]
        for batch in found.iter_batches(_ROWS_AT_ONCE):
            columns = {name: _values(pyarrow, batch, name) for name in batch.schema.names}
            for values in zip(*columns.values(), strict=True):
                yield _line(dict(zip(columns, values, strict=True)))
        yield about[_LAST.encode()]
    except (pyarrow.ArrowException, LookupError, TypeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


class _Rows:
    """Gathers lines until they are worth a row group."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._writer: Any = None
        self._lines: list[bytes] = []
        self._size = 0
        self._last = b""

    def write(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            if self._writer is None:
                self._begin(line)
            elif is_last(line):
                self._last = line
            else:
                self._add(line)

    def close(self) -> None:
        self._flush()
        self._writer.add_key_value_metadata({_LAST: self._last})
        self._writer.close()

    def _add(self, line: bytes) -> None:
        self._lines.append(line)
        self._size += len(line)
        if len(self._lines) == _ROWS_OF_A_GROUP or self._size >= _BYTES_OF_A_GROUP:
            self._flush()

    def _begin(self, header: bytes) -> None:
        self._schema = _schema(positions=decode_header(header).positions)
        self._writer = _arrow("pyarrow.parquet").ParquetWriter(
            self._file, self._schema, compression="zstd", write_page_checksum=True
        )
        self._writer.add_key_value_metadata({_HEADER: header})

    def _flush(self) -> None:
        rows = [_row(line) for line in self._lines]
        self._lines, self._size = [], 0
        table = _arrow("pyarrow").Table.from_pylist(rows, schema=self._schema)
        self._writer.write_table(table)


def _schema(*, positions: bool) -> Any:
    pyarrow = _arrow("pyarrow")
    types = envelope_types(pyarrow)
    times = {name: types.pop(name) for name in _TIMES}
    if not positions:
        del types["position"]
    texts = dict.fromkeys(_TEXTS, pyarrow.string())
    return pyarrow.schema(list({**types, **texts, **times, "check": pyarrow.string()}.items()))


def _row(line: bytes) -> dict[str, Any]:
    values = msgspec.structs.asdict(decode_line(line))
    values["event_id"] = str(values["event_id"])
    values["check"] = check_of(line)
    for name in _TEXTS:
        values[name] = bytes(values[name]).decode()
    for name in _TIMES:
        values[name] = (datetime.fromisoformat(values[name]) - _EPOCH) // _MICROSECOND
    if values["metadata"] == "null":
        values["metadata"] = None
    return values


def _line(values: Mapping[str, Any]) -> bytes:
    fields = dict(values)
    check = fields.pop("check")
    fields["event_id"] = UUID(fields["event_id"])
    for name in _TEXTS:
        fields[name] = msgspec.Raw((fields[name] or "null").encode())
    for name in _TIMES:
        fields[name] = told(_EPOCH + fields[name] * _MICROSECOND)
    return encode(Line(**fields))[:-1] + end_of_line(check)


def _values(pyarrow: Any, batch: Any, name: str) -> Sequence[Any]:
    column = batch.column(name)
    if name in _TIMES:  # as a number, so that no table of time zones is needed
        column = column.cast(pyarrow.int64())
    values: list[Any] = column.to_pylist()
    return values


def _arrow(module: str) -> Any:
    return arrow(module, "parquet")
