"""What is asked of a table of before, in whichever database it is."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from hitherto.application.adopting.adoption import Row


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A write to a row that was captured.

    Attributes:
        id: Its place: changes of one key are in their order, those of others may come late.
        change_id: Unlike any other, of whichever capture.
        key: Of the row, as text.
        before: The row before; None: it was not there.
        after: The row after; None: it is gone.
    """

    id: int
    change_id: str
    key: str
    before: Row | None
    after: Row | None


class PlacedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row, and what of its captured changes is in there.

    Attributes:
        key: Of the row, as text.
        row: It.
        contained: The ids of changes that nobody has taken over, all of which it contains.
    """

    key: str
    row: Row
    contained: Sequence[str]


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A change that could not be taken over; it waits, and so do later ones of its key."""

    key: str
    reason: str


class Settling(Protocol):
    """A transaction in which the table is written, and of which the capture takes no notice.

    One at a time is open on a table, whichever process it is of.
    """

    async def finish(self, ids: Collection[int], refused: Mapping[int, str]) -> None:
        """Drop changes that are taken over, and say of others why they are not."""
        ...

    async def rows(self, keys: Collection[str], *, lock: bool = False) -> Mapping[str, Row]:
        """Rows by key, of those that are there.

        Args:
            keys: Which.
            lock: Keep others from writing them, until the end.

        Raises:
            AggregateLocked: Somebody else writes one.
        """
        ...

    async def waiting(self, keys: Collection[str]) -> Collection[str]:
        """Those of the keys that have changes which are not taken over."""
        ...

    async def insert(self, key: str, row: Row) -> None:
        """Make a row; one that is there meanwhile stays as it is."""
        ...

    async def update(self, key: str, row: Row) -> None:
        """Set columns of a row."""
        ...

    async def delete(self, key: str) -> None:
        """Delete a row."""
        ...


class LegacyTable(Protocol):
    """A table of before.

    Every method raises `EventStoreUnavailable` when its database cannot be reached.

    Attributes:
        name: Its name, with its schema's where there are schemas.
        key: The column that tells rows apart.
        columns: The names of all columns.
    """

    name: str
    key: str
    columns: Sequence[str]

    async def open(self) -> None:
        """Connect, and look at the table.

        Raises:
            ConfigurationError: There is none, or its key cannot be one.
        """
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...

    async def count(self) -> int:
        """How many rows there are."""
        ...

    async def page(self, after: str | None, limit: int) -> Sequence[PlacedRow]:
        """The next rows, in the order of the key, all of one moment."""
        ...

    async def rows(self, keys: Collection[str]) -> Mapping[str, Row]:
        """Rows by key, of those that are there."""
        ...

    async def install(self) -> None:
        """Capture each write from now on; doing it again mends what has changed."""
        ...

    async def remove(self, *, force: bool = False) -> None:
        """Capture no more, and drop what was made for it.

        Raises:
            ConfigurationError: Changes wait to be taken over, and it is not forced.
        """
        ...

    async def is_captured(self) -> bool:
        """Whether writes are captured."""
        ...

    async def changes(self, limit: int) -> Sequence[Change]:
        """The first changes that wait; without those of keys of which one was refused."""
        ...

    async def refused(self, limit: int) -> tuple[int, Sequence[Refused]]:
        """How many changes were refused, and the first of them."""
        ...

    async def retry(self) -> None:
        """Let changes that were refused be tried again."""
        ...

    def settling(self) -> AbstractAsyncContextManager[Settling]:
        """A transaction in which to write the table.

        Raises:
            AggregateLocked: Somebody else has one open, for longer than a moment.
        """
        ...
