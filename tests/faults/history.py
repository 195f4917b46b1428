"""Histories: what clients asked of a store and were told, written down as it happens.

A line is written by one `os.write`, before the request is sent and after its answer has come, so
that a history survives the SIGKILL of its process: an operation without an end is unknown.
"""

import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from hitherto.application.ports import Backend
from hitherto.application.records import Append
from hitherto.errors import AggregateVersionConflict, EventStoreUnavailable, HithertoError


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One aggregate's part of an append.

    Attributes:
        event_ids: As text, in order; they are to stand at `expected_version` + 1 and on.
    """

    aggregate_id: str
    aggregate_type: str
    expected_version: int
    event_ids: tuple[str, ...]


class Invoked(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A client is about to send an append; all of its parts are stored or none."""

    client: str
    number: int
    parts: tuple[Asked, ...]


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What the client was told.

    Attributes:
        outcome: "failed" says that nothing was written; "unknown" leaves it open.
        positions: Of the last event of each part, where it is ok.
        error: The class of the error, else "".
        actual: The version that a conflict told, of `aggregate_id`.
    """

    client: str
    number: int
    outcome: Literal["ok", "failed", "unknown"]
    positions: tuple[int, ...] = ()
    error: str = ""
    aggregate_id: str = ""
    actual: int | None = None


class Seen(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A page of the whole log that a client was given, and where it reads on."""

    client: str
    after: int
    checkpoint: int
    events: tuple[tuple[int, str], ...]  # position and event id


Line = Invoked | Ended | Seen

_decoder = msgspec.json.Decoder(Line)


class Recorder:
    """Writes the history of one client into a file of its own.

    Args:
        path: The file; it is added to.
        client: A name that no other client of the run has.
    """

    def __init__(self, path: Path, client: str) -> None:
        self.client = client
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._numbers = itertools.count(1)

    def write(self, line: Line) -> None:
        """Add a line."""
        os.write(self._file, msgspec.json.encode(line) + b"\n")

    def invoked(self, appends: Sequence[Append]) -> int:
        """An append is about to be sent; returns the operation's number."""
        number = next(self._numbers)
        parts = tuple(
            Asked(
                aggregate_id=append.aggregate_id,
                aggregate_type=append.aggregate_type,
                expected_version=append.expected_version,
                event_ids=tuple(str(event.event_id) for event in append.events),
            )
            for append in appends
        )
        self.write(Invoked(client=self.client, number=number, parts=parts))
        return number

    def ok(self, number: int, positions: Iterable[int]) -> None:
        """It was acknowledged."""
        self.write(
            Ended(client=self.client, number=number, outcome="ok", positions=tuple(positions))
        )

    def raised(self, number: int, error: BaseException) -> None:
        """It raised: that says whether anything can have been written."""
        refused = isinstance(error, HithertoError) and not isinstance(error, EventStoreUnavailable)
        conflict = error if isinstance(error, AggregateVersionConflict) else None
        self.write(
            Ended(
                client=self.client,
                number=number,
                outcome="failed" if refused else "unknown",
                error=type(error).__name__,
                aggregate_id=conflict.aggregate_id if conflict else "",
                actual=conflict.actual if conflict else None,
            )
        )


class RecordedBackend:
    """A backend that writes down every append; hand it to `Store`. Everything else passes."""

    def __init__(self, inner: Backend, recorder: Recorder) -> None:
        self._inner = inner
        self._recorder = recorder

    async def append(self, appends: Sequence[Append], **options: Any) -> tuple[int, ...]:
        number = self._recorder.invoked(appends)
        try:
            positions = await self._inner.append(appends, **options)
        except BaseException as error:
            self._recorder.raised(number, error)
            raise
        self._recorder.ok(number, positions)
        return positions

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def read_history(paths: Iterable[Path]) -> list[Line]:
    """All lines of some files, each client's in order; a last line that was cut is left out."""
    lines: list[Line] = []
    for path in paths:
        written = path.read_bytes().split(b"\n")
        lines += [_decoder.decode(line) for line in written[:-1]]
    return lines
