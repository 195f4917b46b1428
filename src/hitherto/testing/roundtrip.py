"""`verify_roundtrip`: what is written of events is read again, old schemas too."""

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from hitherto.application.codec import JsonCodec, Serializer
from hitherto.application.ports import Codec
from hitherto.application.validation import alike
from hitherto.domain.definition import Definition, events_of
from hitherto.domain.event import Event
from hitherto.errors import EventSerializationFailed, InvalidInput

_STORED = "the stored ones"

_Failures = Callable[[Event], list[str]]


def verify_roundtrip(
    events: Any,
    *examples: Event,
    stored: Iterable[str | Mapping[str, Any]] = (),
    codec: Codec | None = None,
    max_examples: int = 100,
) -> None:
    """Check that events are read again as they were written, and that stored ones can be read.

    ::

        def test_what_is_written_of_orders_is_read_again() -> None:
            verify_roundtrip(Order, stored=Path("tests/old_events.jsonl").read_text().splitlines())

    Args:
        events: An event class, a union of them, an aggregate class, or a decider.
        examples: Events to write and read. Of a class without one, hypothesis makes some of what
            its annotations let through, the same each time, if it is installed.
        stored: Events as they were stored, of each schema that there was: as JSON objects with
            ``event_type``, ``schema_version`` (1 if left out) and ``data``, each a text or a
            mapping. The lines that `hitherto export` writes are such; those of other aggregates
            are passed over.
        codec: The store's, if it has one of its own.
        max_examples: How many are made of each class.

    Raises:
        AssertionError: An event cannot be written, is read again changed, or cannot be read; it
            tells the field and why.
        InvalidInput: There is no example of a class, an example is of another class, or what is
            stored is told otherwise, or of other aggregates alone.
    """
    codec = codec or JsonCodec()
    definition, classes = _told(events)
    failed = [line for cls in classes for line in _undecodable(cls, codec)]
    if failed:
        raise AssertionError("\n  ".join(["these classes cannot be stored", *failed]))
    try:
        serializer = Serializer[Event](definition, codec)
    except TypeError as error:
        raise AssertionError(f"these classes cannot be stored\n  {error}") from error

    def failures(event: Event) -> list[str]:
        return _failures(event, serializer, codec)

    for example in examples:
        if type(example) not in classes:
            raise InvalidInput(f"{type(example).__qualname__} is none of the classes to verify")
    read, failed = _read(serializer, stored)
    for example in (*examples, *read):
        failed += failures(example)
    seen = set(map(type, examples))
    for cls in classes:
        if cls not in seen:
            failed += _made(cls, failures, max_examples, read)
    if failed:
        lines = dict.fromkeys(failed)
        raise AssertionError("\n  ".join(["events would not be read as they were written", *lines]))


def _told(events: Any) -> tuple[Definition, tuple[type[Event], ...]]:
    """What reads the events, and the classes to verify."""
    definition = getattr(events, "definition", None)
    if isinstance(definition, Definition):
        return definition, tuple(definition.events.values())
    try:
        named = events_of(events, verify_roundtrip)  # type: ignore[arg-type]  # it has a name
    except TypeError as error:
        raise InvalidInput(str(error)) from None
    classes = tuple(named.values())
    owners = classes[0].__definitions__.values()
    shared = [each for each in owners if each.event_classes.issuperset(classes)]
    if len(shared) == 1:
        return shared[0], classes
    made = Definition(
        aggregate_type="Verified",
        events=named,
        fold=_failures,
        owner=Event,
        fields=(),
        state_types=dict,
    )
    for cls in classes:
        del cls.__definitions__[made.aggregate_type]
    return made, classes


def _undecodable(cls: type[Event], codec: Codec) -> Iterator[str]:
    """The fields of a type that the codec does not know."""
    for field in msgspec.structs.fields(cls):
        try:
            codec.decoder(field.type)
        except TypeError as error:
            yield f"{cls.__qualname__}.{field.name}: {error}"


