"""`hitherto events`: all that is stored of one aggregate, as it is stored."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from hitherto.application.ports import Backend
from hitherto.application.records import StoredEvent, check_range
from hitherto.cli.connecting import connect
from hitherto.cli.looking.options import AsLines, check_limit
from hitherto.cli.looking.showing import print_lines, screen, time_of
from hitherto.cli.options import Schema, Url
from hitherto.cli.printing import plain, say
from hitherto.domain.identifiers import check_identifier
from hitherto.errors import InvalidInput

_PAGE = 200


def events(
    id: str,
    /,
    *,
    url: Url = None,
    from_version: Annotated[int, Parameter(name="--from")] = 1,
    to_version: Annotated[int | None, Parameter(name="--to", show_default=False)] = None,
    limit: int | None = None,
    backward: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    schema: Schema = "public",
    as_lines: AsLines = False,
) -> None:
    """Print the stored events of one aggregate, with all of their data and metadata.

    No class is needed, so it works where `show` cannot. Times are in UTC:

        hitherto events A100 --from 3 --url sqlite:///shop.db

    Parameters
    ----------
    id:
        The aggregate's id.
    from_version:
        The first version.
    to_version:
        The last version; by default the latest.
    limit:
        The most events; by default all.
    backward:
        The latest first.
    """
    check_identifier("aggregate id", id)
    check_limit(limit)
    check_range(from_version, to_version, limit)
    with screen(paged=not as_lines) as console:
        pages = _Pages(id, from_version, to_version, limit, backward)
        asyncio.run(_print(console, pages, url, schema, as_lines=as_lines))


class _Pages(msgspec.Struct, frozen=True):
    """A part of an aggregate's events, to be read page by page."""

    id: str
    first: int
    last: int | None
    limit: int | None
    backward: bool

    async def read(self, backend: Backend) -> AsyncGenerator[Sequence[StoredEvent]]:
        first, last, left = self.first, self.last, self.limit
        while left != 0 and (last is None or first <= last):
            limit = _PAGE if left is None else min(left, _PAGE)
            page = await backend.read(
                self.id, from_version=first, to_version=last, limit=limit, backward=self.backward
            )
            if not page:
                return
            yield page
            left = None if left is None else left - len(page)
            if self.backward:
                last = page[-1].version - 1
            else:
                first = page[-1].version + 1


async def _print(
    console: Console, pages: _Pages, url: str | None, schema: str, *, as_lines: bool
) -> None:
    count = 0
    async with connect(url, schema=schema, migrate=False) as store:
        async for page in pages.read(store.backend):
            count += len(page)
            if as_lines:
                print_lines(page)
            else:
                for event in page:
                    _tell(console, event)
        if not count and not await store.backend.read(pages.id, limit=1):
            raise InvalidInput(
                f"no event is stored under the id {pages.id!r}: see whether that is the store that "
                "was meant; `hitherto log` tells ids"
            )
    if not count and not as_lines:
        say(console, f"{plain(pages.id)} has no event in these versions.")


def _tell(console: Console, event: StoredEvent) -> None:
    schema = f" (schema {event.schema_version})" if event.schema_version != 1 else ""
    head = Text(plain(f"{event.event_type}{schema}"), style="bold")
    head.append(plain(f"  {event.aggregate_type} {event.aggregate_id} version {event.version}"))
    console.print(head, soft_wrap=True)
    say(console, f"  event id  {event.event_id}, at position {event.position}")
    say(console, f"  stored    {time_of(event.stored_at)}, happened {time_of(event.occurred_at)}")
    say(console, f"  data      {_indented(event.data)}")
    if event.metadata is not None:
        say(console, f"  metadata  {_indented(event.metadata)}")


def _indented(text: str) -> str:
    """JSON on several lines if it is long; as it is stored where it is none."""
    try:
        formatted = msgspec.json.format(text, indent=-1 if len(text) <= 80 else 2)
    except (ValueError, RecursionError):
        return plain(text)
    return "\n            ".join(plain(line) for line in formatted.split("\n"))
