"""`Finding`: what is wrong with a store, and what to do about it."""

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias, get_args

import msgspec

Kind: TypeAlias = Literal[
    "file-damaged",
    "guard-missing",
    "position-above-sequence",
    "value-malformed",
    "schema-version-out-of-range",
    "data-not-object",
    "metadata-not-object",
    "event-id-twice",
    "position-twice",
    "position-out-of-range",
    "position-disordered",
    "version-out-of-range",
    "version-gap",
    "version-twice",
    "type-mixed",
    "archive-misplaced",
    "events-missing",
    "hash-mismatch",
    "chain-broken",
    "checkpoint-mismatch",
    "snapshot-malformed",
    "snapshot-twice",
    "snapshot-without-events",
    "snapshot-of-another-type",
    "snapshot-out-of-range",
    "snapshot-ahead",
    "snapshot-not-json",
    "aggregate-type-unknown",
    "event-type-unknown",
    "event-undecodable",
    "aggregate-unfoldable",
    "snapshot-undecodable",
    "snapshot-differs",
]
"""Each kind of damage, the gravest first."""

EXAMPLES: Final = 20

_RESTORE = "stop the writers, and restore the events from a backup"
_EVIDENCE = (
    "keep a copy as it is, find out who could write to the tables, and compare with a backup"
)
_REPLAY = "`hitherto replay` puts a new one in its place"

# Of each kind: how a place is told, and the remedy.
_KINDS: Final[dict[Kind, tuple[str, str]]] = {
    "file-damaged": (
        "{detail}",
        "stop the writers and copy the file; then try REINDEX, SQLite's .recover, or a backup",
    ),
    "guard-missing": (
        "{detail}",
        "put it back, from the script that `hitherto schema` prints",
    ),
    "position-above-sequence": (
        "position {position} was not given by the store, whose last one is {detail}",
        "set the sequence to the highest position before the next append",
    ),
    "value-malformed": (
        "the event at position {position} cannot be read: {detail}",
        "mend the value, or restore the event from a backup",
    ),
    "schema-version-out-of-range": (
        "version {version} of {aggregate_id!r} has schema version {detail}, below 1",
        _RESTORE,
    ),
    "data-not-object": (
        "the data of version {version} of {aggregate_id!r} are no JSON object: {detail}",
        _RESTORE,
    ),
    "metadata-not-object": (
        "the metadata of version {version} of {aggregate_id!r} are no JSON object: {detail}",
        _RESTORE,
    ),
    "event-id-twice": ("event id {detail} is at position {position}, and elsewhere", _RESTORE),
    "position-twice": (
        "position {position} is that of version {version} of {aggregate_id!r}, and of others",
        _RESTORE,
    ),
    "position-out-of-range": (
        "position {position} is below 1: readers of the log pass it over",
        _RESTORE,
    ),
    "position-disordered": (
        "reading the log gave position {position} after {detail}",
        "rebuild the index of positions, and then what was made of the log",
    ),
    "version-out-of-range": ("version {version} of {aggregate_id!r} is below 1", _RESTORE),
    "version-gap": ("version {version} of {aggregate_id!r} follows {detail}", _RESTORE),
    "version-twice": ("version {version} of {aggregate_id!r} is there again", _RESTORE),
    "type-mixed": (
        "version {version} of {aggregate_id!r} is of type {detail!r}, unlike the one before",
        _RESTORE,
    ),
    "archive-misplaced": (
        "events of {aggregate_id!r} are archived up to version {version}, but {detail}",
        "stop the writers, and `hitherto restore` it",
    ),
    "events-missing": ("{detail}", _EVIDENCE),
    "hash-mismatch": (
        "version {version} of {aggregate_id!r} is not what was stored: its content hash differs",
        _EVIDENCE,
    ),
    "chain-broken": (
        "the hash chain of {aggregate_id!r} is broken at version {version}: {detail}",
        "have every process append with hash_chain=True, if only hashes are missing; else "
        + _EVIDENCE,
    ),
    "checkpoint-mismatch": ("{detail}", _EVIDENCE),
    "snapshot-malformed": (
        "the snapshot of {aggregate_id!r} cannot be read: {detail}",
        "delete it; the events tell all",
    ),
    "snapshot-twice": (
        "there are {detail} snapshots of {aggregate_id!r}",
        "delete them; the events tell all",
    ),
    "snapshot-without-events": (
        "there is a snapshot of {aggregate_id!r}, but no event",
        "restore the events; or delete it, if they were removed on purpose",
    ),
    "snapshot-of-another-type": (
        "the snapshot of {aggregate_id!r} is of type {detail!r}, unlike its events",
        _REPLAY,
    ),
    "snapshot-out-of-range": (
        "the snapshot of {aggregate_id!r} is at version {version}, below 1",
        _REPLAY,
    ),
    "snapshot-ahead": (
        "the snapshot of {aggregate_id!r} is at version {version}, but its events end at {detail}",
        "restore the events; or, if none are lost, `hitherto replay` puts a new one in its place",
    ),
    "snapshot-not-json": ("the snapshot of {aggregate_id!r} is no JSON", _REPLAY),
    "aggregate-type-unknown": (
        "no class for the aggregate type {detail}, such as that of {aggregate_id!r}",
        "give its class too",
    ),
    "event-type-unknown": (
        "no class for the event type {detail}, such as version {version} of {aggregate_id!r}",
        "add it to the aggregate's union",
    ),
    "event-undecodable": (
        "{detail}",
        "let the class read what was stored: a new field needs a default",
    ),
    "aggregate-unfoldable": (
        "{detail}",
        "mend what it names: an event that is lost or unreadable, or `apply`, which may not fail",
    ),
    "snapshot-undecodable": (
        "the snapshot of {aggregate_id!r} at version {version} cannot be decoded: {detail}",
        _REPLAY,
    ),
    "snapshot-differs": (
        "the snapshot of {aggregate_id!r} at version {version} differs from its events: {detail}",
        _REPLAY,
    ),
}


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where something is wrong.

    Attributes:
        what: A sentence.
        aggregate_id: Of which aggregate, if it is one's.
        version: Of which version.
        position: At which position.
    """

    what: str
    aggregate_id: str | None = None
    version: int | None = None
    position: int | None = None


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of damage.

    Attributes:
        kind: Its name, for programs.
        count: In how many places it was found.
        remedy: What to do about it.
        places: The first of them.
    """

    kind: Kind
    count: int
    remedy: str
    places: tuple[Place, ...]


