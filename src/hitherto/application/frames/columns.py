"""The columns of a frame: what is known about each event, and the fields of all its classes."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import inspect

from hitherto.application.arrow import arrow, envelope_types
from hitherto.application.frames.kinds import Kind, Kinds, Text
from hitherto.domain.event import Event
from hitherto.domain.recorded import RecordedEvent
from hitherto.errors import EventSerializationFailed, InvalidInput

Recorded = RecordedEvent[Any]
Group = Sequence[tuple[int, Recorded]]
"""Events of one class, each with its row."""

_METADATA = ("correlation_id", "causation_id", "actor")


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column.

    Attributes:
        name: Its name.
        arrow_type: Of its values.
        readers: What gives them, by event class; `Event`: of any.
    """

    name: str
    arrow_type: Any
    readers: Mapping[type[Event], Callable[[Recorded], Any]]


def columns_of(
    classes: Iterable[type[Event]], text: Text, texts: Collection[str] = ()
) -> list[Column]:
    """All columns for events of some classes.

    A field has the column of its name, together with the fields of that name of other classes. It
    has one of its own, ``OrderPlaced.version``, if the name is taken by what is known about each
    event, or if the classes differ in its type.

    Args:
        classes: The event classes.
        text: Writes a value as JSON.
        texts: The columns that hold their fields as JSON, whatever the types.

    Raises:
        InvalidInput: Two columns would have one name, or no field has such a column to be a text.
    """
    kinds = Kinds(text)
    known, metadata = _known(), _metadata(text)
    taken = {each.name for each in (*known, *metadata)}
    columns = list(known)
    for name, found in _fields(classes, kinds).items():
        chosen = dict.fromkeys(found, kinds.text) if name in texts else found
        if name not in taken and len({str(kind.type) for kind in chosen.values()}) == 1:
            columns.append(_column(name, name, chosen))
            continue
        for cls, kind in found.items():
            own = f"{cls.__event_type__}.{name}"
            columns.append(_column(own, name, {cls: kinds.text if own in texts else kind}))
    columns += metadata
    names = [each.name for each in columns]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(f"two columns would be named {name!r}: choose fewer types")
    check_names("texts", texts, [name for name in names if name not in taken])
    return columns


def check_names(what: str, chosen: Collection[str], names: Sequence[str]) -> None:
    """Refuse names that no column has.

    Raises:
        InvalidInput: There is one.
    """
    if isinstance(chosen, str):
        raise InvalidInput(f"{what}={chosen!r}: give a list, such as [{chosen!r}]")
    for name in chosen:
        if name not in names:
            raise InvalidInput(f"{what} has {name!r}, but the columns are {', '.join(names)}")


def batch_of(columns: Sequence[Column], events: Sequence[Recorded]) -> Any:
    """Some events as a record batch.

    Raises:
        EventSerializationFailed: A value does not fit the type of its column.
    """
    pyarrow = arrow("pyarrow", "frames")
    groups: defaultdict[type[Event], list[tuple[int, Recorded]]] = defaultdict(list)
    for row, recorded in enumerate(events):
        groups[type(recorded.event)].append((row, recorded))
    groups[Event] = list(enumerate(events))
    arrays = [_array(pyarrow, column, groups, len(events)) for column in columns]
    return pyarrow.record_batch(arrays, schema=schema_of(columns))


def schema_of(columns: Iterable[Column]) -> Any:
    """The columns' schema in Arrow."""
    return arrow("pyarrow", "frames").schema([(each.name, each.arrow_type) for each in columns])


def _array(pyarrow: Any, column: Column, groups: Mapping[type[Event], Group], rows: int) -> Any:
    values: list[Any] = [None] * rows
    for cls in column.readers.keys() & groups.keys():
        read = column.readers[cls]
        for row, recorded in groups[cls]:
            values[row] = read(recorded)
    try:
        return pyarrow.array(values, column.arrow_type)
    except (pyarrow.ArrowException, OverflowError) as error:
        raise _unfit(pyarrow, column, values, groups[Event]) from error


def _unfit(
    pyarrow: Any, column: Column, values: Sequence[Any], events: Group
) -> EventSerializationFailed:
    """The error for the first value that is none of the column's type."""
    for (_, recorded), value in zip(events, values, strict=True):
        try:
            pyarrow.array([value], column.arrow_type)
        except (pyarrow.ArrowException, OverflowError) as error:
            return EventSerializationFailed(
                f"{column.name} of the {recorded.event_type} at position {recorded.position} does "
                f"not fit {column.arrow_type}: {error}; have it as text, by texts=[{column.name!r}]"
            )
    raise AssertionError(f"each value of {column.name} fits, but not all together")


def _fields(
    classes: Iterable[type[Event]], kinds: Kinds
) -> Mapping[str, Mapping[type[Event], Kind]]:
    """The kinds of the fields, by name and class, in the order of the classes."""
    found: dict[str, dict[type[Event], Kind]] = {}
    for cls in classes:
        info: Any = inspect.type_info(cls)
        for field in info.fields:
            found.setdefault(field.name, {})[cls] = kinds.of(field.type)
    return found


def _column(name: str, field: str, kinds: Mapping[type[Event], Kind]) -> Column:
    (arrow_type,) = {str(kind.type): kind.type for kind in kinds.values()}.values()
    readers = {cls: _reader(field, kind) for cls, kind in kinds.items()}
    return Column(name=name, arrow_type=arrow_type, readers=readers)


def _reader(field: str, kind: Kind) -> Callable[[Recorded], Any]:
    return lambda recorded: kind.given(getattr(recorded.event, field))


def _known() -> list[Column]:
    """What is known about each event."""
    types = envelope_types(arrow("pyarrow", "frames"))
    readers: dict[str, Callable[[Recorded], Any]] = {name: attrgetter(name) for name in types}
    readers["event_id"] = lambda recorded: str(recorded.event_id)
    return [
        Column(name=name, arrow_type=types[name], readers={Event: readers[name]}) for name in types
    ]


def _metadata(text: Text) -> list[Column]:
    """Why and by whom it was recorded; further keys are one text."""
    string = arrow("pyarrow", "frames").string()

    def extra(recorded: Recorded) -> str | None:
        return text(recorded.metadata.extra) if recorded.metadata.extra else None

    readers: dict[str, Callable[[Recorded], Any]] = {
        **{name: attrgetter(f"metadata.{name}") for name in _METADATA},
        "metadata": extra,
    }
    return [
        Column(name=name, arrow_type=string, readers={Event: read})
        for name, read in readers.items()
    ]
