"""`Mapped`: an aggregate and a table that stand for each other."""

from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

import msgspec

from hitherto.application.adopting.adoption import Adoption, Row
from hitherto.application.adopting.ports import Change, LegacyTable
from hitherto.application.records import Append
from hitherto.application.repository import Repository
from hitherto.application.saving import prepare
from hitherto.application.store import Store
from hitherto.domain.aggregate import Aggregate
from hitherto.domain.event import Event
from hitherto.domain.identifiers import check_identifier
from hitherto.domain.metadata import Metadata
from hitherto.errors import ConfigurationError

_NAMESPACE = UUID("6d1f4d0a-3c53-4a44-9b2e-0d5b7f6a9c11")  # drawn once, for ids of baselines


class CannotMap(Exception):  # noqa: N818  # it never leaves this package
    """A row, or a change, that the mapping refuses; its text says why."""


class Mapped:
    """An aggregate and a table that stand for each other.

    Args:
        store: Where the aggregates are.
        aggregate: What `Repository` takes.
        adoption: The mapping.
        table: The rows; open.

    Attributes:
        repository: Loads the aggregates; it takes no snapshots.
        scope: Under which changes that were taken over are marked.
    """

    def __init__(
        self, store: Store, aggregate: Any, adoption: Adoption[Any], table: LegacyTable
    ) -> None:
        self.repository: Repository[Any] = Repository(store, aggregate, snapshot_every=None)
        self.store = store
        self.table = table
        self.scope: str = check_identifier("the adoption's scope", f"adopt:{table.name}")
        self._adoption = adoption
        self._checks = adoption.offers("row_of")

    def need(self, *methods: str) -> None:
        """See that the mapping has methods.

        Raises:
            ConfigurationError: It lacks one.
        """
        for method in methods:
            if not self._adoption.offers(method):
                raise ConfigurationError(
                    f"{type(self._adoption).__qualname__} has no {method}, which this needs: write "
                    "the method; see hitherto.Adoption"
                )

    def id_of(self, key: str) -> str:
        """The id of the aggregate that a row stands for."""
        return self._adoption.prefix + key

    def key_of(self, aggregate_id: str) -> str | None:
        """The key of the row that stands for an aggregate; None: none can."""
        prefix = self._adoption.prefix
        return aggregate_id.removeprefix(prefix) if aggregate_id.startswith(prefix) else None

    async def folds(self, keys: Collection[str]) -> dict[str, Aggregate[Any]]:
        """The aggregates of rows by key, of those that have events."""
        found = await self.repository.load_many([self.id_of(each) for each in keys])
        return {key: found[each] for key in keys if (each := self.id_of(key)) in found}

    def row_of(self, aggregate: Aggregate[Any]) -> Row | None:
        """The row that stands for an aggregate, or None if none does.

        Raises:
            CannotMap: The mapping cannot tell, or names a column that the table lacks.
        """
        with _refusing():
            row = self._adoption.row_of(aggregate)
        for name in row or ():
            if name not in self.table.columns:
                raise CannotMap(f"row_of gives {name!r}, which is no column of {self.table.name}")
        return row

    def begun(self, key: str, row: Row) -> Append:
        """The append that makes an aggregate of a row; twice the same, with the same id.

        Raises:
            CannotMap: The mapping refuses the row.
        """
        aggregate = self._new(key)
        self._begin(aggregate, row)
        (append,) = self.appends([aggregate])
        told = "\0".join((append.aggregate_type, self.table.name, key))
        first = msgspec.structs.replace(append.events[0], event_id=uuid5(_NAMESPACE, told))
        return msgspec.structs.replace(append, events=(first,))

    def change(self, aggregate: Aggregate[Any] | None, change: Change) -> Aggregate[Any]:
        """Record what a change means to an aggregate as it is; perhaps nothing.

        Only the columns that were written are taken: what became of others meanwhile stays.

        Raises:
            CannotMap: The mapping refuses the change; the aggregate is of no use any more.
        """
        if aggregate is None:
            aggregate = self._new(change.key)
        now = self.row_of(aggregate) if aggregate.version else None
        if change.after is None:
            if now is not None:
                self._record(aggregate, self._adoption.deleted, now)
                self._check(aggregate, None)
        elif now is None:
            self._begin(aggregate, change.after)
        else:
            self._merge(aggregate, now, change.before, change.after)
        return aggregate

    def appends(self, aggregates: Iterable[Aggregate[Any]]) -> list[Append]:
        """What was recorded, ready to be appended.

        Raises:
            CannotMap: An event cannot be stored.
        """
        with _refusing():
            return prepare(self.store, aggregates, Metadata(actor=self.scope))

    def _new(self, key: str) -> Aggregate[Any]:
        with _refusing():
            aggregate: Aggregate[Any] = self.repository._new(self.id_of(key))
        return aggregate

    def _begin(self, aggregate: Aggregate[Any], row: Row) -> None:
        self._record(aggregate, lambda: [self._adoption.baseline(row)])
        if self._checks:
            self._check(aggregate, row)

    def _merge(self, aggregate: Aggregate[Any], now: Row, before: Row | None, after: Row) -> None:
        """Take on the columns that were written."""
        written = [name for name in now if before is None or not same(before[name], after[name])]
        wanted = {**after, **now, **{name: after[name] for name in written}}
        if differing(now, wanted):
            self._record(aggregate, self._adoption.changed, now, wanted)
            self._check(aggregate, wanted)

    def _record(self, aggregate: Aggregate[Any], told: Any, *rows: Row) -> None:
        with _refusing():
            events: Sequence[Event] = told(*rows)
            for event in events:
                aggregate.record(event)

    def _check(self, aggregate: Aggregate[Any], wanted: Row | None) -> None:
        """See that the fold is what was wanted: the two would part without a word."""
        row = self.row_of(aggregate)
        if wanted is None:
            if row is not None:
                raise CannotMap("the row is deleted, but after these events row_of gives one")
            return
        if row is None:
            raise CannotMap("there is a row, but after these events row_of gives None")
        for name in differing(row, wanted):
            raise CannotMap(
                f"after these events row_of gives {name}={row[name]!r}, but the row has "
                f"{wanted[name]!r}"
            )


def differing(row: Row, other: Row) -> list[str]:
    """The columns of `row` that differ in the other one."""
    return [name for name, value in row.items() if not same(value, other.get(name))]


def same(value: Any, other: Any) -> bool:
    """Whether two values are one to the table; a UUID may be told as text."""
    if isinstance(value, UUID) != isinstance(other, UUID):
        return str(value) == str(other)
    if isinstance(value, float | Decimal) and value != value:  # noqa: PLR0124  # it is NaN
        return isinstance(other, float | Decimal) and other != other  # noqa: PLR0124
    return bool(value == other)


def by_key(changes: Iterable[Change]) -> Mapping[str, list[Change]]:
    """Changes of each key, in their order."""
    found: dict[str, list[Change]] = {}
    for change in changes:
        found.setdefault(change.key, []).append(change)
    return found


@contextmanager
def _refusing() -> Generator[None]:
    """Whatever the mapping or `apply` raises, the row is refused, and others go on."""
    try:
        yield
    except CannotMap:
        raise
    except Exception as error:
        raise CannotMap(f"{type(error).__name__}: {error}") from error
