"""Counts the shapes of stored events, and what of them today's code does not read."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from hitherto.application.checking.describing import described
from hitherto.application.checking.problems import Problem, ProblemKind, remedy
from hitherto.application.checking.schemas import AggregateSchemas, Fields, Schemas
from hitherto.application.checking.shapes import deviations, shape_of
from hitherto.application.codec import Serializer
from hitherto.application.ports import Codec
from hitherto.application.records import StoredEvent
from hitherto.domain.definition import Definition
from hitherto.errors import ConfigurationError

SHAPES = 200  # of an event type in one schema that are told apart, and fields that are amiss there

_OTHERS = "…"
_NO_JSON = "no JSON that can be read"
_NOTHING = AggregateSchemas(events={})

Key: TypeAlias = tuple[str, str, int]
"""Aggregate type, event type, schema."""

Fault: TypeAlias = tuple[ProblemKind, str, str]
"""Of a shape: the kind, the field, and a sentence."""


class Shape(msgspec.Struct, kw_only=True):
    """Events of one type and schema whose JSON has the same keys and types.

    Attributes:
        aggregate_type: Of which kind of aggregate.
        event_type: The stored name.
        schema: The schema version.
        shape: Such as ``{amount: str}``; "…" for all after the first 200.
        events: How many were read.
        undecodable: How many of them the code cannot decode.
        error: Why, of the first of those.
        first: The position of the first event.
        last: The position of the last one.
        aggregate_id: Where an example is: the first that cannot be decoded, or else the first.
        version: Of that aggregate.
        faults: How it is not what the code writes or reads.
    """

    aggregate_type: str
    event_type: str
    schema: int
    shape: str
    events: int = 0
    undecodable: int = 0
    error: str | None = None
    first: int
    last: int
    aggregate_id: str
    version: int
    faults: tuple[str, ...] = ()


class _Writer(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of those who wrote the events of one type and schema.

    Attributes:
        written: The fields that they may have known, in one way or another.
        read: The fields that today's code reads of it; None: an upcaster is in between.
    """

    written: tuple[Fields, ...]
    read: Fields | None


