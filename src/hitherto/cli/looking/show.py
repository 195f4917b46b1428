"""`hitherto show`: one aggregate's state and history, now or then, and what changed it."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from hitherto import ConfigurationError, Repository, Store
from hitherto.application.looking.searching import matching
from hitherto.application.looking.states import Change, State, changes, state_at
from hitherto.application.ports import Backend
from hitherto.application.records import MAX_VERSION, StoredEvent
from hitherto.cli.connecting import connect
from hitherto.cli.loading import Kind, load_all
from hitherto.cli.looking.options import Occurred, bounds, check_limit, place
from hitherto.cli.looking.showing import cell, screen, short, table, time_of, told
from hitherto.cli.options import AsJson, Schema, Url
from hitherto.cli.printing import plain, print_json, say
from hitherto.domain.identifiers import check_identifier
from hitherto.errors import InvalidInput


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for."""

    kinds: Sequence[Kind]
    at: int | datetime | None
    diff: tuple[int, int] | None
    limit: int
    occurred: bool


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to show of an aggregate; the history has the latest first."""

    head: StoredEvent
    version: int
    history: Sequence[StoredEvent]
    state: State | None = None
    diff: tuple[int, int] | None = None
    changes: Sequence[Change] = ()


def show(
    id: str,
    /,
    *,
    aggregates: Annotated[Sequence[str], Parameter(negative="", show_default=False)] = (),
    url: Url = None,
    at: Annotated[str | None, Parameter(show_default=False)] = None,
    diff: Annotated[
        list[int] | None, Parameter(consume_multiple=True, negative="", show_default=False)
    ] = None,
    limit: int = 20,
    occurred: Occurred = False,
    schema: Schema = "public",
    as_json: AsJson = False,
) -> None:
    """Show an aggregate's state and the latest of its history; as they were, or what changed.

    Where its class is not named, with --aggregates, only the history is shown. A TIME is an
    ISO 8601 date or time, in UTC unless it has a zone; it means when events were stored:

        hitherto show A100 --aggregates shop.orders --at 2025-03-01T12:30

        hitherto show A100 --aggregates shop.orders --diff 3 5

    Parameters
    ----------
    id:
        The aggregate's id.
    aggregates:
        An aggregate, as MODULE:NAME, or all those of a MODULE. It may be given several times.
    at:
        VERSION|TIME: show it as it was then.
    diff:
        Show what changed from one version to another, and by which events; a single version means
        what its event changed.
    limit:
        The most events of the history, the latest ones.
    """
    check_identifier("aggregate id", id)
    check_limit(limit)
    versions = None if diff is None else _versions(diff)
    moment = None if at is None else place(at)
    if versions is not None and (moment is not None or not aggregates):
        raise ConfigurationError(
            "--diff compares states: give --aggregates, so that they can be told, and no --at"
        )
    asked = Asked(
        kinds=load_all(aggregates), at=moment, diff=versions, limit=limit, occurred=occurred
    )
    found = asyncio.run(_show(id, asked, url, schema))
    if as_json:
        print_json(_report(found))
    else:
        with screen() as console:
            _tell(console, found)


def _versions(diff: Sequence[int]) -> tuple[int, int]:
    low, high = (diff[0] - 1, diff[0]) if len(diff) == 1 else (min(diff), max(diff))
    if not (1 <= len(diff) <= 2 and 0 <= low < high <= MAX_VERSION):
        raise ConfigurationError(
            f"--diff {' '.join(map(str, diff))}: give two versions, from 0 on, or one from 1 on"
        )
    return low, high


async def _show(id: str, asked: Asked, url: str | None, schema: str) -> Shown:
    async with connect(url, schema=schema, migrate=False) as store:
        read = store.backend.read
        latest = await read(id, backward=True, limit=1)
        if not latest:
            raise InvalidInput(
                f"no event is stored under the id {id!r}: see whether that is the store that was "
                "meant; `hitherto log` tells ids"
            )
        (head,) = latest
        repository = _repository(store, asked.kinds, head)
        if asked.diff is not None and repository is not None:
            low, high = asked.diff
            changed = await changes(repository, id, low, high)
            history = await read(
                id, from_version=low + 1, to_version=high, limit=asked.limit, backward=True
            )
            return Shown(head=head, version=high, history=history, diff=asked.diff, changes=changed)
        version = await _version_at(store.backend, head, asked)
        state = None if repository is None else await state_at(repository, id, version)
        history = await read(id, to_version=version, limit=asked.limit, backward=True)
        return Shown(head=head, version=version, history=history, state=state)


def _repository(store: Store, kinds: Sequence[Kind], head: StoredEvent) -> Repository[Any] | None:
    """Of the aggregate's kind; None: no kind is given at all."""
    if not kinds:
        return None
    repositories = [Repository[Any](store, kind, snapshot_every=None) for kind in kinds]
    for each in repositories:
        if each._type == head.aggregate_type:
            return each
    known = sorted({each._type for each in repositories})
    raise ConfigurationError(
        f"{head.aggregate_id!r} is stored as {head.aggregate_type!r}, and --aggregates names "
        f"{known}: name the module that has its class"
    )


