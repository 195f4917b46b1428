"""`compare`: whether each row is what its aggregate says, and the other way round."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from hitherto.application.adopting.adoption import Row
from hitherto.application.adopting.mapped import CannotMap, Mapped, differing
from hitherto.application.refolding import Progress, in_silence
from hitherto.domain.aggregate import Aggregate
from hitherto.errors import HithertoError, InvalidInput, Unavailable

PAGE = 500
_AGAIN = 1000  # rows that are looked at again, for what is under way
_LOOKS, _PAUSE = 3, 0.5  # seconds

Kind: TypeAlias = Literal["differs", "missing", "extra", "unreadable"]
"""The two differ; a row has no aggregate; an aggregate has no row; or it cannot be told."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A row and an aggregate that are not one.

    Attributes:
        key: Of the row, as text.
        aggregate_id: Of the aggregate.
        kind: What is wrong.
        columns: Those that differ: the value in the row and that of the aggregate, as Python
            writes them.
        reason: Why it cannot be told.
    """

    key: str
    aggregate_id: str
    kind: Kind
    columns: Mapping[str, tuple[str, str]] = {}
    reason: str = ""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """How a table compares with its aggregates.

    Attributes:
        rows: How many were compared.
        aggregates: How many have a row, or should.
        counts: How many are not as they should be, by kind.
        differences: The first of these.
    """

    rows: int
    aggregates: int
    counts: Mapping[Kind, int]
    differences: Sequence[Difference]

    @property
    def equal(self) -> bool:
        """Whether all is as it should be."""
        return not any(self.counts.values())


async def compare(mapped: Mapped, *, show: int = 10, progress: Progress = in_silence) -> Compared:
    """Compare each row of a table with its aggregate, and look for aggregates without a row.

    All that is told by `row_of` is compared. Where few differ they are looked at again, for a
    change may be under way.

    Args:
        mapped: The table and the aggregate.
        show: Of how many differences to tell.
        progress: Told how far it has come.

    Raises:
        ConfigurationError: The mapping has no `row_of`.
        EventStoreUnavailable: The store, or the table's database, cannot be reached.
    """
    mapped.need("row_of")
    return await _Comparing(mapped, max(show, _AGAIN)).run(show, progress)


class _Comparing:
    def __init__(self, mapped: Mapped, keep: int) -> None:
        self._mapped = mapped
        self._keep = keep
        self._counts: dict[Kind, int] = {"differs": 0, "missing": 0, "extra": 0, "unreadable": 0}
        self._found: list[Difference] = []
        self._aggregates = 0

    async def run(self, show: int, progress: Progress) -> Compared:
        """Go through the rows, then through the aggregates."""
        rows = await self._rows(progress)
        await self._extra(progress)
        for _ in range(_LOOKS - 1):
            if not self._found or len(self._found) < sum(self._counts.values()):
                break
            await asyncio.sleep(_PAUSE)
            await self._look_again()
        return Compared(
            rows=rows,
            aggregates=self._aggregates,
            counts=self._counts,
            differences=self._found[:show],
        )

    async def _rows(self, progress: Progress) -> int:
        table = self._mapped.table
        total = await table.count()
        rows, after = 0, None
        while page := await table.page(after, PAGE):
            found = {each.key: each.row for each in page}
            self._note(await self._compared(found, found))
            rows, after = rows + len(page), page[-1].key
            progress("comparing rows", rows, max(total, rows))
        return rows

    async def _extra(self, progress: Progress) -> None:
        """Aggregates are in an order of their own, so rows are looked up by key."""
        mapped, backend = self._mapped, self._mapped.store.backend
        after, seen = "", 0
        while ids := await backend.aggregate_ids(mapped.repository._type, after=after, limit=PAGE):
            after, seen = ids[-1], seen + len(ids)
            keys = [key for key in map(mapped.key_of, ids) if key is not None]
            rows = await mapped.table.rows(keys)
            lacking = [key for key in keys if key not in rows]
            without = await self._compared(lacking, {})
            self._aggregates += len(keys) - len(lacking) + len(without)
            self._note(without)
            progress("comparing aggregates", seen, None)

    async def _look_again(self) -> None:
        keys = [each.key for each in self._found]
        self._found = []
        self._counts = dict.fromkeys(self._counts, 0)
        for first in range(0, len(keys), PAGE):
            part = keys[first : first + PAGE]
            self._note(await self._compared(part, await self._mapped.table.rows(part)))

    def _note(self, differences: Iterable[Difference]) -> None:
        for each in differences:
            self._counts[each.kind] += 1
            if len(self._found) < self._keep:
                self._found.append(each)

    async def _compared(self, keys: Iterable[str], rows: Mapping[str, Row]) -> list[Difference]:
        """What is wrong with some, whether there is a row or not."""
        keys = list(keys)
        try:
            folds = await self._mapped.folds(keys)
        except Unavailable:
            raise
        except (HithertoError, InvalidInput) as error:
            if len(keys) == 1:
                return [self._difference(keys[0], "unreadable", reason=str(error))]
            return [found for key in keys for found in await self._compared([key], rows)]
        judged = [self._judged(key, rows.get(key), folds.get(key)) for key in keys]
        return [each for each in judged if each is not None]

    def _judged(
        self, key: str, row: Row | None, aggregate: Aggregate[Any] | None
    ) -> Difference | None:
        try:
            fold = None if aggregate is None else self._mapped.row_of(aggregate)
        except CannotMap as error:
            return self._difference(key, "unreadable", reason=str(error))
        if row is None or fold is None:
            if row is None and fold is None:
                return None
            return self._difference(key, "extra" if row is None else "missing")
        columns = {each: (repr(row[each]), repr(fold[each])) for each in differing(fold, row)}
        return self._difference(key, "differs", columns=columns) if columns else None

    def _difference(self, key: str, kind: Kind, **told: Any) -> Difference:
        return Difference(key=key, aggregate_id=self._mapped.id_of(key), kind=kind, **told)
