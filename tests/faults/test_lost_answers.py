"""The row of lost answers finds out a store that repeats an append wrongly."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import asyncpg
import msgspec
import pytest
from tests.faults.row import Run
from tests.faults.rows.lost_answers import Planted, lose_answers

from hitherto.application.ids import time_ordered_id
from hitherto.application.ports import Backend
from hitherto.application.records import Append
from hitherto.errors import AggregateError

pytestmark = pytest.mark.integration


class Wrapped:
    """A backend that knows which appends it was given before."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.known: set[object] = set()

    async def append(self, appends: Sequence[Append], **options: Any) -> tuple[int, ...]:
        first = appends[0].events[0].event_id
        if first in self.known:
            return await self.repeated(appends)
        self.known.add(first)
        return await self.inner.append(appends, **options)

    async def repeated(self, appends: Sequence[Append]) -> tuple[int, ...]:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class MakesNewIds(Wrapped):
    """A repeat's events get ids of their own."""

    async def repeated(self, appends: Sequence[Append]) -> tuple[int, ...]:
        return await self.inner.append([_with_new_ids(append) for append in appends])


class LooksUp(Wrapped):
    """A repeat is not sent: if the events do not stand, that counts as a failure."""

    async def repeated(self, appends: Sequence[Append]) -> tuple[int, ...]:
        positions: list[int] = []
        for append in appends:
            last = append.expected_version + len(append.events)
            stored = await self.inner.read(append.aggregate_id, from_version=last, limit=1)
            if [event.event_id for event in stored] != [append.events[-1].event_id]:
                raise AggregateError("nothing was written")
            positions.append(stored[0].position)
        return tuple(positions)


def _with_new_ids(append: Append) -> Append:
    events = tuple(
        msgspec.structs.replace(event, event_id=time_ordered_id()) for event in append.events
    )
    return msgspec.structs.replace(append, events=events)


async def does_not_look_up_ids(session: "asyncpg.Connection[Any]", schema: str) -> None:
    """Who has lost to events under its own ids is not told so."""
    source: str = await session.fetchval(
        "SELECT pg_get_functiondef(($1 || '.append_events')::regproc)", schema
    )
    for part, changed in (
        ("CASE WHEN own.stand = own.count THEN own.position END", "NULL::bigint"),
        ("own.stand::int", "0"),
    ):
        assert source.count(part) == 1
        source = source.replace(part, changed)
    await session.execute(source)


async def found(directory: Path, planted: Planted) -> str:
    """What a run that loses some answers of each kind reports."""
    outcome = await lose_answers(Run(seed=1, count=20, directory=directory), planted)
    return "\n".join(outcome.violations)


async def test_an_append_that_does_not_look_up_its_own_ids_is_found_out(tmp_path: Path) -> None:
    """It takes itself for a rival."""
    told = await found(tmp_path, Planted(change=does_not_look_up_ids))
    assert "false conflict" in told
    assert re.search("of the same events it was told|0 were saved at the same version", told)


async def test_a_repeat_with_new_ids_is_found_out(tmp_path: Path) -> None:
    """It loses to itself, or writes what nobody has asked for."""
    told = await found(tmp_path, Planted(wrap=lambda inner: cast("Backend", MakesNewIds(inner))))
    assert "false conflict" in told


async def test_a_look_up_instead_of_a_repeat_is_found_out(tmp_path: Path) -> None:
    """What does not stand may be on its way."""
    told = await found(tmp_path, Planted(wrap=lambda inner: cast("Backend", LooksUp(inner))))
    assert re.search("of the same events it was told .*nothing was written", told)
