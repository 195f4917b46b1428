"""`Adoption`: what rows of a table mean as events of an aggregate."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from hitherto.domain.aggregate import Aggregate
from hitherto.domain.event import Event
from hitherto.errors import ConfigurationError

A = TypeVar("A", bound=Aggregate[Any])

Row: TypeAlias = Mapping[str, Any]
"""A row: its columns' values by their names."""


class Adoption(Generic[A]):
    """Base of your mappings from a table to an aggregate; `hitherto adopt` takes one.

    To take the rows over once, `baseline` is all that is needed. To compare them with the
    aggregates write `row_of` too, and to keep both in step `changed` and `deleted`::

        class Users(Adoption[User]):
            prefix = "user-"

            def baseline(self, row: Row) -> UserEvent:
                return UserCreated(email=row["email"], name=row["name"])

            def row_of(self, user: User) -> Row | None:
                return {"email": user.email, "name": user.name}

    Values are Python's, as the columns' types tell: `Decimal`, `datetime`, `UUID`, `str`, `int` …

    Attributes:
        key: The column that tells rows apart: unique, never NULL, an integer, a text or a UUID.
        prefix: What an aggregate's id has before the key.
    """

    key: str = "id"
    prefix: str = ""

    def baseline(self, row: Row, /) -> Event:
        """The first event of an aggregate, from the row as it is; raise to refuse the row.

        It is also asked where a row is there again after it was deleted.
        """
        raise NotImplementedError(_lacking(self, "baseline(row)", "take rows over"))

    def changed(self, before: Row, after: Row, /) -> Sequence[Event]:
        """The events that lead from one row to another.

        Args:
            before: What `row_of` gives of the aggregate as it is.
            after: The whole row that it is to become; where the aggregate was changed as well, in
                other columns, that is in there.
        """
        raise NotImplementedError(_lacking(self, "changed(before, after)", "take changes over"))

    def deleted(self, row: Row, /) -> Sequence[Event]:
        """The events that tell of the end of a row; `row_of` gives None after them.

        Args:
            row: What `row_of` gives of the aggregate as it is.
        """
        raise NotImplementedError(_lacking(self, "deleted(row)", "take deletions over"))

    def row_of(self, aggregate: A, /) -> Row | None:
        """The row that stands for an aggregate, or None if none does.

        Columns that are left out are neither compared nor kept in step.
        """
        raise NotImplementedError(
            _lacking(self, "row_of(aggregate)", "compare aggregates with rows")
        )

    def offers(self, method: str) -> bool:
        """Whether the method of that name is written."""
        return getattr(type(self), method) is not getattr(Adoption, method)


def mapping_of(given: Any) -> Adoption[Any]:
    """A mapping, from an `Adoption` class, an instance of one, or a function that is a `baseline`.

    Raises:
        ConfigurationError: It is none of them.
    """
    if isinstance(given, Adoption):
        return given  # pyright: ignore[reportUnknownVariableType]
    if isinstance(given, type) and issubclass(given, Adoption):
        return _made(given)  # pyright: ignore[reportUnknownArgumentType]
    if inspect.isfunction(given):  # pyright: ignore[reportUnknownArgumentType]
        return _of_function(given)
    raise ConfigurationError(
        f"{given!r} is no mapping: give a class derived from hitherto.Adoption, or a function that "
        "makes the first event of a row"
    )


def _made(given: type[Adoption[Any]]) -> Adoption[Any]:
    try:
        return given()
    except Exception as error:  # whatever its __init__ raises
        raise ConfigurationError(
            f"{given.__qualname__} cannot be made without arguments: {type(error).__name__}: "
            f"{error}; make an instance in the module, and name that"
        ) from error


def _of_function(function: Callable[[Row], Event]) -> Adoption[Any]:
    class OfFunction(Adoption[Any]):
        def baseline(self, row: Row, /) -> Event:
            return function(row)

    return OfFunction()


def _lacking(mapping: object, method: str, what: str) -> str:
    return f"{type(mapping).__qualname__} needs a method {method} to {what}"
