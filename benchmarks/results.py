"""All samples of a run, and what they come to."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measuring import Sample, median

OURS = "hitherto"
PEER = "eventsourcing"
FUNCTIONS = "eventsourcing, functions"
EVENTSOURCE_PY = "eventsource-py"
RAW = "raw"

Key = tuple[str, int, str]
"""Workload, size, contender."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric over the rounds."""

    median: float
    low: float
    high: float


@dataclass(slots=True)
class Results:
    """What a run has found.

    Attributes:
        samples: One for each round.
        rounds: How many there were of each family.
        facts: About the run: versions, settings, thread counts …
    """

    samples: dict[Key, list[Sample]] = field(default_factory=dict)
    rounds: dict[str, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, workload: str, size: int, contender: str, sample: Sample) -> None:
        """Keep a sample."""
        self.samples.setdefault((workload, size, contender), []).append(sample)

    def figure(self, workload: str, size: int, contender: str, metric: str) -> Figure | None:
        """A metric's median, lowest and highest; None if it wasn't measured."""
        samples = self.samples.get((workload, size, contender), [])
        found = [sample.values[metric] for sample in samples if metric in sample.values]
        return Figure(median(found), min(found), max(found)) if found else None

    def value(self, workload: str, size: int, contender: str, metric: str) -> float | None:
        """A metric's median; None if it wasn't measured."""
        figure = self.figure(workload, size, contender, metric)
        return None if figure is None else figure.median

    def note(self, workload: str, size: int, contender: str) -> str:
        """What a reader must know of these samples."""
        samples = self.samples.get((workload, size, contender), [])
        return "; ".join(dict.fromkeys(sample.note for sample in samples if sample.note))

    def sizes(self, workload: str) -> list[int]:
        """The sizes at which a workload ran."""
        return sorted({size for name, size, _ in self.samples if name == workload})

    def contenders(self, workload: str) -> list[str]:
        """Who ran a workload."""
        return list(dict.fromkeys(who for name, _, who in self.samples if name == workload))

    def workloads(self) -> list[str]:
        """The workloads that ran."""
        return list(dict.fromkeys(name for name, _, _ in self.samples))

    def write(self, path: Path, targets: list[dict[str, Any]]) -> None:
        """Write everything as JSON."""
        told = {
            "facts": self.facts,
            "rounds": self.rounds,
            "targets": targets,
            "results": list(self._entries()),
        }
        path.write_text(json.dumps(told, indent=1) + "\n")

    def _entries(self) -> Iterator[dict[str, Any]]:
        for (workload, size, contender), samples in self.samples.items():
            metrics = dict.fromkeys(name for sample in samples for name in sample.values)
            figures = {name: self.figure(workload, size, contender, name) for name in metrics}
            yield {
                "workload": workload,
                "size": size,
                "contender": contender,
                "note": self.note(workload, size, contender),
                "figures": {
                    name: {"median": found.median, "min": found.low, "max": found.high}
                    for name, found in figures.items()
                    if found is not None
                },
                "rounds": [sample.values for sample in samples],
            }
