"""`Aggregate`: an object whose state is the fold of its events."""

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from typing import Any, ClassVar, Generic, TypeVar, get_origin, get_type_hints
from uuid import UUID

import msgspec

from hitherto.domain.definition import Definition, base_arguments, events_of, is_open
from hitherto.domain.event import Event
from hitherto.domain.identifiers import check_identifier, type_mismatch
from hitherto.domain.places import declared
from hitherto.domain.recorded import RecordedEvent
from hitherto.domain.state_values import is_immutable, is_same
from hitherto.domain.upcasters import EventsUpcaster, EventsUpcasters
from hitherto.errors import AggregateIDMismatch, InvalidAggregateState, InvalidInput

E = TypeVar("E", bound=Event)
U = TypeVar("U", bound=EventsUpcaster)

_OWN = (
    "definition", "_id", "_version", "_snapshot_version", "_unsaved", "_saving", "_applying",
    "_unconfirmed", "_decider",
)  # fmt: skip

_MISSING = object()


class Unsaved(msgspec.Struct, Generic[E], gc=False):
    """A recorded event that is not saved yet.

    `envelope` is what the first attempt to save it sent: a second attempt sends the same event
    id again, which is how the store tells a repetition from a rival.
    """

    event: E
    occurred_at: datetime | None
    envelope: Any = None


