"""`Event`: an immutable fact."""

import collections
import collections.abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar, dataclass_transform, is_typeddict

import msgspec

from hitherto.domain.annotations import field_types, inside
from hitherto.domain.identifiers import check_identifier
from hitherto.domain.places import declared
from hitherto.domain.upcasters import (
    MAX_SCHEMA_VERSION,
    FieldsUpcaster,
    Upcasters,
    check_schema,
)

U = TypeVar("U", bound=FieldsUpcaster)

_MUTABLE: dict[object, str] = {
    list: "tuple",
    set: "frozenset",
    dict: "Mapping",
    bytearray: "bytes",
    collections.deque: "tuple",
    collections.defaultdict: "Mapping",
    collections.OrderedDict: "Mapping",
    collections.Counter: "Mapping",
    collections.abc.MutableSequence: "tuple",
    collections.abc.MutableSet: "frozenset",
    collections.abc.MutableMapping: "Mapping",
}


def _refuse_mutable_fields(cls: type[msgspec.Struct]) -> None:
    try:
        parts = [(each, _mutable_part(each.type, set())) for each in msgspec.structs.fields(cls)]
    except NameError:
        return  # A forward reference: checked again when a union names the class.
    for field, found in parts:
        if found is not None:
            part, remedy = found
            raise TypeError(
                f"{declared(cls, field.name)}: an event is immutable, but {part} is not; "
                f"use {remedy}"
            )


def _mutable_part(annotation: Any, seen: set[Any]) -> tuple[str, str] | None:
    """The first mutable type inside `annotation`, with what to use in its place."""
    for each in inside(annotation):
        try:
            remedy = _MUTABLE.get(each)
        except TypeError:  # An unhashable literal: a value, not a type.
            continue
        if remedy is not None:
            return getattr(each, "__name__", str(each)), remedy
        if isinstance(each, type) and each not in seen:
            seen.add(each)
            found = _mutable_structure(each, seen)
            if found is not None:
                return found
    return None


def _mutable_structure(cls: type[Any], seen: set[Any]) -> tuple[str, str] | None:
    if issubclass(cls, msgspec.Struct):
        if not cls.__struct_config__.frozen:
            return cls.__qualname__, "a frozen struct (frozen=True)"
    elif dataclasses.is_dataclass(cls):
        if not cls.__dataclass_params__.frozen:  # type: ignore[attr-defined]
            return cls.__qualname__, "a frozen dataclass (frozen=True)"
    elif is_typeddict(cls):
        return None
    parts = field_types(cls)
    return next((found for part in parts if (found := _mutable_part(part, seen))), None)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class EventMeta(msgspec.StructMeta):
    """Makes each subclass of `Event` a frozen, keyword-only struct with a stored name."""

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        type: str | None = None,
        schema: int = 1,
        formerly: str | Sequence[str] = (),
        subject: str | None = None,
    ) -> Any:
        """Define an event class.

        Args:
            name: The class's name.
            bases: Its bases.
            namespace: Its body.
            type: The stored name; the class's name if left out.
            schema: The version of the event's fields, from 1; stored beside every event.
            formerly: Stored names that it had before; events under them are read as its own.
            subject: The field with the id of whom its `Personal` fields are about; the aggregate's
                id if left out.
        """
        event_type = check_identifier(
            f"the stored name of event class {name}", name if type is None else type
        )
        if not 1 <= schema <= MAX_SCHEMA_VERSION:
            raise TypeError(f"{name}: schema={schema}, but a schema version is 1 … 32767")
        cls: Any = super().__new__(
            mcls, name, bases, namespace, frozen=True, kw_only=True, gc=False, weakref=False
        )
        former = (formerly,) if isinstance(formerly, str) else tuple(formerly)
        for each in former:
            check_identifier(f"a former stored name of event class {name}", each)
        cls.__event_type__ = event_type
        cls.__schema_version__ = schema
        cls.__stored_names__ = (event_type, *former)
        cls.__upcasters__ = Upcasters(name)
        cls.__subject__ = subject
        cls.__definitions__ = {}
        _refuse_mutable_fields(cls)
        return cls


@dataclass_transform(  # mypy takes a base class's word before its metaclass's
    kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,)
)
class Event(msgspec.Struct, metaclass=EventMeta):
    """An immutable business fact, named in the past tense.

    Subclass it and annotate fields; they are keyword-only. Its stored name is the class name, or
    ``class UserCreated(Event, type="user-created", schema=2)``. Fields of a mutable type are
    refused at definition: use tuple, frozenset, `Mapping` and frozen structs.

    Events that older code has stored are read by it, too. A new field needs a default, and nothing
    else. After any other change of the fields, raise `schema=` and register how the fields of the
    schema before become those of the next (`upcast`). After a change of the stored name, give the
    old one as ``formerly="UserMade"``.

    Raises:
        TypeError: At definition, for a field of a mutable type.
        InvalidInput: At definition, for a stored name that cannot be stored.
    """

    __event_type__: ClassVar[str]
    __schema_version__: ClassVar[int]
    __stored_names__: ClassVar[tuple[str, ...]]  # the present one first
    __subject__: ClassVar[str | None]
    __upcasters__: ClassVar[Upcasters[int, FieldsUpcaster]]  # by the schema that they are given
    __definitions__: ClassVar[dict[str, Any]]  # of the aggregates whose unions name it, by type

    @classmethod
    def upcast(cls, schema: int) -> Callable[[U], U]:
        """Register how fields of an older schema become those of the next one.

        The function is given the fields as JSON has them, in a dict of its own, and returns those
        of `schema` + 1. It must be pure. Upcasters are chained; a schema without one is read as
        if it were the next::

            class UserCreated(Event, schema=3):
                email: str
                name: str

            @UserCreated.upcast(2)
            def _(fields: dict[str, Any]) -> dict[str, Any]:
                return {"email": fields["mail"], "name": fields["name"]}

        What is stored stays as it is. Where an event becomes others, or none, see
        `Aggregate.upcast`.

        Args:
            schema: The schema version whose fields it is given.

        Raises:
            TypeError: The class has no later schema, there is one already, or events were read.
        """
        told = f"{cls.__qualname__}, whose schema is {cls.__schema_version__}"
        check_schema(schema, cls.__schema_version__, told)

        for each in cls.__definitions__.values():
            if any((name, schema) in each.upcasters for name in cls.__stored_names__):
                owner = each.owner.__qualname__
                raise TypeError(f"{told}: {owner} has an upcaster for schema {schema}, too")

        def register(function: U) -> U:
            cls.__upcasters__.register(schema, f"schema {schema}", function)
            return function

        return register


def check_event_class(cls: object) -> type[Event]:
    """Return `cls` if it is an event class whose fields are all known and immutable."""
    if not (isinstance(cls, type) and issubclass(cls, Event) and cls is not Event):
        raise TypeError(f"{cls!r} is not a subclass of Event")
    _refuse_mutable_fields(cls)
    return cls