def _failures(event: Event, serializer: Serializer[Event], codec: Codec) -> list[str]:
    """What is lost of an event, field by field."""
    try:
        serializer.encode(event, "verified")
    except EventSerializationFailed as error:
        name = type(event).__qualname__
        lines = [
            f"{name}.{field.name}: {why}"
            for field in msgspec.structs.fields(type(event))
            if (why := _lost(getattr(event, field.name), field.type, codec))
        ]
        return lines or [str(error)]
    return []


def _lost(value: Any, annotation: Any, codec: Codec) -> str | None:
    if value is msgspec.UNSET:
        return None
    try:
        text = codec.encode(value)
    except EventSerializationFailed as error:
        return f"{value!r} cannot be written: {error.__cause__ or error}"
    try:
        again = codec.decoder(annotation)(text)
    except (ValueError, RecursionError) as error:
        return f"{value!r} is written as {text}, which cannot be read: {error}"
    if not alike(value, again):
        return f"{value!r} is written as {text}, and read again as {again!r}"
    return None


def _read(
    serializer: Serializer[Event], stored: Iterable[str | Mapping[str, Any]]
) -> tuple[list[Event], list[str]]:
    """What stored events are read as, and what is wrong with the others."""
    events: list[Event] = []
    failed: list[str] = []
    found = [_row(each, number, serializer.definition) for number, each in enumerate(stored)]
    rows = [row for row in found if row is not None]
    if found and not rows:
        raise InvalidInput(
            "stored tells of other aggregates alone, and would prove nothing: give its own events, "
            "or the aggregate's class as events"
        )
    for row in rows:
        try:
            for _, event in serializer.decode_stream(_STORED, [row]):
                events += event if isinstance(event, tuple) else (event,)
        except EventSerializationFailed as error:
            told = str(error).replace(f" of {_STORED!r} at version {row[0]}", "")
            failed.append(f"stored[{row[0]}]: {told}")
    return events, failed


def _row(
    sample: str | Mapping[str, Any], number: int, definition: Definition
) -> tuple[int, str, int, str, str] | None:
    try:
        told: Any = msgspec.json.decode(sample) if isinstance(sample, str) else sample
        if "format" in told and "event_type" not in told:
            return None  # the first line of an export
        own = definition.aggregate_type
        if told.get("aggregate_type", own) != own:
            return None
        data = msgspec.json.encode(told["data"]).decode()
        return number, told["event_type"], told.get("schema_version", 1), data, own
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InvalidInput(
            f"stored[{number}] is not told as event_type, schema_version and data: {error!r}"
        ) from None


def _made(
    cls: type[Event], failures: _Failures, max_examples: int, read: Iterable[Event]
) -> list[str]:
    """What is lost of the simplest example that loses something."""
    if importlib.util.find_spec("hypothesis") is None:
        if any(type(each) is cls for each in read):
            return []
        raise InvalidInput(
            f"there is no example of {cls.__qualname__}: give one, or install hypothesis"
        )
    from hypothesis import HealthCheck, settings  # noqa: PLC0415
    from hypothesis import given as each_of  # noqa: PLC0415
    from hypothesis.errors import ResolutionFailed, Unsatisfiable  # noqa: PLC0415

    from hitherto.testing.examples import examples_of  # noqa: PLC0415

    found: list[str] = []

    @settings(
        max_examples=max_examples,
        deadline=None,
        database=None,
        derandomize=True,
        report_multiple_bugs=False,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.filter_too_much,
            HealthCheck.large_base_example,
        ],
    )
    @each_of(examples_of(cls))
    def check(event: Event) -> None:
        found[:] = failures(event)
        if found:
            raise _LostError

    try:
        check()
    except _LostError:
        return found
    except (ResolutionFailed, Unsatisfiable):
        raise InvalidInput(f"no example of {cls.__qualname__} could be made: give one") from None
    return []


class _LostError(Exception):
    """An example has lost something."""