async def _version_at(backend: Backend, head: StoredEvent, asked: Asked) -> int:
    at = asked.at
    if at is None:
        return head.version
    if isinstance(at, int):
        if not 1 <= at <= head.version:
            raise InvalidInput(
                f"{head.aggregate_id!r} has no version {at}: it has 1 … {head.version}"
            )
        return at
    _, until, wanted = await bounds(backend, None, at, asked.occurred)
    wanted = msgspec.structs.replace(wanted, aggregate_id=head.aggregate_id)
    latest = matching(backend, wanted, until=until, limit=1, backward=True)
    async with aclosing(latest) as pages:
        async for page in pages:
            for event in page.events:
                return event.version
    did = "happened" if asked.occurred else "was stored"
    raise InvalidInput(f"no event of {head.aggregate_id!r} {did} up to {at.isoformat()}")


def _report(found: Shown) -> dict[str, Any]:
    report: dict[str, Any] = {
        "aggregate_id": found.head.aggregate_id,
        "aggregate_type": found.head.aggregate_type,
        "version": found.version,
        "latest_version": found.head.version,
    }
    if found.diff is None:
        report["state"] = found.state
    else:
        report["from_version"] = found.diff[0]
        report["changes"] = [
            {**msgspec.structs.asdict(each), "events": list(map(told, each.events))}
            for each in found.changes
        ]
    return {**report, "history": [told(each) for each in reversed(found.history)]}


def _tell(console: Console, found: Shown) -> None:
    head = found.head
    which = f"{head.aggregate_type} {head.aggregate_id}"
    if found.diff is not None:
        say(
            console,
            plain(f"{which}, what changed from version {found.diff[0]} to {found.diff[1]}"),
            "bold",
        )
        if found.changes:
            console.print("", _changes(found.changes))
        else:
            say(console, "No field has another value.")
    else:
        of = f" of {head.version}" if found.version < head.version else ""
        say(console, plain(f"{which}, version {found.version}{of}"), "bold")
        if found.state is None:
            say(console, "Its state can be shown where its class is named, with --aggregates.")
        else:
            console.print("", _state(found.state))
    first = 1 if found.diff is None else found.diff[0] + 1
    console.print("", _history(found.history))
    earlier = found.version - first + 1 - len(found.history)
    if earlier > 0:
        say(console, f"… and {earlier:,} before: see --limit, or `hitherto events`.")


def _state(state: State) -> Table:
    made = table("field", "value")
    for name, value in state.items():
        made.add_row(cell(name, "cyan"), _value(value))
    return made


def _changes(found: Sequence[Change]) -> Table:
    made = table("field", "before", "after", "changed by")
    for each in found:
        by = "\n".join(f"{event.version} {event.event_type}" for event in each.events)
        made.add_row(
            cell(each.field, "cyan"),
            _value(each.before),
            _value(each.after),
            "\n".join(map(plain, by.split("\n"))),
        )
    return made


def _value(value: msgspec.Raw | None) -> Any:
    return cell("(none)", "dim") if value is None else cell(bytes(value).decode())


def _history(events: Sequence[StoredEvent]) -> Table:
    made = table("version", "stored at", "event", right=["version"])
    made.add_column("data", ratio=1)
    for each in reversed(events):
        made.add_row(
            str(each.version), time_of(each.stored_at), cell(each.event_type), short(each.data)
        )
    return made
