"""`hitherto log`: the end of the log, a part of it, or what comes."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from hitherto import ConfigurationError
from hitherto.application.looking.searching import following, matching
from hitherto.application.looking.values import Wanted
from hitherto.application.ports import Backend
from hitherto.application.records import StoredEvent
from hitherto.cli.connecting import connect
from hitherto.cli.looking.options import AsLines, Occurred, bounds, check_limit, place
from hitherto.cli.looking.showing import cell, print_lines, screen, short, table, time_of
from hitherto.cli.options import Schema, Url
from hitherto.cli.printing import say

_TAIL = 20
_WIDE = 100  # columns
_MOST = (1, 1, 0.2, 0.3)  # of the width, that a column may take
_Types = Annotated[Sequence[str], Parameter(negative="", show_default=False)]


def log(
    url: Url = None,
    *,
    limit: Annotated[int | None, Parameter(name=["--limit", "-n"], show_default=False)] = None,
    after: Annotated[str | None, Parameter(name=["--after", "--since"], show_default=False)] = None,
    until: Annotated[str | None, Parameter(show_default=False)] = None,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="")] = False,
    event_types: Annotated[_Types, Parameter(name="--type")] = (),
    aggregate_types: Annotated[_Types, Parameter(name="--aggregate-type")] = (),
    id: Annotated[str | None, Parameter(show_default=False)] = None,
    correlation: Annotated[str | None, Parameter(show_default=False)] = None,
    occurred: Occurred = False,
    schema: Schema = "public",
    as_lines: AsLines = False,
) -> None:
    """Print the latest events of the log, or a part of it, or those that come.

    No class is needed. A TIME is an ISO 8601 date or time, in UTC unless it has a zone; it means
    when events were stored:

        hitherto log --follow --type PaymentReceived --url sqlite:///shop.db

        hitherto log --since 2025-03-01T12:30 --until 2025-03-01T12:45 --correlation request-7

    Parameters
    ----------
    limit:
        The most events; by default the latest 20, or with --after all.
    after:
        POSITION|TIME: those after a position, or from a time on, in order.
    until:
        POSITION|TIME: those up to there, it included.
    follow:
        Go on with those that come, until Ctrl-C.
    event_types:
        Only events of this type. It may be given several times.
    aggregate_types:
        Only events of aggregates of this type. It may be given several times.
    id:
        Only events of the aggregate with this id.
    correlation:
        Only events with this correlation id. Without an index the whole part is looked through.
    """
    check_limit(limit)
    if follow and until is not None:
        raise ConfigurationError("--follow has no end: leave --until out")
    if follow and after is not None and limit is not None:
        raise ConfigurationError("--follow has no end: leave --limit or --after out")
    wanted = Wanted(
        event_types=event_types or None,
        aggregate_types=aggregate_types or None,
        aggregate_id=id,
        correlation_id=correlation,
    )
    part = _Part(
        wanted=wanted,
        after=None if after is None else place(after),
        until=None if until is None else place(until),
        limit=limit,
        occurred=occurred,
        follow=follow,
    )
    try:
        with screen(paged=not (follow or as_lines)) as console:
            asyncio.run(_print(console, part, url, schema, as_lines=as_lines))
    except KeyboardInterrupt:
        if not follow:
            raise


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of the log is asked for."""

    wanted: Wanted
    after: int | datetime | None
    until: int | datetime | None
    limit: int | None
    occurred: bool
    follow: bool

    async def read(self, backend: Backend) -> AsyncGenerator[Sequence[StoredEvent]]:
        """Its events, page by page, in order."""
        low, high, times = await bounds(backend, self.after, self.until, self.occurred)
        wanted = msgspec.structs.replace(self.wanted, **times.given())
        if self.after is None:
            high = high if high is not None else await backend.watermark()
            tail = await _tail(backend, wanted, high, self.limit or _TAIL)
            if tail:
                yield tail
            low = high
        if self.follow:
            pages = following(backend, wanted, low)
        elif self.after is not None:
            pages = matching(backend, wanted, after=low, until=high, limit=self.limit)
        else:
            return
        async with aclosing(pages):
            async for page in pages:
                if page.events:
                    yield page.events


async def _tail(backend: Backend, wanted: Wanted, until: int, limit: int) -> Sequence[StoredEvent]:
    found: list[StoredEvent] = []
    async with aclosing(
        matching(backend, wanted, until=until, limit=limit, backward=True)
    ) as pages:
        async for page in pages:
            found.extend(page.events)
    return found[::-1]


async def _print(
    console: Console, part: _Part, url: str | None, schema: str, *, as_lines: bool
) -> None:
    rows = _Rows(console)
    async with (
        connect(url, schema=schema, migrate=False) as store,
        aclosing(part.read(store.backend)) as pages,
    ):
        async for events in pages:
            if as_lines:
                print_lines(events)
            else:
                rows.print(events)
    if not (rows.begun or as_lines or part.follow):
        say(console, "No event matches.")


class _Rows:
    """A table that is printed bit by bit; its columns grow, but never shrink."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._widths = [8, 0, 0, 0]
        self.begun = False

    def print(self, events: Sequence[StoredEvent]) -> None:
        rows = [self._row(each) for each in events]
        for number in range(len(self._widths)):
            widest = max(row[number].cell_len for row in rows)
            self._widths[number] = max(self._widths[number], widest)
        made = table("position", "stored at", "event", "aggregate", right=["position"])
        made.show_header = not self.begun
        for column, width, part in zip(made.columns, self._widths, _MOST, strict=True):
            column.width = min(width, int(self._console.width * part))
        made.add_column("data", ratio=1)
        made.width = self._console.width
        for row, event in zip(rows, events, strict=True):
            made.add_row(*row, short(event.data))
        self._console.print(made)
        self.begun = True

    def _row(self, event: StoredEvent) -> list[Text]:
        where = f"{event.aggregate_type} {event.aggregate_id} v{event.version}"
        time = time_of(event.stored_at)
        return [
            Text(str(event.position)),
            Text(time if self._console.width >= _WIDE else time[: -len(".000")]),
            cell(event.event_type, "cyan"),
            cell(where),
        ]
