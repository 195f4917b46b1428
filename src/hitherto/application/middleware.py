"""What may stand around every command of a `CommandBus`: logs, metrics, validation."""

import logging
import time
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from hitherto.application.commands import Middleware, Next
from hitherto.application.logging import log_event
from hitherto.application.store import Store
from hitherto.errors import InvalidInput

_AS_THEY_ARE = (
    bytes, bytearray, memoryview, datetime, date, time_of_day, timedelta, UUID, Decimal,
)  # fmt: skip


def log_commands(store: Store) -> Middleware:
    """Log how each command ended and how long it took, to the store's logger; never a payload."""

    async def logging_commands(command: object, next: Next) -> Any:
        started = time.perf_counter()

        def log(level: int, event: str, **values: object) -> None:
            seconds = round(time.perf_counter() - started, 6)
            name = type(command).__name__
            log_event(store.logger, level, event, command=name, seconds=seconds, **values)

        try:
            result = await next(command)
        except BaseException as error:
            log(logging.WARNING, "command_failed", error=type(error).__name__)
            raise
        log(logging.INFO, "command_done")
        return result

    return logging_commands


def measure_commands(store: Store) -> Middleware:
    """Tell the store's instrumentation of each command."""

    async def measuring_commands(command: object, next: Next) -> Any:
        with store.instrumentation.command(type(command).__name__):
            return await next(command)

    return measuring_commands


async def validate_commands(command: object, next: Next) -> Any:
    """Refuse a command whose fields are not what its annotations say.

    Python lets them be anything; of structs, dataclasses and attrs classes they are checked, with
    what `msgspec.Meta` adds. If the command has a method `validate()`, it is called then.

    Raises:
        InvalidInput: The message names the class and the field.
    """
    kind = type(command)
    try:
        if _has_fields(kind):
            plain = msgspec.to_builtins(command, builtin_types=_AS_THEY_ARE)
            msgspec.convert(plain, kind, builtin_types=_AS_THEY_ARE)
    except (msgspec.ValidationError, TypeError) as error:
        raise InvalidInput(f"{kind.__qualname__}: {error}") from error
    validate = getattr(command, "validate", None)
    if validate is not None:
        validate()
    return await next(command)


def _has_fields(kind: type) -> bool:
    marks = ("__struct_fields__", "__dataclass_fields__", "__attrs_attrs__")
    return any(hasattr(kind, mark) for mark in marks)
