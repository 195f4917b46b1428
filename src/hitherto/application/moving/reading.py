"""`Reading`: an export read back, each line checked."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator
from pathlib import Path
from typing import Never

import msgspec

from hitherto.application.moving.files import BROKEN, is_parquet, reading
from hitherto.application.moving.lines import (
    FORMAT,
    VERSION,
    Header,
    Line,
    Seal,
    body_of,
    decode_header,
    decode_line,
    is_last,
)
from hitherto.errors import InvalidInput

_EVENTS, _BYTES = 5_000, 4 * 1024 * 1024  # of a chunk, the most


class Reading:
    """An export, read once.

    Args:
        path: The file.
        name: What to call it.

    Attributes:
        header: Its first line, as soon as a chunk was read.
    """

    header: Header

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self._path = path
        self._number = 0
        self._seal = Seal()
        self._unit = "row" if is_parquet(path) else "line"

    def chunks(self) -> Generator[list[Line]]:
        """All lines of events, some thousands at once.

        Raises:
            ConfigurationError: The extra for Parquet is not installed.
            InvalidInput: The file is no export, or it is not as it was written; it is told where.
        """
        chunk: list[Line] = []
        size = 0
        with reading(self._path) as lines:
            self._begin(self._next(lines))
            while not is_last(line := self._next(lines)):
                chunk.append(self._checked(line))
                size += len(line)
                if len(chunk) == _EVENTS or size > _BYTES:
                    yield chunk
                    chunk, size = [], 0
            self._end(line, lines)
        if chunk:
            yield chunk

    async def each_chunk(self) -> AsyncGenerator[list[Line]]:
        """The same; the file is read in a thread."""
        chunks = self.chunks()
        while chunk := await asyncio.to_thread(next, chunks, None):
            yield chunk

    def _next(self, lines: Iterator[bytes]) -> bytes:
        try:
            line = next(lines, b"")
        except BROKEN as error:
            self._number += 1
            self._refuse(f"cannot be read: {error or type(error).__name__}")
        if not line and self._number:
            self._refuse("is the last one that is there, the file was cut off behind it")
        self._number += 1
        return line

    def _begin(self, line: bytes) -> None:
        try:
            header = decode_header(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, InvalidInput):
            header = None
        if header is None or header.format != FORMAT:
            raise InvalidInput(f"{self.name} is no export: give a file that `hitherto export` made")
        if header.version != VERSION:
            raise InvalidInput(
                f"{self.name} has version {header.version} of the format, this code reads "
                f"{VERSION}: upgrade hitherto"
            )
        self._check(line)
        self.header = header

    def _checked(self, line: bytes) -> Line:
        self._check(line)
        try:
            return decode_line(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._refuse(f"tells no event: {error}")

    def _check(self, line: bytes) -> None:
        if not line.endswith(b"\n"):
            self._refuse("is cut off")
        if self._seal.seal(body_of(line)) != line:
            self._refuse(
                "is not what was written there: it was changed, moved or repeated, or the "
                "one before it was lost"
            )

    def _end(self, line: bytes, lines: Iterator[bytes]) -> None:
        if line != self._seal.last(self._number - 2):
            self._refuse("does not tell the number and the hash of the lines before it")
        try:
            rest = next(lines, None)
        except BROKEN:
            rest = b""
        if rest is not None:
            self._number += 1
            self._refuse("is behind the last one")

    def _refuse(self, why: str) -> Never:
        number = self._number if self._unit == "line" else max(self._number - 1, 0)
        raise InvalidInput(f"{self.name}: {self._unit} {number} {why}; export again")
