"""What a schema file holds: the events of each kind of aggregate, in every schema there was."""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

Value: TypeAlias = str | int


class Structure(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A struct or an enum inside of an event.

    Attributes:
        values: Of an enum.
        fields: Of a struct: the type of each as a text, by its key in JSON.
        tag: The key and the value that tell it from others.
        array_like: Whether it is an array in JSON.
        forbid_unknown_fields: Whether other keys are refused.
        omit_defaults: Whether a value that is the default is not written.
    """

    values: tuple[Value, ...] = ()
    fields: Mapping[str, str] = {}
    tag: tuple[str, Value] | None = None
    array_like: bool = False
    forbid_unknown_fields: bool = False
    omit_defaults: bool = False


class Fields(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """The fields of an event in one schema.

    Attributes:
        fields: The type of each as a text, by its key in JSON.
        dropped: Those that there were before in the same schema, and that nobody misses.
        types: The structs and the enums in them, by the names that the texts use.
    """

    fields: Mapping[str, str]
    dropped: Mapping[str, str] = {}
    types: Mapping[str, Structure] = {}


class EventSchemas(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """An event type.

    Attributes:
        schema: The schema that is written now.
        formerly: The stored names that its class had before.
        upcasters: The schemas for which its class has one.
        schemas: All that were ever written, as far as is known.
    """

    schema: int
    formerly: tuple[str, ...] = ()
    upcasters: tuple[int, ...] = ()
    schemas: Mapping[int, Fields]

    @property
    def latest(self) -> Fields:
        """What is written now."""
        return self.schemas[self.schema]


class AggregateSchemas(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A kind of aggregate.

    Attributes:
        events: By stored name.
        upcasters: The stored types, with their schemas, for which the aggregate has one.
    """

    events: Mapping[str, EventSchemas]
    upcasters: Mapping[str, tuple[int, ...]] = {}

    def readers(self) -> dict[str, tuple[str, EventSchemas]]:
        """Who reads each stored name, former ones too: the present name, and its schemas."""
        return {
            stored: (name, event)
            for name, event in self.events.items()
            for stored in (*event.formerly, name)
        }

    def first_upcaster(self, event_type: str, schema: int) -> tuple[int, bool] | None:
        """Which upcaster is the first that events of a stored type and schema go through, if any.

        Returns:
            The schema that it is given, and whether it is the aggregate's.
        """
        own = self.upcasters.get(event_type, ())
        if event_type not in self.readers():
            return (schema, True) if schema in own else None
        present, event = self.readers()[event_type]
        own = (*own, *self.upcasters.get(present, ()))
        reached = [each for each in (*event.upcasters, *own) if schema <= each <= event.schema]
        first = min(reached, default=None)
        return None if first is None else (first, first in own)

    def can_read(self, event_type: str, schema: int) -> bool:
        """Whether there is a class or an upcaster for a stored type and schema."""
        reader = self.readers().get(event_type)
        return schema in self.upcasters.get(event_type, ()) or (
            reader is not None and schema <= reader[1].schema
        )


Schemas: TypeAlias = Mapping[str, AggregateSchemas]
"""By the stored name of the kind of aggregate."""


def merged(known: Schemas, today: Schemas) -> Schemas:
    """What is known after today's code was released: nothing of before is forgotten."""
    names = sorted({*known, *today})
    return {name: _merged(known.get(name), today.get(name)) for name in names}


def _merged(known: AggregateSchemas | None, today: AggregateSchemas | None) -> AggregateSchemas:
    if known is None or today is None:
        both = known or today
        assert both is not None  # noqa: S101  # one of them has the name
        return both
    events = {
        name: _with_former(known.events.get(name), today.events.get(name))
        for name in sorted({*known.events, *today.events})
    }
    unread = {
        name: tuple(each for each in schemas if not today.can_read(name, each))
        for name, schemas in known.upcasters.items()
    }
    names = sorted({*today.upcasters, *(name for name, schemas in unread.items() if schemas)})
    upcasters = {
        name: tuple(sorted({*today.upcasters.get(name, ()), *unread.get(name, ())}))
        for name in names
    }
    return AggregateSchemas(events=events, upcasters=upcasters)


def _with_former(known: EventSchemas | None, today: EventSchemas | None) -> EventSchemas:
    if known is None or today is None:
        both = known or today
        assert both is not None  # noqa: S101  # one of them has the name
        return both
    schemas = {**known.schemas, today.schema: today.latest}
    before = known.schemas.get(today.schema)
    if before is not None:
        schemas[today.schema] = _with_dropped(before, today.latest)
    return msgspec.structs.replace(
        today,
        formerly=tuple(dict.fromkeys((*today.formerly, *known.formerly))),
        schemas=dict(sorted(schemas.items())),
    )


def _with_dropped(before: Fields, today: Fields) -> Fields:
    gone = {**before.dropped, **before.fields}
    dropped = {name: text for name, text in gone.items() if name not in today.fields}
    types = {**before.types, **today.types} if dropped else today.types
    return Fields(fields=today.fields, dropped=dropped, types=dict(sorted(types.items())))