Row: TypeAlias = tuple[Kind, str | None, int | None, int | None, object]
"""One place: kind, aggregate id, version, position, and what else its sentence needs."""


class Tally:
    """Counts what is found, and keeps the first places of each kind, so that memory is bounded.

    Args:
        examples: How many places to keep of each kind.
    """

    def __init__(self, examples: int = EXAMPLES) -> None:
        self._examples = examples
        self._counts: dict[Kind, int] = {}
        self._places: dict[Kind, list[Place]] = {}

    def add(
        self,
        kind: Kind,
        aggregate_id: str | None = None,
        version: int | None = None,
        position: int | None = None,
        detail: object = None,
    ) -> None:
        """Something is wrong at one place."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        places = self._places.setdefault(kind, [])
        if len(places) == self._examples:
            return
        sentence, _ = _KINDS[kind]
        what = sentence.format(
            aggregate_id=aggregate_id, version=version, position=position, detail=detail
        )
        places.append(
            Place(what=what, aggregate_id=aggregate_id, version=version, position=position)
        )

    def extend(self, rows: Iterable[Row]) -> None:
        """Something is wrong at each of these places."""
        for row in rows:
            self.add(*row)

    def has(self, kind: Kind) -> bool:
        """Whether any of this kind was found."""
        return kind in self._counts

    def findings(self) -> tuple[Finding, ...]:
        """What was found, the gravest first."""
        return tuple(
            Finding(
                kind=kind,
                count=self._counts[kind],
                remedy=_KINDS[kind][1],
                places=tuple(self._places[kind]),
            )
            for kind in get_args(Kind)
            if kind in self._counts
        )
