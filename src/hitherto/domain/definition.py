"""`Definition`: what an aggregate class or a decider declares, read once at definition."""

import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import InitVar, dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar, Union, get_args, get_origin

from hitherto.domain.annotations import is_alias
from hitherto.domain.event import Event, check_event_class
from hitherto.domain.identifiers import check_identifier
from hitherto.domain.upcasters import (
    MAX_SCHEMA_VERSION,
    EventsUpcaster,
    EventsUpcasters,
    Upcasters,
    check_schema,
)

U = TypeVar("U", bound=EventsUpcaster)


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """The declaration of one kind of aggregate.

    Attributes:
        aggregate_type: The stored name.
        events: The event classes of its union, by stored name.
        fold: The function that folds an event into the state.
        owner: The class that declares it all.
        fields: The names of the state's fields.
        state_types: The fields' types, resolved when first needed.
        snapshot_version: Bumped by hand to refuse older snapshots.
        upcasters: What gives the events that stand for stored ones, by their type and schema.
        stored_names: The event classes by all of their names, former ones too.

    Args:
        inherited: Upcasters of the class that this one is derived from.
    """

    aggregate_type: str
    events: Mapping[str, type[Event]]
    fold: Callable[..., Any]
    owner: type
    fields: tuple[str, ...]
    state_types: Callable[[], Mapping[str, Any]]
    snapshot_version: int = 1
    inherited: InitVar[EventsUpcasters] = MappingProxyType({})
    upcasters: Upcasters[tuple[str, int], EventsUpcaster] = field(init=False)
    stored_names: Mapping[str, type[Event]] = field(init=False)
    event_classes: frozenset[type[Event]] = field(init=False)

    def __post_init__(self, inherited: EventsUpcasters) -> None:
        check_identifier(f"the stored name of {self.owner.__name__}", self.aggregate_type)
        object.__setattr__(self, "upcasters", Upcasters(self.owner.__qualname__, inherited))
        object.__setattr__(self, "stored_names", _stored_names(self.events.values(), self.owner))
        object.__setattr__(self, "event_classes", frozenset(self.events.values()))
        for cls in self.event_classes:
            cls.__definitions__[self.aggregate_type] = self

    def __copy__(self) -> "Definition":
        return self

    def __deepcopy__(self, _memo: object) -> "Definition":
        """There is one for each class: a copied aggregate is of the same kind."""
        return self

    def __reduce__(self) -> Any:
        return getattr, (self.owner, "definition")

    def knows(self, event_type: str) -> bool:
        """Whether events of a stored name mean something."""
        return event_type in self.stored_names or any(
            event_type == name for name, _ in self.upcasters
        )

    def upcast(self, event_type: str, schema: int) -> Callable[[U], U]:
        """See `Aggregate.upcast`."""
        owner = self.owner.__qualname__
        check_identifier(f"the stored name for which {owner} has an upcaster", event_type)
        cls = self.stored_names.get(event_type)
        told = owner if cls is None else f"{owner}, whose {event_type} has a class"
        check_schema(schema, cls.__schema_version__ if cls else MAX_SCHEMA_VERSION + 1, told)
        if cls is not None and schema in cls.__upcasters__:
            raise TypeError(f"{told}: that class has an upcaster for schema {schema}, too")

        def register(function: U) -> U:
            what = f"{event_type} of schema {schema}"
            self.upcasters.register((event_type, schema), what, function)
            return function

        return register


def base_arguments(cls: type, generic: type) -> tuple[Any, ...] | None:
    """The type arguments that `cls` gives to `generic`, itself or through a generic base."""
    for base in vars(cls).get("__orig_bases__", ()):
        origin = get_origin(base)
        if origin is generic:
            return get_args(base)
        if isinstance(origin, type) and issubclass(origin, generic):
            inherited = base_arguments(origin, generic)
            given = dict(zip(vars(origin)["__parameters__"], get_args(base), strict=True))
            return inherited and tuple(_substituted(argument, given) for argument in inherited)
    return None


def events_of(union: Any, owner: type) -> dict[str, type[Event]]:
    """The event classes of a union, by stored name.

    Raises:
        TypeError: A member is no event class, or two bear one stored name.
    """
    events: dict[str, type[Event]] = {}
    for member in _members(union):
        try:
            cls = check_event_class(member)
        except TypeError as error:
            raise TypeError(
                f"{owner.__qualname__}: {error}; give a union of event classes that are already "
                "defined, such as Aggregate[UserCreated | UserRenamed]"
            ) from None
        rival = events.setdefault(cls.__event_type__, cls)
        if rival is not cls:
            raise _same_name(owner, rival, cls, cls.__event_type__)
    return events


def _members(union: Any) -> Iterator[Any]:
    if is_alias(union):
        yield from _members(union.__value__)
    elif get_origin(union) in {Union, types.UnionType}:
        for member in get_args(union):
            yield from _members(member)
    else:
        yield union


def _stored_names(classes: Iterable[type[Event]], owner: type) -> dict[str, type[Event]]:
    names: dict[str, type[Event]] = {}
    for cls in classes:
        for name in cls.__stored_names__:
            rival = names.setdefault(name, cls)
            if rival is not cls:
                raise _same_name(owner, rival, cls, name)
    return names


def _same_name(owner: type, one: type, other: type, name: str) -> TypeError:
    return TypeError(
        f"{owner.__qualname__}: {one.__qualname__} and {other.__qualname__} bear one stored name, "
        f"{name!r}; give one of them another type="
    )


def _substituted(argument: Any, given: Mapping[Any, Any]) -> Any:
    if isinstance(argument, TypeVar):
        return given[argument]
    parameters = getattr(argument, "__parameters__", ())
    return argument[tuple(given[each] for each in parameters)] if parameters else argument


def is_open(argument: Any) -> bool:
    """Whether a type argument is still a type variable, as in a generic base class."""
    return isinstance(argument, TypeVar)
