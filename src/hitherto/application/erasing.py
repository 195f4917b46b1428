"""`erase`: what must go out of an event, as by the order of a court; the event itself stays."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hitherto.application.forgetting import still_told, telling
from hitherto.application.ports.erasures import Erasure
from hitherto.application.ports.personal import TextPlace
from hitherto.application.records import StoredEvent
from hitherto.application.refolding import fold_on
from hitherto.application.repository import Repository
from hitherto.application.validation import check_account
from hitherto.domain.identifiers import check_identifier
from hitherto.domain.personal import REDACTED
from hitherto.errors import AggregateNotFound, EventSerializationFailed, InvalidInput

METADATA = "metadata."
"""Before the name of a field that is the metadata's."""

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

_OPTIONS = (msgspec.json.encode(REDACTED), b"null", None)


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What was erased, and where something is left.

    Attributes:
        erasure: What the store tells of it for good.
        event_type: Of the event.
        projections: Which projections hold one of the texts: rebuild them.
        left: Where a text that was erased stands elsewhere.
        unsought: The fields that were too short to be looked for.
    """

    erasure: Erasure
    event_type: str
    projections: tuple[str, ...]
    left: tuple[TextPlace, ...]
    unsought: tuple[str, ...]


async def erase(
    repository: Repository[Any],
    id: str,
    version: int,
    fields: Sequence[str],
    *,
    reason: str,
    erased_by: str,
    values: Mapping[str, Any] | None = None,
    dry_run: bool = False,
) -> Erased:
    """Replace fields of one event where they are stored, for the rare case that the law demands it.

    Its id, type, versions, position, times and hashes stay, and the store tells for good who has
    replaced which fields, when and why. A field becomes "[redacted]", or null, or is left out,
    whichever is the first that the event can be decoded with. Nothing is done unless the aggregate
    can still be folded. Its snapshot is removed.

    Copies in backups, write-ahead logs and other systems stay; so does what a process that has
    loaded the aggregate before keeps in memory. What is about a person is better made `Personal`
    and forgotten.

    Args:
        repository: Of the aggregate, with all its upcasters.
        id: The aggregate.
        version: Of the aggregate with the event.
        fields: As they are called in the stored event; ``metadata.NAME`` for one of its metadata.
        reason: Why.
        erased_by: Who.
        values: What some of the fields become instead.
        dry_run: Only tell what would be done, and where the texts stand.

    Raises:
        AggregateNotFound: There is no such event.
        EventStoreUnavailable: The store cannot be reached.
        InvalidAggregateState: The aggregate could not be folded any more.
        InvalidInput: A field is not in the event, or what it is to become is not possible; there is
            no reason; or somebody else has erased something of the event at this moment.
        SchemaMismatch: On PostgreSQL: only the owner of the tables may, or who was granted it.
    """
    values = dict(values or {})
    names = tuple(dict.fromkeys([*fields, *values]))
    check_identifier("aggregate id", id)
    check_account(reason=reason, erased_by=erased_by)
    if not names:
        raise InvalidInput("no field is named: name those that are to be erased")
    found, opened = await _read(repository, id, version)
    before = _flat(opened)
    if missing := [each for each in names if each not in before]:
        raise InvalidInput(
            f"version {version} of {id!r}, a {found.event_type}, has no field {missing[0]!r}: name "
            f"some of {', '.join(before)}"
        )
    chosen = _chosen(repository, opened, names, values)
    await _check_fold(repository, _replaced(opened, chosen))
    replaced = _replaced(found, chosen)
    erasure = Erasure(
        event_id=found.event_id,
        aggregate_id=id,
        version=version,
        data=replaced.data,
        metadata=replaced.metadata,
        fields=names,
        reason=reason,
        erased_by=erased_by,
    )
    sought = {each: set(telling(msgspec.json.decode(before[each]))) for each in names}
    texts = sorted({text for each in sought.values() for text in each})
    store = repository.store
    if not dry_run and not await store.backend.erasures.erase(found, erasure):
        raise InvalidInput(
            f"version {version} of {id!r} was erased by somebody else at this moment: look at what "
            "is there now, and run it again if need be"
        )
    left, projections = await still_told(store, texts)
    return Erased(
        erasure=erasure,
        event_type=found.event_type,
        projections=projections,
        left=left,
        unsought=tuple([each for each in names if not sought[each]]),
    )


async def _read(repository: Repository[Any], id: str, version: int) -> tuple[StoredEvent, ...]:
    """The event as it is stored, and with its personal fields opened."""
    store = repository.store
    found = [
        await backend.read(id, from_version=version, to_version=version)
        for backend in (store.sealed, store.backend)
    ]
    if not found[0] or found[0][0].aggregate_type != repository._type:
        raise AggregateNotFound(id, repository._type, version)
    return tuple([each[0] for each in found])


def _flat(event: StoredEvent) -> dict[str, msgspec.Raw]:
    """Its fields, and those of its metadata."""
    metadata = _decode(event.metadata or "{}")
    return _decode(event.data) | {f"{METADATA}{name}": each for name, each in metadata.items()}


def _replaced(event: StoredEvent, chosen: Mapping[str, bytes | None]) -> StoredEvent:
    """With other fields; those that are to be None, without."""
    fields = {
        name: value if isinstance(value, msgspec.Raw) else msgspec.Raw(value)
        for name, value in (_flat(event) | dict(chosen)).items()
        if value is not None
    }
    data = {name: each for name, each in fields.items() if not name.startswith(METADATA)}
    metadata = {
        name.removeprefix(METADATA): each for name, each in fields.items() if name not in data
    }
    return msgspec.structs.replace(
        event,
        data=_encode(data).decode(),
        metadata=None if event.metadata is None else _encode(metadata).decode(),
    )


def _chosen(
    repository: Repository[Any],
    event: StoredEvent,
    names: Sequence[str],
    values: Mapping[str, Any],
) -> dict[str, bytes | None]:
    """What each field becomes: the first with which the event can be decoded."""
    chosen: dict[str, bytes | None] = {}
    for name in names:
        options = [_written(repository, name, values[name])] if name in values else _OPTIONS
        problem = ""
        for chosen[name] in options:
            problem = _problem(repository, _replaced(event, chosen))
            if not problem:
                break
        if problem:
            raise InvalidInput(
                f"{name} cannot become what it was to: give it another value: {problem}"
            )
    return chosen


def _written(repository: Repository[Any], name: str, value: Any) -> bytes:
    """A value as JSON that every store takes."""
    try:
        return repository.store.codec.encode(value).encode()
    except EventSerializationFailed as error:
        raise InvalidInput(f"{name} cannot become what it was to: {error}") from error


def _problem(repository: Repository[Any], event: StoredEvent) -> str:
    """Why an event cannot be decoded."""
    try:
        repository._serializer.recorded(event)
    except EventSerializationFailed as error:
        return str(error)
    return ""


async def _check_fold(repository: Repository[Any], event: StoredEvent) -> None:
    """See that the aggregate can be folded with the event as it is to be."""
    stream = await repository.store.backend.load(event.aggregate_id, fingerprint=None)
    rows = [
        (*row[:3], event.data, row[4]) if row[0] == event.version else row for row in stream.events
    ]
    fold_on(repository, repository._new(event.aggregate_id), rows)
