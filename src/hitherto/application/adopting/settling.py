"""`settle`: rows become what their aggregates say."""

from collections.abc import Collection, Mapping
from types import MappingProxyType

from hitherto.application.adopting.adoption import Row
from hitherto.application.adopting.mapped import CannotMap, Mapped, differing
from hitherto.application.adopting.ports import Settling
from hitherto.errors import InvalidInput

_NONE: Mapping[int, str] = MappingProxyType({})


async def settle(
    mapped: Mapped,
    keys: Collection[str],
    *,
    taken: Collection[int] = (),
    refused: Mapping[int, str] = _NONE,
) -> int:
    """Write the rows that are not what their aggregates say, in one transaction.

    A row of which a change waits is left to who takes that over, and then settles it. Since one at
    a time settles a table, and folds are loaded meanwhile, none writes what is older than what is
    there.

    Args:
        mapped: The table and the aggregate.
        keys: Of the rows.
        taken: Changes of these rows that are taken over, and are dropped in the same transaction.
        refused: Why other changes are not.

    Returns:
        How many rows were written.

    Raises:
        AggregateLocked: Somebody else writes one of the rows, or settles.
        InvalidInput: The mapping cannot tell what a row is to be; nothing was written.
        EventStoreError: The database refuses what was to be written; nothing was.
    """
    async with mapped.table.settling() as turn:
        await turn.finish(taken, refused)
        wanted = await _wanted(mapped, keys)
        rows = await turn.rows(wanted)
        stale = {key for key, row in wanted.items() if _differs(row, rows.get(key))}
        if not stale:
            return 0
        rows = await turn.rows(stale, lock=True)
        settled = sorted(stale.difference(await turn.waiting(stale)))
        for key in settled:
            await _write(turn, key, wanted[key], rows.get(key))
        return len(settled)


async def _wanted(mapped: Mapped, keys: Collection[str]) -> dict[str, Row | None]:
    """The rows that stand for aggregates; without what is no aggregate yet."""
    folds = await mapped.folds(keys)
    try:
        return {key: mapped.row_of(fold) for key, fold in folds.items()}
    except CannotMap as error:
        raise InvalidInput(f"the mapping cannot tell a row: {error}") from error


def _differs(wanted: Row | None, row: Row | None) -> bool:
    if wanted is None or row is None:
        return wanted is not row
    return bool(differing(wanted, row))


async def _write(turn: Settling, key: str, wanted: Row | None, row: Row | None) -> None:
    if wanted is None:
        if row is not None:
            await turn.delete(key)
    elif row is None:
        await turn.insert(key, wanted)
    elif columns := differing(wanted, row):
        await turn.update(key, {name: wanted[name] for name in columns})
