"""`Personal`: marks what an event tells about a person, so that it can be forgotten."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec

from hitherto.domain.annotations import field_types, inside
from hitherto.domain.event import Event

T = TypeVar("T")

REDACTED = "[redacted]"
"""What a text is read as when its subject was forgotten."""


class PersonalMark:
    """Stands in the annotation of a field whose value is about a person."""

    def __repr__(self) -> str:
        return "Personal"


Personal: TypeAlias = Annotated[T, PersonalMark()]
"""A field about a person: it is stored encrypted, under a key of that person's own.

::

    class UserCreated(Event):
        email: Personal[str]
        born: Personal[date | None] = None

Who the person is, the *subject*, is the aggregate, or what another field names::

    class OrderPlaced(Event, subject="customer_id"):
        customer_id: str
        address: Personal[str]

When the subject was forgotten (`hitherto forget`), the key is gone for good, and so is what was
encrypted under it. The event stays, and the field is read as "[redacted]" if it is a text, else as
None if it may be that, else as its default.
"""


@lru_cache(maxsize=4096)
def personal_fields(cls: type[Event]) -> Mapping[str, Any]:
    """The names under which a class stores personal fields, each with its value when redacted.

    `msgspec.UNSET` stands for the field's default.

    Raises:
        TypeError: A field has no such value; or the mark is inside another class; or the field
            that names the subject is not there, no text, or personal itself.
    """
    fields = msgspec.structs.fields(cls)
    for each in fields:
        if _marks_inside(each.type):
            raise TypeError(
                f"{cls.__qualname__}.{each.name}: there is a Personal inside {each.type}: mark the "
                "event's own field, as `Personal[…]`"
            )
    found = {each.encode_name: _redacted(cls, each) for each in fields if _is_marked(each.type)}
    if found:
        _check_subject(cls, fields)
    elif cls.__subject__ is not None:
        raise TypeError(f"{cls.__qualname__}: subject={cls.__subject__!r}, but nothing is Personal")
    return found


def subject_of(event: Event, aggregate_id: str) -> str:
    """Whom the personal fields of an event are about."""
    named = type(event).__subject__
    return aggregate_id if named is None else str(getattr(event, named))


def _check_subject(cls: type[Event], fields: tuple[msgspec.structs.FieldInfo, ...]) -> None:
    named = cls.__subject__
    if named is None:
        return
    field = next((each for each in fields if each.name == named), None)
    if field is None or field.type is not str:
        raise TypeError(
            f"{cls.__qualname__}: subject={named!r} names no field that is a plain str: name the "
            "one that holds the person's id"
        )


def _redacted(cls: type[Event], field: msgspec.structs.FieldInfo) -> Any:
    for value in (REDACTED, None):
        if _takes(field.type, value):
            return value
    if not field.required:
        return msgspec.UNSET
    raise TypeError(
        f"{cls.__qualname__}.{field.name}: once its subject is forgotten, it can only be read as a "
        "text, as None or as its default: make it `Personal[… | None]`, or give it a default"
    )


def _takes(annotation: Any, value: object) -> bool:
    try:
        return bool(msgspec.convert(value, annotation) == value)
    except (msgspec.ValidationError, TypeError):
        return False


def _marks_inside(annotation: Any) -> bool:
    """Whether the mark is in a field of a class that an annotation names, however deep."""
    waiting, seen = list(inside(annotation)), set[type]()
    while waiting:
        each = waiting.pop()
        if not isinstance(each, type) or each in seen:
            continue
        seen.add(each)
        for part in field_types(each):
            if _is_marked(part):
                return True
            waiting.extend(inside(part))
    return False


def _is_marked(annotation: Any) -> bool:
    """Whether the mark is anywhere in an annotation."""
    return any(isinstance(each, PersonalMark) for each in inside(annotation))
