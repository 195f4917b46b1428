"""`Folding`: what one version of the code makes of aggregates."""

from collections.abc import Callable, Collection, Iterator, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from hitherto.application.comparable import Comparable
from hitherto.application.records import StreamRow
from hitherto.application.repository import Repository
from hitherto.domain.aggregate import Aggregate
from hitherto.errors import EventSerializationFailed

_AT_ONCE = 500  # events between two signs of life


class Outcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an aggregate comes to.

    Attributes:
        version: How many of its events were folded.
        digest: Of the fields that are compared, or of how the fold fails.
        error: Why it fails.
    """

    version: int
    digest: bytes
    error: str | None = None


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """An aggregate at one version.

    Attributes:
        event_type: The stored name of the event that led to it.
        fields: Those that are compared and set, each as JSON.
        error: Why it cannot be told.
    """

    event_type: str
    fields: dict[str, msgspec.Raw]
    error: str | None = None


class Folding:
    """Folds aggregates of one kind from their events alone, never from snapshots.

    Args:
        repository: Of which kind, in which store.
        fields: Which fields are compared.
        alive: Called now and then, as long as it gets on.
    """

    def __init__(
        self,
        repository: Repository[Any],
        fields: Collection[str],
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._repository = repository
        self._decode = repository._serializer.decode_stream
        self._written = Comparable(repository._definition, repository.store.codec).written
        self._fields = frozenset(fields)
        self._alive = alive

    async def outcomes(self, ids: Sequence[str]) -> Sequence[Outcome]:
        """What aggregates come to; one without events is at version 0.

        Raises:
            EventStoreUnavailable: The store cannot be reached.
        """
        return [self._outcome(each, rows) for each, rows in await self._rows(ids)]

    async def traces(self, ids: Sequence[str]) -> Sequence[Sequence[bytes]]:
        """The digest after each event of aggregates; one that fails is the last one of its own.

        Raises:
            EventStoreUnavailable: The store cannot be reached.
        """
        return [list(self._trace(each, rows)) for each, rows in await self._rows(ids)]

    async def moments(self, places: Sequence[tuple[str, int]]) -> Sequence[Moment]:
        """Aggregates, each at the version that stands beside its id.

        Raises:
            EventStoreUnavailable: The store cannot be reached.
        """
        found = await self._rows([each for each, _ in places])
        return [
            self._moment(each, rows if isinstance(rows, Exception) else rows[:version])
            for (_, version), (each, rows) in zip(places, found, strict=True)
        ]

    async def _rows(self, ids: Sequence[str]) -> list[tuple[str, Sequence[StreamRow] | Exception]]:
        """The events of each, or why the backend cannot read them."""
        backend = self._repository.store.backend
        try:
            streams = await backend.load_many(ids, fingerprint=None)
        except EventSerializationFailed as error:
            if len(ids) == 1:
                return [(ids[0], error)]
            return [found for each in ids for found in await self._rows([each])]
        self._alive()
        return [(each, streams[each].events if each in streams else ()) for each in ids]

    def _outcome(self, id: str, rows: Sequence[StreamRow] | Exception) -> Outcome:
        aggregate = None
        try:
            aggregate = self._repository._new(id)
            self._fold_all(aggregate, rows)
            return Outcome(version=aggregate.version, digest=self._digest(aggregate))
        except Exception as error:  # noqa: BLE001  # `apply` may raise any
            version = 0 if aggregate is None else aggregate.version
            return Outcome(version=version, digest=_failure(error), error=_told(error))

    def _trace(self, id: str, rows: Sequence[StreamRow] | Exception) -> Iterator[bytes]:
        try:
            aggregate = self._repository._new(id)
            for row in _readable(rows):
                aggregate._fold(self._decode(id, (row,)))
                yield self._digest_or_failure(aggregate)
                self._alive()
        except Exception as error:  # noqa: BLE001
            yield _failure(error)

    def _moment(self, id: str, rows: Sequence[StreamRow] | Exception) -> Moment:
        event_type = "" if isinstance(rows, Exception) or not rows else rows[-1][1]
        try:
            aggregate = self._repository._new(id)
            self._fold_all(aggregate, rows)
            fields = {name: msgspec.Raw(text) for name, text in self._compared(aggregate)}
            return Moment(event_type=event_type, fields=fields)
        except Exception as error:  # noqa: BLE001
            return Moment(event_type=event_type, fields={}, error=_told(error))

    def _fold_all(self, aggregate: Aggregate[Any], rows: Sequence[StreamRow] | Exception) -> None:
        rows = _readable(rows)
        for first in range(0, len(rows), _AT_ONCE):
            aggregate._fold(self._decode(aggregate.id, rows[first : first + _AT_ONCE]))
            self._alive()

    def _compared(self, aggregate: Aggregate[Any]) -> list[tuple[str, bytes]]:
        written = self._written(aggregate)
        return sorted((name, text) for name, text in written.items() if name in self._fields)

    def _digest(self, aggregate: Aggregate[Any]) -> bytes:
        parts = [part for name, text in self._compared(aggregate) for part in (name.encode(), text)]
        return blake2b(b"\0".join(parts), digest_size=16).digest()

    def _digest_or_failure(self, aggregate: Aggregate[Any]) -> bytes:
        try:
            return self._digest(aggregate)
        except Exception as error:  # noqa: BLE001  # The state of another version may be writable.
            return _failure(error)


def _readable(rows: Sequence[StreamRow] | Exception) -> Sequence[StreamRow]:
    if isinstance(rows, Exception):
        raise rows
    return rows


def _failure(error: Exception) -> bytes:
    """Two versions fail alike if they raise the same kind of error; its words may name classes."""
    return f"fails: {type(error).__name__}".encode()


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
