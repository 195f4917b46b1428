"""The schema file: read with care, written whole."""

import os
from pathlib import Path

import msgspec

from hitherto.application.checking.fieldtypes import checked
from hitherto.application.checking.schemas import AggregateSchemas, Fields, Schemas
from hitherto.errors import ConfigurationError

FORMAT = 1


class _Format(msgspec.Struct):
    format: int


class _File(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    format: int = FORMAT
    aggregates: dict[str, AggregateSchemas]


def read_schemas(path: Path) -> Schemas:
    """What a schema file knows.

    Raises:
        ConfigurationError: There is none, or it is damaged, or of a newer format.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no {path}: make it with --update, and commit it, or name one with --file"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    try:
        number = msgspec.json.decode(text, type=_Format).format
        if number != FORMAT:
            raise ConfigurationError(
                f"{path} has format {number}, and this version of hitherto knows {FORMAT}: take a "
                "later version"
            )
        aggregates = msgspec.json.decode(text, type=_File).aggregates
        for name, aggregate in aggregates.items():
            _check(name, aggregate)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, _Broken) as error:
        raise ConfigurationError(
            f"{path} is damaged: {error}; take it from the last commit"
        ) from error
    return aggregates


def write_schemas(path: Path, schemas: Schemas) -> bool:
    """Write a schema file, whole or not at all; tells whether it has changed.

    Raises:
        ConfigurationError: It cannot be written.
    """
    text = msgspec.json.format(msgspec.json.encode(_File(aggregates=dict(schemas)))) + b"\n"
    partial = path.with_name(f"{path.name}.partial")
    try:
        if path.exists() and path.read_bytes() == text:
            return False
        with partial.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    return True


class _Broken(ValueError):
    """A text in the file that means nothing."""


def _check(name: str, aggregate: AggregateSchemas) -> None:
    for event_type, event in aggregate.events.items():
        where = f"{name}.{event_type}"
        if event.schema not in event.schemas:
            raise _Broken(f"{where} is written in schema {event.schema}, which it does not tell")
        for schema, fields in event.schemas.items():
            try:
                _check_fields(fields)
            except ValueError as error:
                raise _Broken(f"{where}, schema {schema}: {error}") from error


def _check_fields(fields: Fields) -> None:
    texts = [*fields.fields.values(), *fields.dropped.values()]
    texts += [text for each in fields.types.values() for text in each.fields.values()]
    checked(texts, fields.types)
