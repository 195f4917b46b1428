"""How much is measured: sizes, rounds and time budgets."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The extent of a run.

    Attributes:
        name: "full" or "quick".
        limit: Seconds that the whole run may take; families that no longer fit get one round.
        rounds: The most rounds of a family; fewer where its budget does not allow them.
        budget: What a family's share of seconds is multiplied by.
        seconds: How long one measurement of a rate lasts.
        threads: Numbers of threads to try for the peer that works with threads.
        tasks: Numbers of concurrent tasks.
        appends: Sizes of one append.
        streams: Lengths of the streams to load.
        fines: How many fines of the log are imported and read.
        peer_fines: How many of them the peer imports before it reads, for it is slow.
        patience: Seconds after which a bounded measurement of a peer stops.
        stall: Seconds after which a peer's single operation counts as stalled.
        sustained: Seconds of the sustained load.
        growth: Numbers of stored events.
        rebuild: The events of which a view is rebuilt.
    """

    name: str
    limit: float
    rounds: int
    budget: float
    seconds: float
    threads: tuple[int, ...]
    tasks: tuple[int, ...]
    appends: tuple[int, ...]
    streams: tuple[int, ...]
    fines: int
    peer_fines: int
    patience: float
    stall: float
    sustained: float
    growth: tuple[int, ...]
    rebuild: int


FULL = Plan(
    name="full",
    limit=40 * 60,
    rounds=9,
    budget=0.7,
    seconds=2.0,
    threads=(1, 2, 4, 8, 16),
    tasks=(1, 10, 100, 1000, 5000),
    appends=(100, 1000, 10_000),
    streams=(10, 100, 1000, 10_000, 100_000),
    fines=100_000,
    peer_fines=10_000,
    patience=15.0,
    stall=20.0,
    sustained=60.0,
    growth=(10_000, 1_000_000, 5_000_000),
    rebuild=1_000_000,
)
QUICK = Plan(
    name="quick",
    limit=100,
    rounds=3,
    budget=0.02,
    seconds=0.4,
    threads=(1, 4),
    tasks=(1, 100, 1000),
    appends=(100, 1000, 10_000),
    streams=(10, 100, 1000),
    fines=2000,
    peer_fines=300,
    patience=1.0,
    stall=5.0,
    sustained=3.0,
    growth=(10_000, 50_000, 100_000),
    rebuild=20_000,
)
