"""Files of lines: plain, packed by gzip, or Parquet."""

import gzip
import os
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias

from hitherto.application.moving import parquet
from hitherto.errors import InvalidInput

Write: TypeAlias = Callable[[Iterable[bytes]], object]
"""Takes whole lines."""

BROKEN = (EOFError, OSError, ValueError, zlib.error)
"""What is raised while lines are read of a file that is damaged."""

_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"


def check_new(path: Path) -> None:
    """Refuse the name of a file that is to be made, where there is one already.

    Raises:
        InvalidInput: There is.
    """
    if path.exists():
        raise InvalidInput(f"{path} exists already: remove it, or give another name")


@contextmanager
def made_whole(path: Path) -> Generator[Path]:
    """The name under which to make a file; it has its own when it is whole and on the disk.

    Raises:
        InvalidInput: There is a file of that name.
    """
    check_new(path)
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)  # by one that was killed
    with partial.open("xb") as file:
        try:
            yield partial
            os.fsync(file.fileno())
            check_new(path)
            if not _is_named(file, partial):
                raise InvalidInput(
                    f"{partial} was taken away, as by another that makes {path}: let one do so"
                )
            partial.rename(path)
            _keep_names(path.parent)
        finally:
            if _is_named(file, partial):
                partial.unlink()


@contextmanager
def writing(path: Path) -> Generator[Write]:
    """What takes the lines of a new file; its name tells its kind: ….gz, ….parquet, or plain.

    The same lines make the same file, packed ones too. It is there when it is whole.

    Raises:
        InvalidInput: There is a file of that name.
        ConfigurationError: The extra for Parquet is not installed.
    """
    if path.suffix == ".parquet":
        parquet.check_installed()
    with made_whole(path) as partial, partial.open("wb") as file:
        if path.suffix == ".parquet":
            with parquet.writing(file) as write:
                yield write
        elif path.suffix == ".gz":
            with gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed:
                yield packed.writelines
        else:
            yield file.writelines


@contextmanager
def reading(path: Path) -> Generator[Iterator[bytes]]:
    """The lines of a file, whose first bytes tell its kind.

    Taking one raises one of `BROKEN` where the file is damaged.

    Raises:
        ConfigurationError: The extra for Parquet is not installed.
    """
    with path.open("rb") as file:
        yield _lines(file)


def is_parquet(path: Path) -> bool:
    """Whether its lines are rows."""
    with path.open("rb") as file:
        return file.read(len(_PARQUET)) == _PARQUET


def _is_named(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _keep_names(folder: Path) -> None:
    """Have the disk keep the names of its files."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    start = file.read(len(_PARQUET))
    file.seek(0)
    if start == _PARQUET:
        parquet.check_installed()
        return parquet.lines(file)
    if start.startswith(_GZIP):
        return iter(gzip.GzipFile(fileobj=file, mode="rb"))
    return iter(file)
