"""Upcasters: functions that turn the fields of an old event into what today's code knows."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from hitherto.domain.event import Event

MAX_SCHEMA_VERSION = 32_767

Fields: TypeAlias = dict[str, Any]
"""An event's own fields, as JSON has them: a Decimal is a text, a datetime too."""

FieldsUpcaster: TypeAlias = Callable[[Fields], Fields]
EventsUpcaster: TypeAlias = "Callable[[Fields], Iterable[Event]]"
EventsUpcasters: TypeAlias = Mapping[tuple[str, int], EventsUpcaster]
"""By the stored type and schema version whose events they replace."""

U = TypeVar("U", bound=Callable[..., Any])
K = TypeVar("K")


class Upcasters(dict[K, U]):
    """The upcasters of one event class or one kind of aggregate, until the first use.

    Args:
        owner: The name of the class.
        known: Those to begin with.
    """

    def __init__(self, owner: str, known: Mapping[K, U] = MappingProxyType({})) -> None:
        super().__init__(known)
        self._owner = owner
        self._in_use = False

    def register(self, key: K, told: str, function: U) -> U:
        """Take one in.

        Raises:
            TypeError: There is one already, or events have been read without it.
        """
        if self._in_use:
            raise TypeError(
                f"{self._owner}: events are already read without the upcaster for {told}: register "
                "it where the class is defined"
            )
        if key in self:
            raise TypeError(f"{self._owner}: there are two upcasters for {told}")
        self[key] = function
        return function

    def use(self) -> "Upcasters[K, U]":
        """Take no further ones: whoever reads events has made its decoders."""
        self._in_use = True
        return self


def check_schema(schema: object, below: int, told: str) -> int:
    """Return a schema version that an upcaster is for.

    Raises:
        TypeError: It is none, or not below `below`.
    """
    if not isinstance(schema, int) or not 1 <= schema < below:
        raise TypeError(f"{told}: upcast({schema!r}), but an upcaster is for 1 … {below - 1}")
    return schema