class Aggregate(Generic[E]):
    """Base of your aggregates; `E`, a union of event classes, is the whole declaration.

    Annotated fields are the state; they are changed in `apply` alone. Methods decide: they check
    the state and `record` events. A mutable default is copied for each instance.

    Args (of the class statement):
        type: The stored name; the class's name if left out.
        snapshot_version: Bump it when older snapshots must not be used any more.

    Attributes:
        id: The aggregate's id, unique in the store.
        version: How many of its events are saved.
        pending: Its recorded events that are not saved yet; they stay when a save fails.

    Raises:
        InvalidInput: The id is empty, over 255 characters, or holds a NUL or a lone surrogate.
        TypeError: At definition, for a union that names no event classes or a field whose name
            is taken, or an ``__init__`` that wants more than the id.
    """

    definition: ClassVar[Definition]
    """What the class statement declares: the stored name, the events, the state's fields."""

    _mutable_defaults: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(
        cls, *, type: str | None = None, snapshot_version: int = 1, **options: Any
    ) -> None:
        super().__init_subclass__(**options)
        arguments = base_arguments(cls, Aggregate)
        if arguments and is_open(arguments[0]):
            return
        inherited: EventsUpcasters = {}
        if arguments:
            events = events_of(arguments[0], cls)
        elif hasattr(cls, "definition"):
            events, inherited = dict(cls.definition.events), cls.definition.upcasters
        else:
            raise TypeError(f"{cls.__qualname__}: say which events, as in Aggregate[UserEvent]")
        _check_arguments(cls)
        _check_apply(cls)
        fields = _state_fields(cls)
        cls._mutable_defaults = {
            name: default
            for name in fields
            if not is_immutable(default := getattr(cls, name, None))
        }
        cls.definition = Definition(
            aggregate_type=cls.__name__ if type is None else type,
            events=events,
            fold=cls.apply,
            owner=cls,
            fields=fields,
            state_types=lambda: _state_types(cls, fields),
            snapshot_version=snapshot_version,
            inherited=inherited,
        )

    def __init__(self, id: str) -> None:
        self._id = check_identifier("aggregate id", id)
        self._version = 0
        self._snapshot_version = 0
        self._unsaved: list[Unsaved[E]] = []
        self._saving = False
        self._applying = False
        self._unconfirmed: tuple[int, UUID] | None = None
        for name, default in self._mutable_defaults.items():
            setattr(self, name, copy.deepcopy(default))

    def __repr__(self) -> str:
        return (
            f"<{self.definition.aggregate_type} {self._id!r} version={self._version} "
            f"pending={len(self._unsaved)}>"
        )

    @property
    def id(self) -> str:
        """The aggregate's id, unique in the store."""
        return self._id

    @property
    def version(self) -> int:
        """How many of its events are saved."""
        return self._version

    @property
    def pending(self) -> tuple[E, ...]:
        """Recorded events that are not saved yet, oldest first."""
        return tuple(unsaved.event for unsaved in self._unsaved)

    def apply(self, event: E) -> None:
        """Fold one event into the state: set fields, and nothing else.

        It is called by `record` and by every load. It may not refuse: what happened, happened.
        """
        raise NotImplementedError(f"{type(self).__qualname__} needs a method apply(self, event)")

    @classmethod
    def upcast(cls, event_type: str, schema: int = 1) -> Callable[[U], U]:
        """Register which events stand for a stored one that means something else by now.

        It is for a type that has no class any more, and for an older schema of one that has. The
        function is given the fields as JSON has them, in a dict of its own, and returns events of
        the union: one, several where the old one is split, none where it means nothing any more.
        It must be pure::

            @User.upcast("UserMoved")
            def _(fields: dict[str, Any]) -> list[UserEvent]:
                return [AddressChanged(address=fields["address"]), PhoneDropped()]

        What is stored stays as it is, and so do the versions.

        Args:
            event_type: The stored name.
            schema: The stored schema version.

        Raises:
            TypeError: The class of that name reads that schema itself, there is one already, or
                events were read.
        """
        return cls.definition.upcast(event_type, schema)

    def record(self, event: E, *, occurred_at: datetime | None = None) -> None:
        """Decide `event`: apply it, and keep it as pending until the aggregate is saved.

        Args:
            event: An instance of one of the classes in the aggregate's union.
            occurred_at: When it happened, with a time zone; the time of the save if left out.

        Raises:
            InvalidInput: The event's class is not in the union, or the time has no zone.
            InvalidAggregateState: `apply` itself records, or it has raised before, so that the
                state may be half changed.
        """
        if type(event) not in self.definition.event_classes:
            raise InvalidInput(
                f"{type(event).__qualname__} is not an event of {type(self).__qualname__}: "
                f"add it to the union, which has {sorted(self.definition.events)}"
            )
        if occurred_at is not None and occurred_at.utcoffset() is None:
            raise InvalidInput(
                f"occurred_at={occurred_at} has no time zone: give one, such as tzinfo=UTC"
            )
        self._check_whole()
        self._applying = True
        self.apply(event)
        self._applying = False
        self._unsaved.append(Unsaved(event, occurred_at))

    def fold(self, history: Iterable[RecordedEvent[E]]) -> None:
        """Apply recorded events that follow the current version.

        Raises:
            AggregateIDMismatch: An event is of another id or another type of aggregate.
            InvalidAggregateState: A gap or a repetition in the versions, or pending events.
        """
        self._fold(self._by_version(history))

    def _by_version(
        self, history: Iterable[RecordedEvent[E]]
    ) -> Iterator[tuple[int, tuple[E, ...]]]:
        """What upcasters have split is together, and a version that they dropped is there."""
        following = self._version + 1
        for version, group in groupby(filter(self._is_own, history), attrgetter("version")):
            if self.definition.upcasters:
                yield from ((dropped, ()) for dropped in range(following, version))
            events = list(group)
            parts = {each.event_id: each.event for each in events}
            yield version, tuple(parts.values())
            if len(parts) < len(events):
                yield version, ()  # A repetition.
            following = version + 1

    def _is_own(self, recorded: RecordedEvent[E]) -> bool:
        check_aggregate_type(self.definition, recorded.aggregate_id, recorded.aggregate_type)
        if recorded.aggregate_id != self._id:
            raise AggregateIDMismatch(
                f"event {recorded.event_id} belongs to {recorded.aggregate_id!r}, not {self._id!r}"
            )
        return True

    def _fold(self, events: Iterable[tuple[int, E | tuple[E, ...]]]) -> None:
        """Apply what each version tells: mostly one event; upcasters may give others."""
        if self._unsaved:
            raise InvalidAggregateState(f"{self!r} has pending events: save or drop it first")
        self._check_whole()
        apply = self.apply
        expected = self._version
        for version, event in events:
            expected += 1
            if version != expected:
                raise InvalidAggregateState(
                    f"the history of {self._id!r} has version {version} "
                    f"where {expected} was expected"
                )
            self._applying = True
            if isinstance(event, tuple):
                for each in event:
                    apply(each)
            else:
                apply(event)
            self._applying = False
            self._version = version

    def _check_whole(self) -> None:
        """Refuse to go on from a state that is no fold of events."""
        if self._applying:
            raise InvalidAggregateState(
                f"{self!r} is being applied to, or its apply has raised, so that its state may be "
                "half changed: let apply set fields only and refuse nothing, and load it anew"
            )

    def _capture(self) -> dict[str, Any]:
        """The state's fields that are set."""
        return {name: getattr(self, name) for name in self.definition.fields if hasattr(self, name)}

    def _undeclared(self) -> list[str]:
        """Attributes that are no fields, and that a new aggregate has not, or not with that value.

        What is not annotated in the class is left out of `_capture`, and would be lost.
        """
        known = {*self.definition.fields, *_OWN}
        others = {name: value for name, value in vars(self).items() if name not in known}
        if not others:
            return []
        fresh = vars(type(self)(self._id))
        return [
            name
            for name, value in others.items()
            if not is_same(value, fresh.get(name, _MISSING))
            and not isinstance(inspect.getattr_static(type(self), name, None), cached_property)
        ]

    def _restore(self, version: int, state: Mapping[str, Any]) -> None:
        """Take on a state captured at `version`."""
        for name, value in state.items():
            setattr(self, name, value)
        self._version = version

    def _saved(self, count: int) -> None:
        """The first `count` pending events are in the store."""
        del self._unsaved[:count]
        self._version += count


