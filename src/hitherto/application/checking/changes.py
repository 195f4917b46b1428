"""What has changed since the schema file was written, and what of it breaks stored events."""

from collections.abc import Iterator
from functools import partial

from hitherto.application.checking.problems import Problem, ProblemKind, remedy
from hitherto.application.checking.reading import issues
from hitherto.application.checking.schemas import (
    AggregateSchemas,
    EventSchemas,
    Fields,
    Schemas,
    merged,
)

_UNJUDGED = "what that gives, only stored events can tell"


def changes(known: Schemas, today: Schemas) -> list[Problem]:
    """What breaks of all that was ever written, and what is worth knowing.

    Args:
        known: What the schema file knows.
        today: What the code reads.
    """
    found: list[Problem] = []
    for name, aggregate in known.items():
        if name in today:
            found += _Aggregate(name, aggregate, today[name]).changes()
        else:
            what = f"the aggregate {name!r} is in the file, and in none of the modules"
            told = remedy("aggregate-removed", aggregate_type=name)
            found.append(
                Problem(kind="aggregate-removed", aggregate_type=name, what=what, remedy=told)
            )
    found += [
        Problem(kind="type-added", aggregate_type=name, what="is new")
        for name in today
        if name not in known
    ]
    if merged(known, today) != known:
        what = "the file does not tell of all that the code writes now: run it with --update"
        found.append(Problem(kind="file-behind", aggregate_type="", what=what))
    return sorted(found, key=lambda each: not each.breaks)


class _Aggregate:
    """Compares one kind of aggregate."""

    def __init__(self, name: str, known: AggregateSchemas, today: AggregateSchemas) -> None:
        self._name, self._known, self._today = name, known, today
        self._readers = today.readers()
        self._note = partial(Problem, aggregate_type=name)

    def changes(self) -> Iterator[Problem]:
        """Of each stored name that was ever in use."""
        for name, event in self._known.events.items():
            yield from self._event(name, event)
            for former in event.formerly:
                if former not in self._known.events and former not in self._readers:
                    yield from self._unread(former, event, [1])
        for name, schemas in self._known.upcasters.items():
            yield from self._upcasters(name, schemas)
        for name in self._today.events:
            if name not in self._known.events:
                yield self._note(kind="type-added", event_type=name, what="is new")

    def _event(self, name: str, event: EventSchemas) -> Iterator[Problem]:
        reader = self._readers.get(name)
        if reader is None:
            yield from self._unread(name, event, list(event.schemas))
            return
        present, today = reader
        if present != name:
            what = f"is read as {present}"
            yield self._note(kind="renamed", event_type=name, what=what)
        for schema, fields in event.schemas.items():
            yield from self._schema(name, schema, fields, present, today)
        for schema in event.upcasters:
            first = self._today.first_upcaster(name, schema)
            if schema < today.schema and (first is None or first[0] != schema):
                what = f"the upcaster of {present} for schema {schema} is gone"
                yield self._problem("upcaster-removed", what, name, schema, present)

    def _unread(self, name: str, event: EventSchemas, schemas: list[int]) -> Iterator[Problem]:
        """A stored name that no class has."""
        retired = self._today.upcasters.get(name, ())
        for schema in schemas:
            if schema in retired:
                what = f"goes through the upcaster of {self._name}; {_UNJUDGED}"
                yield self._note(kind="retired", event_type=name, schema=schema, what=what)
                continue
            what = f"{name} of schema {schema} is read by no class and no upcaster"
            alike = [
                each
                for each, other in self._today.events.items()
                if each not in self._known.events and other.latest.fields == event.latest.fields
            ]
            renamed = f"; renamed to {alike[0]}?" if len(alike) == 1 else ""
            yield self._problem("type-removed", f"{what}{renamed}", name, schema)

    def _schema(
        self, name: str, schema: int, fields: Fields, present: str, today: EventSchemas
    ) -> Iterator[Problem]:
        """One schema of a stored name that a class has."""
        if schema > today.schema:
            what = f"{present} has schema {today.schema}, and had {schema}"
            yield self._problem("schema-lowered", what, name, schema, present)
            return
        first, of_aggregate = self._today.first_upcaster(name, schema) or (None, False)
        if first is not None:
            whose = f" of {self._name}" if of_aggregate else ""
            what = f"goes through the upcaster{whose} for schema {first}; {_UNJUDGED}"
            yield self._note(kind="upcast", event_type=name, schema=schema, what=what)
        target = today.latest if first is None else self._expected(name, present, first)
        if target is None or schema == first:
            return
        for issue in issues(fields, target):
            what = issue.what if first is None else f"{issue.what} (as of schema {first})"
            told = remedy(issue.kind, schema=schema, reader=present, now=today.schema)
            yield Problem(
                kind=issue.kind,
                aggregate_type=self._name,
                event_type=name,
                schema=schema,
                field=issue.path,
                what=what,
                remedy=told,
            )

    def _expected(self, name: str, present: str, schema: int) -> Fields | None:
        """What the upcaster for a schema is given, if the file knows that."""
        for each in (name, present):
            if each in self._known.events and schema in self._known.events[each].schemas:
                return self._known.events[each].schemas[schema]
        return None

    def _upcasters(self, name: str, schemas: tuple[int, ...]) -> Iterator[Problem]:
        for schema in schemas:
            if self._today.first_upcaster(name, schema) == (schema, True):
                continue
            known = self._known.events.get(name)
            if known is not None and schema in known.schemas and name not in self._readers:
                continue  # It is told already.
            what = f"the upcaster of {self._name} for {name} of schema {schema} is gone"
            yield self._problem("upcaster-removed", what, name, schema)

    def _problem(
        self, kind: ProblemKind, what: str, name: str, schema: int, reader: str = ""
    ) -> Problem:
        told = remedy(
            kind, aggregate_type=self._name, event_type=name, schema=schema, reader=reader
        )
        return Problem(
            kind=kind,
            aggregate_type=self._name,
            event_type=name,
            schema=schema,
            what=what,
            remedy=told,
        )
