"""`Problem`: what breaks, or is worth knowing, and what to do about it."""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

import msgspec

ProblemKind: TypeAlias = Literal[
    "aggregate-removed",
    "type-removed",
    "schema-lowered",
    "upcaster-removed",
    "field-removed",
    "field-required",
    "type-narrowed",
    "type-changed",
    "aggregate-unknown",
    "type-unknown",
    "schema-newer",
    "undecodable",
    "key-unread",
    "not-as-written",
]
"""What breaks: first by the schema file, then what was found in the store."""

NoteKind: TypeAlias = Literal[
    "upcast",
    "retired",
    "renamed",
    "type-added",
    "read-otherwise",
    "default-changed",
    "personal-added",
    "personal-removed",
    "file-behind",
]
"""What breaks nothing."""

_ACCEPT: Final = "or, where no such event was released, accept it with --update"
_REMEDIES: Final[Mapping[str, str]] = {
    "aggregate-removed": (
        "name its module too; if its class has another name now, give it type={aggregate_type!r}; "
        "if nothing of it is stored, take it out of the file"
    ),
    "type-removed": (
        "give the class that reads it formerly={event_type!r}, or register "
        "{owner}.upcast({event_type!r}, …) for what stands for it; if no such event is stored, "
        "take it out of the file"
    ),
    "schema-lowered": "put schema={schema} back: what is stored tells it",
    "upcaster-removed": "put it back: what is stored has not changed",
    "aggregate-unknown": "name its module too",
    "type-unknown": (
        "give the class that reads it formerly={event_type!r}, or register "
        "{owner}.upcast({event_type!r}, …) for what stands for it"
    ),
    "schema-newer": "run the code that has written them, or a later one",
    "undecodable": (
        "let the code read what is stored: a default for a new field, a wider type, or "
        "{reader}.upcast({schema}) with schema={next}"
    ),
    "key-unread": (
        "where it means something, raise schema= to {next} and register {reader}.upcast({schema})"
    ),
    "not-as-written": "look who wrote it; events are to be written by the code",
}  # fmt: skip
_FIELD_NOW: Final = (
    "raise schema= to {next} and register {reader}.upcast({schema}){or_default}; " + _ACCEPT
)
_FIELD_BEFORE: Final = "register {reader}.upcast({schema}){or_default}"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that breaks the reading of events, or a note.

    Attributes:
        kind: Its name, for programs.
        aggregate_type: Of which kind of aggregate.
        event_type: Of which stored event type, if it is about one.
        schema: Of which schema version, if it is about one.
        field: Of which field, if it is about one.
        what: A sentence.
        remedy: What to do about it; None: a note, which breaks nothing.
        events: How many stored events it is about, if a store was read.
        undecodable: How many of them cannot be decoded.
        position: The first of them, if it was found in the store.
    """

    kind: ProblemKind | NoteKind
    aggregate_type: str
    event_type: str | None = None
    schema: int | None = None
    field: str | None = None
    what: str
    remedy: str | None = None
    events: int | None = None
    undecodable: int | None = None
    position: int | None = None

    @property
    def breaks(self) -> bool:
        """Whether it is more than a note."""
        return self.kind in get_args(ProblemKind)


def remedy(
    kind: ProblemKind | NoteKind,
    *,
    aggregate_type: str = "",
    event_type: str = "",
    schema: int = 0,
    reader: str = "",
    now: int | None = None,
) -> str | None:
    """What to do about a problem; None: nothing, it is a note.

    Args:
        kind: It.
        aggregate_type: The stored name, which the class is taken to have too.
        event_type: The stored name.
        schema: That of the events.
        reader: The present name of the event type.
        now: The schema that is written now.
    """
    if kind in get_args(NoteKind):
        return None
    text = _REMEDIES.get(kind) or (_FIELD_NOW if schema == now else _FIELD_BEFORE)
    return text.format(
        aggregate_type=aggregate_type,
        owner=aggregate_type,
        event_type=event_type,
        schema=schema,
        next=schema + 1 if now is None else max(now, schema + 1),
        reader=reader,
        or_default=", or give it a default" if kind == "field-required" else "",
    )
