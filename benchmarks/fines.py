"""The payload: real traffic fines, as commands that every contender's aggregate takes."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from hitherto.examples.traffic_fines import (
    ACTIVITIES,
    Fine,
    FineEvent,
    fine_of,
    read_lines,
    sample_lines,
)

Step = tuple[str, dict[str, Any]]
"""The name of a command, and its arguments."""

_COMMANDS = {activity.event: activity.command.__name__ for activity in ACTIVITIES}
_START = datetime(2012, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Story:
    """A fine that is not written yet.

    Attributes:
        id: The fine's.
        steps: The commands that lead to it, one for each event.
    """

    id: str
    steps: tuple[Step, ...]


@cache
def stories() -> list[Story]:
    """The 2,000 fines of the sample, parsed once so that no contender is timed for it.

    They are shuffled, always the same way, so that however few of them a slow contender saves,
    they have as many events on average as those of a fast one.
    """
    known = [story_of(fine_of(line)) for line in sample_lines()]
    random.Random(1).shuffle(known)
    return known


def story_of(fine: Fine) -> Story:
    """The commands behind the pending events of a fine."""
    return Story(fine.id, tuple(_step(event) for event in fine.pending))


def endless(kinds: Iterable[Story]) -> Iterator[Story]:
    """The same fines over and over, under new ids."""
    known = list(kinds)
    for lap in count():
        for story in known:
            yield replace(story, id=f"{lap}-{story.id}")


def first_steps() -> list[Story]:
    """The fines as they begin: one event each."""
    return [replace(story, steps=story.steps[:1]) for story in stories()]


def long_story(fine_id: str, events: int) -> Story:
    """A fine that is paid euro by euro until it has so many events."""
    payments = (payment(number) for number in range(1, events))
    return Story(fine_id, (stories()[0].steps[0], *payments))


def payment(number: int) -> Step:
    """The command that pays the next euro."""
    at = _START + timedelta(seconds=number)
    return "pay", {"amount": Decimal(1), "at": at, "total_paid": Decimal(number)}


def log_lines(log: Path | None, limit: int) -> Iterator[str]:
    """So many lines of the log; where it is missing, of the sample over and over."""
    if log is not None and log.exists():
        yield from (line for line, _ in zip(read_lines(log), range(limit), strict=False))
        return
    sample = sample_lines()
    for number in range(limit):
        lap, place = divmod(number, len(sample))
        yield sample[place].replace('{"fine":"', f'{{"fine":"{lap}-', 1)


def _step(event: FineEvent) -> Step:
    arguments = {name: getattr(event, name) for name in event.__struct_fields__}
    return _COMMANDS[type(event)], arguments
