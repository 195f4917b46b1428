"""`check_fits`: whether a projection's own functions go with the connection that they are lent."""

import inspect
from collections.abc import Callable, Iterator
from types import NoneType
from typing import Any

from hitherto.application.checkpoints import Lends
from hitherto.application.projection import Projection
from hitherto.domain.definition import base_arguments, is_open
from hitherto.errors import InvalidInput


def check_fits(projection: Projection[Any], lends: Lends, *, setup_only: bool = False) -> None:
    """See that what a projection writes can be written where it is to run.

    Args:
        projection: Which.
        lends: What the store lends to its functions.
        setup_only: The handlers are lent something else, by somebody else.

    Raises:
        InvalidInput: It writes, and there is no connection; or one of its functions is plain where
            it has to await, or the reverse.
    """
    cls, alone = type(projection), setup_only or projection.elsewhere
    if lends == "nothing":
        writes = not alone and _connection_of(cls) not in {Any, NoneType}
        if writes or projection.tables or cls.setup is not Projection[Any].setup:
            raise InvalidInput(
                f"{projection.name!r} writes tables, for which a store in memory has no "
                "connection: test it by given(), or on a store in a file, such as "
                "`pytest --hitherto-store=sqlite:` makes"
            )
        return
    check = _check_awaits if lends == "async" else _check_blocks
    for function in _functions(projection, lends, setup_only=alone):
        check(function)


def _functions(
    projection: Projection[Any], lends: Lends, *, setup_only: bool
) -> Iterator[Callable[..., Any]]:
    """Those of its own that are called in a transaction, to write in it."""
    cls: Any = type(projection)
    if lends == "async" and _connection_of(cls) is NoneType:
        return
    if cls.setup is not Projection[Any].setup:
        yield cls.setup
    if setup_only:
        return
    if cls.handle is not Projection[Any].handle:
        yield cls.handle
    for handler in projection._all_handlers():
        if lends == "blocking" or not handler.side_effect:
            yield handler.function


def _check_awaits(function: Callable[..., Any]) -> None:
    inner = inspect.unwrap(function)
    if not any(map(inspect.iscoroutinefunction, (function, inner))) and _gives_nothing(inner):
        raise InvalidInput(
            f"{_told(inner)} is a plain function, and would write nothing: on PostgreSQL it "
            "is `async def`, and awaits what it executes; what is not to write anything is of a "
            "Projection[None]"
        )


def _check_blocks(function: Callable[..., Any]) -> None:
    if inspect.iscoroutinefunction(function):
        raise InvalidInput(
            f"{_told(inspect.unwrap(function))} is `async def`: on SQLite it is a plain "
            "function (def), and awaits nothing"
        )


def _told(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))


def _gives_nothing(function: Callable[..., Any]) -> bool:
    """Whether that is what it says; else it may give what is to be awaited."""
    try:
        return inspect.get_annotations(function).get("return") in (None, "None")
    except NameError:  # Python 3.14 evaluates names that only type checkers know.
        return True


def _connection_of(cls: type) -> Any:
    """The type of the connection that a class says it writes to; Any: it does not say."""
    for base in cls.__mro__:
        arguments = base_arguments(base, Projection)
        if arguments is not None:
            return Any if is_open(arguments[0]) else arguments[0]
    return Any
