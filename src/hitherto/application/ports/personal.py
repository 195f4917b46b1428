"""What is asked of whoever keeps the keys of personal fields, and where their values may be."""

import secrets
from collections.abc import Collection, Sequence
from typing import Protocol, Self

import msgspec

_BYTES = 32
_NUMBERS = 2**53  # whatever reads JSON knows each of them


class SubjectKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key under which personal fields of one subject are encrypted.

    Attributes:
        subject: Whom they are about.
        number: Tells it from all other keys of the subject, those of other stores too: events are
            copied from store to store without their keys.
        key: 32 bytes; None: it was destroyed.
    """

    subject: str
    number: int
    key: bytes | None = msgspec.field(default=None)

    @classmethod
    def new(cls, subject: str) -> Self:
        """A key that there is not yet; its number is drawn at random."""
        number = 1 + secrets.randbelow(_NUMBERS)
        return cls(subject=subject, number=number, key=secrets.token_bytes(_BYTES))

    def __repr__(self) -> str:
        return f"SubjectKey(subject={self.subject!r}, number={self.number})"


class PersonalKeys(Protocol):
    """Keeps the keys of subjects: the store's own table, or what `connect(keys=…)` is given.

    Every method raises `EventStoreUnavailable` when they cannot be reached.
    """

    async def keys(self, subjects: Collection[str]) -> Sequence[SubjectKey]:
        """All keys that these subjects have or had."""
        ...

    async def make(self, subjects: Collection[str]) -> Sequence[SubjectKey]:
        """A key of each subject under which to encrypt from now on, made where there is none.

        Of a subject that has several, as where two have asked at the same time, any one will do.
        """
        ...

    async def shred(self, subject: str) -> int:
        """Destroy the keys of a subject for good, but not their numbers; tells how many."""
        ...


class TextPlace(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Where a text was found.

    Attributes:
        table: In which of the store's tables.
        name: Of the aggregate, or of the projection.
        key: Of the row: a version, a document's key, a position.
    """

    table: str
    name: str
    key: str


class PersonalData(PersonalKeys, Protocol):
    """A store's own: keys, and what else may hold what personal fields told."""

    async def drop_snapshots(self, aggregate_ids: Sequence[str]) -> int:
        """Remove the snapshots of these aggregates; tells how many there were."""
        ...

    async def find(self, texts: Sequence[str], *, limit: int = 1000) -> Sequence[TextPlace]:
        """Where in any of the store's tables one of these texts stands. It reads everything."""
        ...
