"""States of one aggregate, and which event changed what in them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hitherto.application.records import StoredEvent
from hitherto.application.repository import Repository
from hitherto.domain.aggregate import Aggregate
from hitherto.errors import AggregateNotFound, InvalidInput

_PAGE = 500

State = Mapping[str, msgspec.Raw]
"""Each field's value as JSON; what JSON cannot tell is told as Python shows it."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A field that has another value than before.

    Attributes:
        field: Its name.
        before: Its value before, as JSON; None: it had none.
        after: Its value after.
        events: What changed it, in order.
    """

    field: str
    before: msgspec.Raw | None
    after: msgspec.Raw | None
    events: Sequence[StoredEvent]


async def state_at(repository: Repository[Any], id: str, version: int) -> State:
    """The state of an aggregate at a version; at 0 it is that of one without events.

    It writes nothing, a snapshot neither.

    Raises:
        AggregateNotFound: It has no such version.
        EventSerializationFailed: A stored event is unknown to the code.
        EventStoreUnavailable: The store cannot be reached.
    """
    return _state(await _at(repository, id, version))


async def changes(repository: Repository[Any], id: str, low: int, high: int) -> Sequence[Change]:
    """The fields that differ between two versions, and the events that changed them in between.

    Args:
        repository: Of its kind.
        id: The aggregate's.
        low: The earlier version; 0 is that before its first event.
        high: The later one.

    Raises:
        InvalidInput: The versions are not in order.
        AggregateNotFound: It has no such version.
        EventSerializationFailed: A stored event is unknown to the code.
        EventStoreUnavailable: The store cannot be reached.
    """
    if not 0 <= low < high:
        raise InvalidInput(f"versions {low} and {high}: give an earlier and a later one, from 0 on")
    aggregate = await _at(repository, id, low)
    first = now = _state(aggregate)
    by_field: dict[str, list[StoredEvent]] = {}
    while aggregate.version < high:
        page = await repository.store.backend.read(
            id, from_version=aggregate.version + 1, to_version=high, limit=_PAGE
        )
        if not page:
            raise AggregateNotFound(id, repository._type, high)
        for event in page:
            _fold(repository, aggregate, event)
            before, now = now, _state(aggregate)
            for field in before.keys() | now.keys():
                if before.get(field) != now.get(field):
                    by_field.setdefault(field, []).append(event)
    return [
        Change(field=field, before=first.get(field), after=now.get(field), events=by_field[field])
        for field in aggregate.definition.fields
        if first.get(field) != now.get(field)
    ]


async def _at(repository: Repository[Any], id: str, version: int) -> Aggregate[Any]:
    """Asked for by its version, it is loaded without mending its snapshot."""
    if version == 0:
        new: Aggregate[Any] = repository._new(id)
        return new
    loaded: Aggregate[Any] = await repository.load(id, version)
    return loaded


def _fold(repository: Repository[Any], aggregate: Aggregate[Any], event: StoredEvent) -> None:
    row = event.version, event.event_type, event.schema_version, event.data, event.aggregate_type
    aggregate._fold(repository._serializer.decode_stream(aggregate.id, [row]))


def _state(aggregate: Aggregate[Any]) -> State:
    return {name: _told(value) for name, value in aggregate._capture().items()}


def _told(value: Any) -> msgspec.Raw:
    """In an order of its own, so that what is equal is told in the same way."""
    try:
        plain = msgspec.to_builtins(value, enc_hook=repr, str_keys=True, order="deterministic")
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return msgspec.Raw(text.encode())
    except (TypeError, ValueError, RecursionError):
        return msgspec.Raw(msgspec.json.encode(ascii(value)))
