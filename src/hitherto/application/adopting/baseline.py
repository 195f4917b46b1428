"""`adopt`: an event for each row of a table, which begins its aggregate."""

import asyncio
import random
from collections.abc import Mapping, Sequence

import msgspec

from hitherto.application.adopting.mapped import CannotMap, Mapped
from hitherto.application.adopting.ports import PlacedRow
from hitherto.application.alongside import Alongside
from hitherto.application.records import Append, Stream
from hitherto.application.refolding import Progress, in_silence
from hitherto.application.saving import append
from hitherto.domain.aggregate import check_aggregate_type
from hitherto.errors import (
    AggregateError,
    AggregateIDMismatch,
    AggregateLocked,
    AggregateVersionConflict,
    AlreadyHandled,
    ConfigurationError,
    EventStoreError,
    InvalidInput,
    SchemaMismatch,
    Unavailable,
)

PAGE = 500  # rows in a transaction
_ATTEMPTS = 20
_PAUSE = 0.05  # seconds
RIVALS = (AggregateVersionConflict, AlreadyHandled, AggregateLocked)
"""Somebody else was faster, or is at it: it may be tried again."""
OF_NO_ROW = (Unavailable, SchemaMismatch, ConfigurationError)
"""Whatever row it is, it cannot be taken over now."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A row that was not taken over, and why."""

    key: str
    reason: str


class Adopted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the rows of a table.

    Attributes:
        rows: How many were read.
        written: How many became aggregates now.
        skipped: How many were aggregates before.
        refused: How many were refused.
        refusals: The first of these.
    """

    rows: int
    written: int
    skipped: int
    refused: int
    refusals: Sequence[Refusal]


async def adopt(mapped: Mapped, *, show: int = 10, progress: Progress = in_silence) -> Adopted:
    """Begin an aggregate for each row that has none, with the event that the mapping gives.

    It is written in pages, each in one transaction. What was broken off may be run again, and goes
    on; rows that are refused do not keep the others. Where changes are captured, those that a row
    contains are marked as taken over together with it.

    Args:
        mapped: The table and the aggregate.
        show: Of how many refused rows to tell.
        progress: Told how far it has come.

    Raises:
        ConfigurationError: The mapping has no `baseline`.
        EventStoreUnavailable: The store, or the table's database, cannot be reached.
    """
    mapped.need("baseline")
    return await _Adopting(mapped, show).run(progress)


class _Adopting:
    def __init__(self, mapped: Mapped, show: int) -> None:
        self._mapped = mapped
        self._backend = mapped.store.backend
        self._definition = mapped.repository._definition
        self._show = show
        self._written = self._skipped = self._refused = 0
        self._refusals: list[Refusal] = []

    async def run(self, progress: Progress) -> Adopted:
        """Take page after page."""
        table = self._mapped.table
        total = await table.count()
        rows, after = 0, None
        while page := await table.page(after, PAGE):
            await self._take(page)
            rows, after = rows + len(page), page[-1].key
            progress("adopting", rows, max(total, rows))
        return Adopted(
            rows=rows,
            written=self._written,
            skipped=self._skipped,
            refused=self._refused,
            refusals=self._refusals,
        )

    async def _take(self, page: Sequence[PlacedRow]) -> None:
        fresh: dict[str, tuple[PlacedRow, Append]] = {}
        standing = await self._standing(page)
        for each in page:
            if each.key in standing:
                self._pass_over(each.key, standing[each.key])
                continue
            try:
                fresh[each.key] = each, self._mapped.begun(each.key, each.row)
            except CannotMap as refusal:
                self._refuse(each.key, refusal)
        if not fresh:
            return
        contained = [change for each, _ in fresh.values() for change in each.contained]
        try:
            await self._append([begun for _, begun in fresh.values()], contained)
        except OF_NO_ROW:
            raise
        except (AggregateError, AlreadyHandled, EventStoreError, InvalidInput):
            for each, begun in fresh.values():
                await self._take_alone(each, begun)
        else:
            self._written += len(fresh)

    async def _take_alone(self, row: PlacedRow, begun: Append) -> None:
        for left in reversed(range(_ATTEMPTS)):
            standing = await self._standing([row])
            if row.key in standing:
                self._pass_over(row.key, standing[row.key])
                return
            handled = await self._backend.handled(self._mapped.scope, list(row.contained))
            contained = [each for each in row.contained if each not in handled]
            try:
                await self._append([begun], contained)
            except RIVALS:
                if not left:
                    raise
                await asyncio.sleep(_PAUSE * random.random())  # noqa: S311  # jitter
            except OF_NO_ROW:
                raise
            except (AggregateError, EventStoreError, InvalidInput) as error:
                self._refuse(row.key, error)
                return
            else:
                self._written += 1
                return

    async def _append(self, appends: Sequence[Append], contained: Sequence[str]) -> None:
        alongside = Alongside(scope=self._mapped.scope, handled=contained) if contained else None
        await append(self._mapped.store, appends, alongside)

    async def _standing(self, page: Sequence[PlacedRow]) -> Mapping[str, Exception | None]:
        """The keys whose aggregates there are; with an error where they are of another type."""
        ids = {each.key: self._mapped.id_of(each.key) for each in page}
        found = await self._backend.load_many(
            list(ids.values()), fingerprint=self._mapped.repository._snapshots.fingerprint
        )
        return {key: self._foreign(found[each], each) for key, each in ids.items() if each in found}

    def _foreign(self, stream: Stream, aggregate_id: str) -> Exception | None:
        for row in stream.events[-1:]:
            try:
                check_aggregate_type(self._definition, aggregate_id, row[4])
            except AggregateIDMismatch as error:
                return error
        return None

    def _pass_over(self, key: str, error: Exception | None) -> None:
        if error is None:
            self._skipped += 1
        else:
            self._refuse(key, error)

    def _refuse(self, key: str, error: Exception) -> None:
        self._refused += 1
        if len(self._refusals) < self._show:
            self._refusals.append(Refusal(key=key, reason=str(error)))
