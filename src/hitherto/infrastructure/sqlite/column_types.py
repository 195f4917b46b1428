"""Values of SQLite's columns as Python's, by the types that the columns are declared with."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID


def reader_of(declared: str) -> Callable[[Any], Any]:
    """What makes a column's values Python's; what does not fit the type stays as it is."""
    name = declared.upper()
    for words, read in _READERS:
        if any(word in name for word in words):
            return _lenient(read)
    return lambda value: value


def kind_of(declared: str) -> str | None:
    """Of keys in a column: integer or text; None: it can be no key."""
    name = declared.upper()
    if "INT" in name:
        return "integer"
    return "text" if any(word in name for word in ("CHAR", "TEXT", "CLOB", "UUID")) else None


def bound(value: Any) -> Any:
    """A value as SQLite keeps it; a time in UTC, as CURRENT_TIMESTAMP writes it."""
    if isinstance(value, datetime):
        moment = value if value.tzinfo is None else value.astimezone(UTC)
        return moment.replace(tzinfo=None).isoformat(" ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    return int(value) if isinstance(value, bool) else value


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _truth(value: Any) -> bool:
    return {0: False, 1: True}[value]


def _decimal(value: Any) -> Decimal:
    return Decimal(str(value))


_READERS: list[tuple[tuple[str, ...], Callable[[Any], Any]]] = [
    (("BOOL",), _truth),
    (("DATETIME", "TIMESTAMP"), _moment),
    (("DATE",), date.fromisoformat),
    (("DECIMAL", "NUMERIC"), _decimal),
    (("UUID",), UUID),
]


def _lenient(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def reading(value: Any) -> Any:
        if value is None:
            return None
        try:
            return read(value)
        except (ValueError, TypeError, KeyError, AttributeError, InvalidOperation):
            return value

    return reading
