"""An aggregate to try a feature with."""

from hitherto import Aggregate, Event, Repository, Store


class Counted(Event):
    by: int


class Counter(Aggregate[Counted]):
    total: int = 0

    def count(self, by: int) -> None:
        self.record(Counted(by=by))

    def apply(self, event: Counted) -> None:
        self.total += event.by


async def count(store: Store) -> int:
    """Save, load, and tell the total."""
    counters = Repository(store, Counter)
    counter = Counter("counter-1")
    counter.count(2)
    await counters.save(counter)
    return (await counters.load("counter-1")).total
