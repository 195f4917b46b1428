"""`hitherto why`: what led to an event, and what came of it."""

import asyncio
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.padding import Padding
from rich.text import Text
from rich.tree import Tree

from hitherto.application.looking.causes import Cause, Why
from hitherto.application.looking.causes import why as causes_of
from hitherto.application.records import StoredEvent
from hitherto.cli.connecting import connect
from hitherto.cli.looking.showing import screen, time_of, told
from hitherto.cli.options import AsJson, Schema, Url
from hitherto.cli.printing import plain, print_json, say
from hitherto.errors import InvalidInput

_CORRELATED = 20
_WIDTH = 5000  # columns of a tree: a deep one keeps its ids whole, and the terminal wraps it


def why(
    event_id: str,
    /,
    *,
    url: Url = None,
    depth: int = 50,
    limit: int = 200,
    schema: Schema = "public",
    as_json: AsJson = False,
) -> None:
    """Show what led to an event, up to where it all began, and all that came of that.

    It goes by the causation ids in the events' metadata, which processes and commands with an id
    leave there, and your own code may. What is no event's id is a command's, or a message's from
    elsewhere. Then it tells of other events with the same correlation id:

        hitherto why 0190a6e4-8a3e-7c6b-9b3f-2f1f6a4f7d10 --url sqlite:///shop.db

    Parameters
    ----------
    event_id:
        The event's id, as `hitherto events` tells it.
    depth:
        How many steps to go, up and down.
    limit:
        The most events, in the tree and beside it.
    """
    try:
        asked = UUID(event_id)
    except ValueError:
        raise InvalidInput(
            f"{event_id!r} is no event's id, which is a UUID: `hitherto events ID` tells those of "
            "an aggregate"
        ) from None
    found = asyncio.run(_why(asked, url, schema, depth, limit))
    if as_json:
        print_json(_report(found))
    else:
        with screen() as console:
            _tell(console, found)


async def _why(event_id: UUID, url: str | None, schema: str, depth: int, limit: int) -> Why:
    async with connect(url, schema=schema, migrate=False) as store:
        return await causes_of(store.backend, event_id, depth=depth, limit=limit)


def _report(found: Why) -> dict[str, Any]:
    return {
        "event_id": found.asked.event_id,
        "tree": _branch(found.root),
        "correlation_id": found.correlation_id,
        "correlated": [told(each) for each in found.correlated],
        "stops": found.stops,
    }


def _branch(cause: Cause) -> dict[str, Any]:
    event = None if cause.event is None else told(cause.event)
    return {"id": cause.id, "event": event, "effects": list(map(_branch, cause.effects))}


def _tell(console: Console, found: Why) -> None:
    tree = Tree(_label(found.root, found))
    _grow(tree, found.root, found)
    shown, console.width = console.width, _WIDTH
    console.print(tree)
    console.width = shown
    if found.correlated:
        say(console, f"\nOther events with the correlation id {plain(found.correlation_id or '')}:")
        for each in found.correlated[:_CORRELATED]:
            console.print(Padding(_line(each), (0, 0, 0, 2)))
        if len(found.correlated) > _CORRELATED:
            say(
                console,
                f"  … and {len(found.correlated) - _CORRELATED} more: "
                "`hitherto log --correlation` tells all",
            )
    for sentence in found.stops:
        say(console, f"\nStopped: {plain(sentence)}: see --limit and --depth.", "yellow")


def _grow(tree: Tree, cause: Cause, found: Why) -> None:
    for effect in cause.effects:
        _grow(tree.add(_label(effect, found)), effect, found)


def _label(cause: Cause, found: Why) -> Text:
    if cause.event is None:
        what = "timer" if cause.id.startswith("timer:") else "command or message"
        return Text(f"{what} {plain(cause.id.removeprefix('timer:'))}", style="magenta")
    return _line(cause.event, "  ◀ asked" if cause.event.event_id == found.asked.event_id else "")


def _line(event: StoredEvent, mark: str = "") -> Text:
    where = f"{event.aggregate_type} {event.aggregate_id} v{event.version}"
    return Text.assemble(
        (plain(event.event_type), "bold cyan" if mark else "cyan"),
        f"  {plain(where)}",
        (mark, "bold yellow"),
        (f"\n{event.event_id}  {time_of(event.stored_at)}", "dim"),
    )
