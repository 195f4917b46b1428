"""One comparison, from the processes to the report."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence

import msgspec

from hitherto import Store
from hitherto.application.comparing import Compared, Pair, compare
from hitherto.application.refolding import all_ids
from hitherto.application.verifying import drawn
from hitherto.cli.connecting import connect
from hitherto.cli.progress import bars
from hitherto.cli.replay_diff.matching import Matches, matched
from hitherto.cli.replay_diff.messages import Open
from hitherto.cli.replay_diff.revisions import Code
from hitherto.cli.replay_diff.workers import Worker, WorkerSide, workers
from hitherto.errors import AggregateNotFound


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says; see `replay_diff`.

    Attributes:
        pairs: How many processes fold with each version.
    """

    url: str
    schema: str
    ids: Sequence[str]
    sample: int | None
    ignored: Sequence[str]
    strict: bool
    show: int
    pairs: int
    timeout: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    Attributes:
        matches: What was compared.
        results: Of each kind that both versions have, and that was asked for.
        strict: Whether a kind that only one of them has is a difference.
    """

    matches: Matches
    results: tuple[Compared, ...]
    strict: bool

    @property
    def compared(self) -> bool:
        """Whether there was anything that a version could fold."""
        return any(each.aggregates > each.both_fail for each in self.results)

    @property
    def equal(self) -> bool:
        """Whether something was compared, and the versions fold it alike."""
        alone = self.strict and (self.matches.only_in_old or self.matches.only_in_new)
        differ = any(each.differing for each in self.results)
        return self.compared and not alone and not differ


async def run(codes: Sequence[Code], options: Options) -> Report:
    """Compare an old and a new version of the code on what a store holds.

    Raises:
        AggregateNotFound: There is no aggregate with one of the ids, of a kind that both have.
        ConfigurationError: A version cannot be imported, or they have nothing in common.
        EventStoreError: The store cannot be read.
        InvalidInput: A field that is to be ignored is in neither.
        WorkerLost: A process died, or hangs.
    """
    async with workers([*codes] * options.pairs, options.timeout) as processes:
        old, new, *_ = await asyncio.gather(*(each.load() for each in processes))
        matches = matched(old, new, ignored=options.ignored, strict=options.strict)
        fields = {each.aggregate_type: list(each.fields) for each in matches.kinds}
        async with connect(options.url, schema=options.schema, migrate=False) as store:
            chosen = await _by_type(store, options.ids, fields)
            request = Open(options.url, options.schema, fields)
            await asyncio.gather(*(each.open(request) for each in processes))
            results = [
                await _compared(store, name, processes, options, chosen.get(name, []))
                for name in chosen or fields
            ]
    return Report(matches=matches, results=tuple(results), strict=options.strict)


async def _compared(
    store: Store,
    aggregate_type: str,
    processes: Sequence[Worker],
    options: Options,
    chosen: Sequence[str],
) -> Compared:
    """Compare the aggregates of one kind, or those of them that were chosen."""
    sides = [WorkerSide(each, aggregate_type) for each in processes]
    ids = _each(chosen) if chosen else all_ids(store.backend.aggregate_ids, aggregate_type)
    with bars() as progress:
        return await compare(
            store.backend,
            aggregate_type,
            [Pair(*pair) for pair in zip(sides[::2], sides[1::2], strict=True)],
            ids if options.sample is None else drawn(ids, options.sample),
            show=options.show,
            total=len(chosen) or options.sample,
            progress=progress,
        )


async def _each(ids: Sequence[str]) -> AsyncIterator[str]:
    for each in ids:
        yield each


async def _by_type(
    store: Store, ids: Sequence[str], types: Collection[str]
) -> dict[str, list[str]]:
    """The ids that were chosen, by the stored names of their kinds."""
    found: dict[str, list[str]] = {}
    for each in dict.fromkeys(ids):
        first = await store.backend.read(each, limit=1)
        if not first or first[0].aggregate_type not in types:
            raise AggregateNotFound(each, " or ".join(types))
        found.setdefault(first[0].aggregate_type, []).append(each)
    return found
