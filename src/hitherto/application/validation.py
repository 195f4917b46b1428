"""Values that JSON or a store would change without a word are refused here."""

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from itertools import zip_longest
from typing import Annotated, Any, Literal, cast, get_args, get_origin
from uuid import UUID

import msgspec

from hitherto.errors import InvalidInput

MAX_DEPTH = 64

_SAFE = (str, int, bool, type(None), bytes, UUID, timedelta, Enum, msgspec.UnsetType)
_PLAIN = {str, int, bool, type(None), bytes, UUID}
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def needs_check(type: Any) -> bool:
    """Whether a value of this type could be one that `check_value` refuses."""
    return _needs_check(type, ())


@lru_cache(maxsize=4096)
def _needs_check(annotation: Any, enclosing: tuple[Any, ...]) -> bool:
    origin = get_origin(annotation) or annotation
    if origin is Literal or _is_safe(origin):
        return False
    if origin in enclosing:
        return True  # Recursive: its depth has no bound.
    parts = get_args(annotation)[: 1 if origin is Annotated else None]
    if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
        parts = tuple(field.type for field in msgspec.structs.fields(origin))
        enclosing = (*enclosing, origin)
    return not parts or any(_needs_check(part, enclosing) for part in parts if part is not ...)


def _is_safe(origin: Any) -> bool:
    if not isinstance(origin, type):
        return False
    return issubclass(origin, _SAFE) or (
        issubclass(origin, date) and not issubclass(origin, datetime)
    )


def check_fields(value: Any) -> None:
    """`check_value` for what is about to be encoded, at the least cost: it is done for each event.

    Raises:
        ValueError: As `check_value`.
    """
    cls = value.__class__
    fields = _fields_to_check(cls)
    if fields is None:
        check_value(value, cls.__name__)
        return
    for name in fields:
        part = getattr(value, name)
        kind = part.__class__
        if kind is Decimal:
            harmless = part.is_finite()
        elif kind is float:
            harmless = math.isfinite(part)
        elif kind is datetime:
            harmless = part.utcoffset() is not None
        else:
            harmless = kind in _PLAIN
        if not harmless:
            check_value(part, f"{cls.__name__}.{name}", 1)


@lru_cache(maxsize=4096)
def _fields_to_check(cls: Any) -> tuple[str, ...] | None:
    if not issubclass(cls, msgspec.Struct):
        return None if needs_check(cls) else ()
    return tuple([field.name for field in msgspec.structs.fields(cls) if needs_check(field.type)])


def check_value(value: Any, path: str, depth: int = 0) -> None:
    """Refuse what would not come back as it went in.

    Raises:
        ValueError: A NaN or an infinity, a datetime without a zone, or more than 64 levels.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"{path} is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, float | Decimal):
        finite = math.isfinite(value) if isinstance(value, float) else value.is_finite()
        if not finite:
            raise ValueError(f"{path} is {value}: give a finite number")
    elif isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError(f"{path} has no time zone: give one, such as tzinfo=UTC")
    else:
        for name, part in parts_of(value):
            check_value(part, f"{path}{name}", depth + 1)


def has_nul(text: str) -> bool:
    """Whether JSON text has a NUL character in a string, which PostgreSQL cannot store."""
    return "\\u0000" in text and _NUL.search(text) is not None


def unstorable_text(value: Any, path: str, depth: int = 0) -> str | None:
    """Tells where in a value a text has a NUL or a lone surrogate; asked when one was met."""
    if isinstance(value, str):
        if not _UNSTORABLE.search(value):
            return None
        nul = "\0" in value
        what = "a NUL character" if nul else "a lone surrogate, which is not valid text"
        return f"{path} contains {what}: leave it out"
    if depth > MAX_DEPTH:  # of a type that was not asked for, and so not checked before
        return None
    told = (unstorable_text(part, f"{path}{name}", depth + 1) for name, part in parts_of(value))
    return next(filter(None, told), None)


def alike(before: Any, after: Any) -> bool:
    """Whether a value came back as it was: equal, or the same where Python calls nothing equal.

    In the hour that a clock repeats, and in the one that it skips, a datetime of a zone with a name
    is unequal to every datetime of another zone (PEP 495), and what is read has a mere offset.
    """
    if before == after:
        return True
    if isinstance(before, datetime) and isinstance(after, datetime):
        return _same_moment(before, after)
    if type(before) is not type(after):
        return False
    pairs = list(zip_longest(parts_of(before), parts_of(after)))
    return bool(pairs) and all(
        one is not None and other is not None and alike(one[1], other[1]) for one, other in pairs
    )


def _same_moment(before: datetime, after: datetime) -> bool:
    offsets = before.utcoffset(), after.utcoffset()
    if offsets[0] is None or offsets[1] is None:
        return False
    return before.replace(tzinfo=None) - after.replace(tzinfo=None) == offsets[0] - offsets[1]


def first_difference(before: msgspec.Struct, after: msgspec.Struct) -> str:
    """The first field in which two structs of one type differ; values are nobody's business."""
    names = before.__struct_fields__
    pairs = ((name, getattr(before, name), getattr(after, name)) for name in names)
    return next((name for name, one, other in pairs if not alike(one, other)), "?")


def parts_of(value: Any) -> Iterable[tuple[str, Any]]:
    """What a value holds, each part with where it is."""
    if isinstance(value, msgspec.Struct):
        return ((f".{name}", getattr(value, name)) for name in value.__struct_fields__)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return ((f".{field.name}", getattr(value, field.name)) for field in fields)
    if isinstance(value, Mapping):
        return _mapping_parts(cast("Any", value))
    if isinstance(value, list | tuple | set | frozenset):
        items = cast("Iterable[Any]", value)
        return ((f"[{index}]", item) for index, item in enumerate(items))
    return ()


def _mapping_parts(mapping: Mapping[Any, Any]) -> Iterable[tuple[str, Any]]:
    for index, (key, value) in enumerate(mapping.items()):  # Keys are nobody's business either.
        yield f" key {index}", key
        yield f"[{index}]", value


def check_account(**texts: str) -> None:
    """Refuse an account of what cannot be undone that does not say who or why, or cannot be stored.

    Raises:
        InvalidInput: The text that says so is named.
    """
    for name, text in texts.items():
        if not text.strip() or _UNSTORABLE.search(text):
            raise InvalidInput(f"{name}={text!r}: say it in plain text, for those who ask later")
