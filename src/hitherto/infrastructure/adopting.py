"""What tables of before have in common, in whichever database they are."""

import re
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from hitherto.errors import ConfigurationError, InvalidInput

_PLACE = re.compile(r"\{\w+\}")


def quoted(name: str) -> str:
    """A name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def filled(queries: Mapping[str, str], places: Mapping[str, str]) -> dict[str, str]:
    """Queries with names and conditions in their places."""
    # In one pass: a column may be called "{key}".
    return {
        name: _PLACE.sub(lambda place: places.get(place[0], place[0]), text)
        for name, text in queries.items()
    }


def check_key(table: str, key: str, columns: Mapping[str, str], kind: str | None) -> None:
    """See that a column can be the key.

    Args:
        table: The table's name.
        key: The column's.
        columns: The types of all, by name.
        kind: Of the key's values; None: they can be no key.

    Raises:
        ConfigurationError: It cannot.
    """
    if key not in columns:
        raise ConfigurationError(
            f"{table} has no column {key!r}; it has {', '.join(columns)}: set `key` of the mapping"
        )
    if kind is None:
        raise ConfigurationError(
            f"{table}.{key} of type {columns[key] or 'none'} can be no key: set `key` of the "
            "mapping to a column of integers, texts or UUIDs"
        )


def not_unique(table: str, key: str) -> ConfigurationError:
    """The error for a key that does not tell rows apart."""
    return ConfigurationError(
        f"{table}.{key} does not tell rows apart: it must be unique by itself and NOT NULL; set "
        "`key` of the mapping to such a column"
    )


def not_taken_over(table: str, count: int) -> ConfigurationError:
    """The error for a capture that is to be removed too early."""
    return ConfigurationError(
        f"{count:,} changes of {table} are not taken over: run it with --capture run "
        "--until-caught-up first, or drop them with --yes"
    )


def key_value(kind: str, text: str) -> Any:
    """The value of a key that is told as text.

    Raises:
        InvalidInput: It is none, or is written otherwise.
    """
    value: Any = text
    try:
        if kind == "integer":
            value = int(text)
        elif kind == "uuid":
            value = UUID(text)
    except ValueError:
        value = None
    if str(value) != text or (kind == "integer" and not -(2**63) <= value < 2**63):
        raise InvalidInput(f"{text!r} is no key of the table, which are of type {kind}")
    return value


def key_values(kind: str, texts: Collection[str]) -> dict[Any, str]:
    """The texts of keys by their values; without what can be none."""
    found: dict[Any, str] = {}
    for text in texts:
        try:
            found[key_value(kind, text)] = text
        except InvalidInput:
            continue
    return found