class Tally:
    """Takes stored events one by one.

    Args:
        codec: The store's.
        definitions: The kinds of aggregate, by stored name.
        known: What the schema file knows.

    Raises:
        ConfigurationError: An event class cannot be decoded.
    """

    def __init__(self, codec: Codec, definitions: Mapping[str, Definition], known: Schemas) -> None:
        try:
            self._serializers = {
                name: Serializer[Any](each, codec) for name, each in definitions.items()
            }
        except TypeError as error:
            raise ConfigurationError(str(error)) from error
        self._read = codec.decoder(Any)
        self._today = described(definitions)
        self._known = known
        self._writers: dict[Key, _Writer] = {}
        self._shapes: dict[Key, dict[str, Shape]] = {}
        self._faults: dict[tuple[Key, str], list[Fault]] = {}
        self._problems: dict[tuple[Key, ProblemKind, str], Problem] = {}
        self._paths: Counter[tuple[Key, ProblemKind]] = Counter()
        self.events: int = 0

    def take(self, event: StoredEvent) -> None:
        """Decode an event, and count its shape."""
        self.events += 1
        key = event.aggregate_type, event.event_type, event.schema_version
        try:
            value = self._read(event.data)
            text = shape_of(value, next(iter(self._writer(key).written), None))
        except (ValueError, RecursionError):
            value, text = None, _NO_JSON
        shapes = self._shapes.setdefault(key, {})
        text = text if text in shapes or len(shapes) < SHAPES else _OTHERS
        if text == _OTHERS or (key, text) not in self._faults:
            faults = [] if text == _NO_JSON else list(self._faults_of(key, value))
            self._faults[key, text] = faults
        if text not in shapes:
            shapes[text] = _first(event, text, self._faults[key, text])
        error = self._error_of(event)
        _add(shapes[text], event, error)
        if error is not None:
            self._count(key, event, (self._kind_of(event), "", error))
        for fault in self._faults[key, text]:
            self._count(key, event, fault)

    def shapes(self) -> tuple[Shape, ...]:
        """All, by type and schema, those that came first before others."""
        found = [each for of_key in self._shapes.values() for each in of_key.values()]
        return tuple(sorted(found, key=_order))

    def problems(self) -> tuple[Problem, ...]:
        """What breaks, in the order in which it was met."""
        return tuple(self._problems.values())

    def _error_of(self, event: StoredEvent) -> str | None:
        serializer = self._serializers.get(event.aggregate_type)
        if serializer is None:
            return f"the aggregate {event.aggregate_type!r} is in none of the modules"
        try:
            serializer.recorded(event)
        except Exception as error:  # noqa: BLE001  # a codec's own hook may raise any
            return str(error)
        return None

    def _kind_of(self, event: StoredEvent) -> ProblemKind:
        """Why an event cannot be decoded."""
        serializer = self._serializers.get(event.aggregate_type)
        if serializer is None:
            return "aggregate-unknown"
        if serializer.knows(event):
            return "undecodable"
        known = event.event_type in serializer.definition.stored_names
        return "schema-newer" if known else "type-unknown"

    def _writer(self, key: Key) -> _Writer:
        if key not in self._writers:
            self._writers[key] = self._look_up(*key)
        return self._writers[key]

    def _look_up(self, aggregate_type: str, event_type: str, schema: int) -> _Writer:
        today = self._today.get(aggregate_type, _NOTHING)
        known = self._known.get(aggregate_type, _NOTHING).events.get(event_type)
        of_file = None if known is None else known.schemas.get(schema)
        written = () if of_file is None else (of_file,)
        reader = today.readers().get(event_type)
        upcast = today.first_upcaster(event_type, schema) is not None
        if reader is None or upcast or schema > reader[1].schema:
            return _Writer(written=written, read=None)
        latest = reader[1].latest
        read = latest if of_file is None else _and_dropped(latest, of_file)
        if of_file is None or schema == reader[1].schema:
            written = (read, *written)
        return _Writer(written=written, read=read)

    def _faults_of(self, key: Key, value: Any) -> Iterator[Fault]:
        """How an event's JSON is not what was written, or not what is read."""
        writer = self._writer(key)
        unread = set[str]()
        for each in deviations(value, writer.read) if writer.read else ():
            if each.kind == "extra":
                unread.add(each.path)
                yield "key-unread", each.path, f"`{each.path}` is stored, and read by nothing"
        ways = [list(deviations(value, each)) for each in writer.written]
        for each in min(ways, key=len) if ways else ():
            if each.path not in unread:
                yield "not-as-written", each.path, each.what

    def _count(self, key: Key, event: StoredEvent, fault: Fault) -> None:
        kind, path, what = fault
        aggregate_type, event_type, schema = key
        if kind == "aggregate-unknown":  # It is told once.
            key = (aggregate_type, "", 0)
        found = self._problems.get((key, kind, path))
        if found is None and self._paths[key, kind] == SHAPES:  # Keys that are data, such as ids.
            path, what = _OTHERS, "other fields, too"
            found = self._problems.get((key, kind, path))
        if found is None:
            self._paths[key, kind] += path != _OTHERS
            today = self._today.get(aggregate_type, _NOTHING).readers().get(event_type)
            found = Problem(
                kind=kind,
                aggregate_type=aggregate_type,
                event_type=key[1] or None,
                schema=key[2] or None,
                field=path or None,
                what=what,
                remedy=remedy(
                    kind,
                    aggregate_type=aggregate_type,
                    event_type=event_type,
                    schema=schema,
                    reader=event_type if today is None else today[0],
                    now=None if today is None else today[1].schema,
                ),
                events=0,
                position=event.position,
            )
        events = (found.events or 0) + 1
        self._problems[key, kind, path] = msgspec.structs.replace(found, events=events)


def _first(event: StoredEvent, text: str, faults: list[Fault]) -> Shape:
    return Shape(
        aggregate_type=event.aggregate_type,
        event_type=event.event_type,
        schema=event.schema_version,
        shape=text,
        first=event.position,
        last=event.position,
        aggregate_id=event.aggregate_id,
        version=event.version,
        faults=tuple([what for _, _, what in faults]),
    )


def _add(shape: Shape, event: StoredEvent, error: str | None) -> None:
    shape.events += 1
    shape.first, shape.last = min(shape.first, event.position), max(shape.last, event.position)
    if error is not None:
        shape.undecodable += 1
        if shape.error is None:
            shape.error = error
            shape.aggregate_id, shape.version = event.aggregate_id, event.version


def _order(shape: Shape) -> tuple[str, str, int, int]:
    return shape.aggregate_type, shape.event_type, shape.schema, shape.first


def _and_dropped(today: Fields, known: Fields) -> Fields:
    """Today's fields, and those that were dropped without anybody missing them."""
    dropped = {name: text for name, text in known.dropped.items() if name not in today.fields}
    return Fields(fields=today.fields, dropped=dropped, types={**known.types, **today.types})
