"""A row of the fault matrix: what it breaks, and what came out."""

from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import msgspec


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a row.

    Attributes:
        seed: All randomness comes from it, so that a run can be replayed.
        count: How many faults to inject, at least.
        directory: For files of its own; removed afterwards.
    """

    seed: int
    count: int
    directory: Path

    def random(self, name: str = "") -> Random:
        """A generator for one purpose; the same name gives the same numbers in every run."""
        return Random(f"{self.seed}/{name}")


class Outcome(msgspec.Struct, kw_only=True):
    """What came out of a run.

    Attributes:
        faults: How many of each kind were injected.
        operations: How many ended "ok", "failed" or "unknown".
        violations: What contradicts the promises, in sentences; empty is good.
        notes: What a reader of the report should know, such as a longest recovery.
    """

    faults: Counter[str] = msgspec.field(default_factory=Counter)
    operations: Counter[str] = msgspec.field(default_factory=Counter)
    violations: list[str] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)


class Skipped(Exception):
    """This machine lacks what the row needs; the message says what."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of fault, and how to inject it.

    Attributes:
        title: As the report shows it.
        promises: The numbers of the promises that it tests, such as "1, 2".
        run: Injects the faults under load, lets the system recover, and checks the history.
        full: How many faults `make faults` injects.
        quick: How many `make test` does.
    """

    title: str
    promises: str
    run: Callable[[Run], Awaitable[Outcome]]
    full: int
    quick: int
