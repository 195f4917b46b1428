"""A disk that can lose power: what SQLite wrote and did not sync yet is lost, wholly or in part.

`recorded` puts a VFS before the usual one that writes every change of a file into a trace; whoever
takes part can add marks of his own, such as lines of a history. `Disk` then replays the trace to
any point of it and tells what could be found after a loss of power there:

- a synced write stands; of those since the last sync of the file any sectors of 512 bytes may;
- a file that was made or deleted since the last sync of its directory may be back, or gone.

The shared memory of WAL mode is no matter: it is passed through, and made anew from the log.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Literal

import apsw
import msgspec

SECTOR = 512

# Files whose making SQLite lets the directory's sync follow at their first own one.
_SYNCS_DIRECTORY = (
    apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL
)

Loss = Literal["all", "tail", "sectors"]
"""What of the unsynced writes is lost: all, the last ones in order, or sectors here and there."""

LOSSES: tuple[Loss, ...] = ("all", "tail", "sectors")


class Made(msgspec.Struct, frozen=True):
    """A file that was not there was opened."""

    name: str


class Written(msgspec.Struct, frozen=True):
    """Bytes were written, perhaps beyond the end."""

    name: str
    offset: int
    data: bytes


class Truncated(msgspec.Struct, frozen=True):
    """A file was cut or extended to a size."""

    name: str
    size: int


class Synced(msgspec.Struct, frozen=True):
    """What was written to a file is on the disk, and with `directory` what was made and deleted."""

    name: str
    directory: bool


class Deleted(msgspec.Struct, frozen=True):
    """A file was deleted; with `directory` for good."""

    name: str
    directory: bool


Change = Made | Written | Truncated | Synced | Deleted

Trace = list[Any]
"""`Change`s and marks, in the order in which they happened."""


class _RecordedFile(apsw.VFSFile):
    def __init__(self, trace: Trace, base: str, name: Any, flags: list[int]) -> None:
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name)
        made = not path.exists()
        super().__init__(base, name, flags)
        self._trace = trace
        self._name = path.name
        self._directory_due = made and bool(flags[0] & _SYNCS_DIRECTORY)
        if made:
            trace.append(Made(self._name))

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        written = bytes(data)
        super().xWrite(data, offset)
        self._trace.append(Written(self._name, offset, written))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        self._trace.append(Truncated(self._name, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self._trace.append(Synced(self._name, self._directory_due))
        self._directory_due = False


class _RecordingVFS(apsw.VFS):
    def __init__(self, trace: Trace, base: str) -> None:
        self._trace = trace
        self._base = base
        super().__init__("hitherto-recorded", base, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        if name is None:  # A temporary file, which nobody will look for.
            return apsw.VFSFile(self._base, name, flags)
        return _RecordedFile(self._trace, self._base, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, syncdir)
        self._trace.append(Deleted(Path(filename).name, syncdir))


@contextmanager
def recorded() -> Generator[Trace]:
    """What this process does to SQLite files that it opens inside the block, as a trace.

    The files are those of one directory; they are told by their names there.
    """
    trace: Trace = []
    vfs = _RecordingVFS(trace, apsw.vfs_names()[0])
    try:
        yield trace
    finally:
        vfs.unregister()


class _File:
    """The durable bytes of a file, and what was done to it since its last sync."""

    def __init__(self, durable: bytes = b"") -> None:
        self._durable = bytearray(durable)
        self._pending: list[Written | Truncated] = []

    def change(self, change: Written | Truncated) -> None:
        self._pending.append(change)

    def sync(self) -> None:
        for change in self._pending:
            _apply(self._durable, change)
        self._pending.clear()

    def surviving(self, loss: Loss, random: Random) -> bytes:
        found = bytearray(self._durable)
        pieces = [piece for change in self._pending for piece in _pieces(change)]
        if loss == "tail":
            pieces = pieces[: random.randint(0, len(pieces))]
        elif loss == "sectors":
            pieces = [piece for piece in pieces if random.random() < 0.5]
        else:
            pieces = []
        for piece in pieces:
            _apply(found, piece)
        return bytes(found)


class Disk:
    """The files of a trace, as far as it was replayed.

    Args:
        files: What was there before, durably.
    """

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        # What each name has stood for since the last sync of the directory: the first is durable.
        self._names: dict[str, list[_File | None]] = {
            name: [_File(data)] for name, data in (files or {}).items()
        }

    def replay(self, change: Change) -> None:
        """Let one more change happen."""
        if isinstance(change, Made):
            self._names.setdefault(change.name, [None]).append(_File())
        elif isinstance(change, Deleted):
            self._names[change.name].append(None)
            if change.directory:
                self._sync_directory()
        else:
            file = self._names[change.name][-1]
            assert file is not None
            if isinstance(change, Synced):
                file.sync()
                if change.directory:
                    self._sync_directory()
            else:
                file.change(change)

    def surviving(self, loss: Loss, random: Random) -> dict[str, bytes]:
        """What could be found after a loss of power now."""
        found: dict[str, bytes] = {}
        for name, stages in self._names.items():
            file = stages[0] if loss == "all" else random.choice(stages)
            if file is not None:
                found[name] = file.surviving(loss, random)
        return found

    def _sync_directory(self) -> None:
        for stages in self._names.values():
            del stages[:-1]


def restore(files: Mapping[str, bytes], directory: Path) -> None:
    """Write files as they were found into a new directory."""
    directory.mkdir()
    for name, data in files.items():
        (directory / name).write_bytes(data)


def _apply(data: bytearray, change: Written | Truncated) -> None:
    size = change.size if isinstance(change, Truncated) else change.offset
    if len(data) < size:
        data.extend(bytes(size - len(data)))
    if isinstance(change, Truncated):
        del data[size:]
    else:
        data[size : size + len(change.data)] = change.data


def _pieces(change: Written | Truncated) -> list[Written | Truncated]:
    """A write in the parts that a disk writes whole."""
    if isinstance(change, Truncated):
        return [change]
    pieces: list[Written | Truncated] = []
    start, end = change.offset, change.offset + len(change.data)
    while start < end:
        stop = min(end, start - start % SECTOR + SECTOR)
        pieces.append(
            Written(change.name, start, change.data[start - change.offset : stop - change.offset])
        )
        start = stop
    return pieces
