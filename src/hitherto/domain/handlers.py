"""`on`: marks a method as the handler of the events that its annotation names."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, overload

from hitherto.domain.event import Event, check_event_class
from hitherto.errors import InvalidInput

M = TypeVar("M", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class EventHandler:
    """A marked method.

    Attributes:
        function: To be called with the object, the event and what is known about it.
        side_effect: Whether its effect is not in the view.
    """

    function: Callable[..., Any]
    side_effect: bool


Handlers = Mapping[type[Event], tuple[EventHandler, ...]]


@overload
def on(method: M, /) -> M: ...


@overload
def on(*, side_effect: bool = False) -> Callable[[M], M]: ...


def on(method: M | None = None, /, *, side_effect: bool = False) -> M | Callable[[M], M]:
    """Marks a method of a projection or a process as the handler of some events.

    The annotation of its first parameter tells which: a class or a union.

    Args:
        method: The method, where the decorator is written without parentheses.
        side_effect: A projection's: its effect is not in the view, such as a message that is
            sent. It stays silent during a rebuild, for the events that an earlier generation has
            handled.
    """

    def mark(method: M) -> M:
        method.__side_effect__ = side_effect  # type: ignore[attr-defined]
        return method

    return mark if method is None else mark(method)


def handlers_of(cls: type) -> Handlers:
    """The marked methods of a class and its bases, by event class, in the order of their names.

    Raises:
        InvalidInput: One has not two parameters, or its annotation names something else.
    """
    found: dict[type[Event], tuple[EventHandler, ...]] = {}
    for name in dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base)):
        method = getattr(cls, name, None)
        side_effect = getattr(method, "__side_effect__", None)
        if method is None or side_effect is None:
            if any(hasattr(vars(base).get(name), "__side_effect__") for base in cls.__mro__):
                raise InvalidInput(
                    f"{cls.__qualname__}.{name} takes the place of a handler: mark it with @on, too"
                )
            continue
        for event in event_classes(_event_annotation(inspect.unwrap(method))):
            found[event] = (*found.get(event, ()), EventHandler(method, side_effect))
    return found


def event_classes(types: Any) -> tuple[type[Event], ...]:
    """The classes that a class, a union or a collection of either names, each once.

    Raises:
        InvalidInput: Something else is among them.
    """
    types = getattr(types, "__value__", types)  # `type UserEvent = …` of Python 3.12
    if get_origin(types) in {Union, UnionType}:
        types = get_args(types)
    elif isinstance(types, type):
        types = (types,)
    elif isinstance(types, str) or not isinstance(types, Iterable):
        raise InvalidInput(f"{types!r}: give a list, such as [{types!r}]")
    found: dict[type[Event], None] = {}
    for each in cast("Iterable[Any]", types):
        if isinstance(each, type):
            try:
                found[check_event_class(each)] = None
            except TypeError as error:
                raise InvalidInput(f"types={types!r}: {error}") from None
        else:
            found.update(dict.fromkeys(event_classes(each)))
    return tuple(found)


def _event_annotation(function: Callable[..., Any]) -> Any:
    """What the parameter for the event is annotated with."""
    signature = inspect.signature(function)
    given = [each for name, each in signature.parameters.items() if name != "self"]
    annotation = given[0].annotation if len(given) == 2 else inspect.Parameter.empty
    if annotation is inspect.Parameter.empty:
        raise InvalidInput(
            f"{function.__qualname__}: give it two parameters, the event, annotated with its "
            "class, and what is known about it"
        )
    if isinstance(annotation, str):
        try:
            return eval(annotation, function.__globals__)  # noqa: S307  # as typing does
        except NameError as error:
            raise InvalidInput(
                f"{function.__qualname__}: {error}: the event classes must be there at run time"
            ) from None
    return annotation