def check_aggregate_type(definition: Definition, aggregate_id: str, stored_type: str) -> None:
    """Raise `AggregateIDMismatch` unless `stored_type` is the definition's own."""
    if stored_type != definition.aggregate_type:
        raise type_mismatch(aggregate_id, stored_type, definition.aggregate_type)


def _check_arguments(cls: type) -> None:
    try:
        inspect.signature(cls).bind("id")
    except TypeError as error:
        raise TypeError(
            f"{cls.__qualname__}.__init__: {error}: a load makes an aggregate of its id alone, so "
            "let a class method take what else there is, and record it"
        ) from None


def _check_apply(cls: type[Aggregate[Any]]) -> None:
    if inspect.iscoroutinefunction(inspect.unwrap(cls.apply)):
        raise TypeError(
            f"{cls.__qualname__}.apply is `async def`: nobody would await it; write it as a plain "
            "function (def) that only sets fields"
        )


def _state_fields(cls: type) -> tuple[str, ...]:
    """The names of the annotated fields of `cls` and its bases, `Aggregate` left out."""
    names: dict[str, None] = {}
    for base in reversed(cls.__mro__):
        if base in Aggregate.__mro__:
            continue
        for name, annotation in inspect.get_annotations(base).items():
            if not _is_class_variable(annotation):
                names[name] = None
    taken = [name for name in names if hasattr(Aggregate, name) or name in _OWN]
    if taken:
        raise TypeError(f"{declared(cls, taken[0])}: a state field may not be named {taken[0]!r}")
    return tuple(names)


def _is_class_variable(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return annotation.removeprefix("typing.").startswith("ClassVar")
    return annotation is ClassVar or get_origin(annotation) is ClassVar


def _state_types(cls: type, fields: tuple[str, ...]) -> dict[str, Any]:
    hints = get_type_hints(cls, include_extras=True)
    return {name: hints[name] for name in fields}
