"""`hitherto check`: whether the code can still read what was written."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter, validators
from rich.console import Console

from hitherto.application.checking.changes import changes
from hitherto.application.checking.describing import definitions_of, described
from hitherto.application.checking.files import read_schemas, write_schemas
from hitherto.application.checking.problems import Problem
from hitherto.application.checking.schemas import Schemas, merged
from hitherto.application.checking.stored import Stored, stored_shapes
from hitherto.application.checking.tallying import Shape
from hitherto.cli.connecting import connect
from hitherto.cli.loading import load_all
from hitherto.cli.looking.showing import cell, table
from hitherto.cli.printing import plain, print_json, say
from hitherto.cli.progress import bars
from hitherto.connect import Settings
from hitherto.domain.definition import Definition
from hitherto.errors import ConfigurationError, InvalidInput
from hitherto.infrastructure.urls import without_password

_SHAPES = 10  # of a type that are told where some break


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a check.

    Attributes:
        file: The schema file; None: there is none, and only the store was looked at.
        updated: Whether the file was written.
        accepted: What was a problem, and is none by the file that was written.
        changes: By the file: what breaks, and notes.
        store: The store's URL, without its password.
        stored: What was found there.
    """

    file: str | None
    updated: bool
    accepted: tuple[Problem, ...]
    changes: tuple[Problem, ...]
    store: str | None = None
    stored: Stored | None = None

    @property
    def problems(self) -> list[Problem]:
        """What breaks."""
        found = [each for each in self.changes if each.breaks]
        return found + list(self.stored.problems if self.stored else ())

    @property
    def notes(self) -> list[Problem]:
        """What breaks nothing."""
        return [each for each in self.changes if not each.breaks]


def check(
    module: str,
    /,
    *more: str,
    file: Annotated[Path | None, Parameter(show_default=False)] = None,
    update: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    url: str | None = None,
    schema: str = "public",
    sample: Annotated[int | None, Parameter(validator=validators.Number(gte=1))] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> int:
    """Tell whether the code can still read every event that was ever written.

    The event classes are compared with a schema file, which is committed beside them and knows
    each schema that was released. Once per release it is brought up to date, with --update:

        hitherto check shop.orders shop.customers

    With --url the stored events are read too: each is decoded, and it is told which change breaks
    how many, and what no code has written:

        hitherto check shop.orders --url postgresql://localhost/shop --sample 1000

    The exit status is 0 if all can be read, and 1 if something breaks. In the store nothing is
    changed.

    Parameters
    ----------
    module:
        An aggregate, as MODULE:NAME, or all those of a MODULE.
    more:
        Others.
    file:
        The schema file; by default events.schema.json.
    update:
        Write the file: what it knew, and what the code writes now. Changes without a new schema=
        are accepted by it.
    url:
        A store whose events are to be read; by default none.
    schema:
        The PostgreSQL schema that holds the tables.
    sample:
        How many events of each type of event and of aggregate to read, from all parts of the log;
        by default all.
    as_json:
        Print the result as JSON.
    """
    if url == "memory:":
        raise ConfigurationError("memory: holds nothing that was stored: name another store")
    if sample is not None and url is None:
        raise InvalidInput("--sample is of a store's events: name the store, with --url")
    if url is not None:
        Settings.from_environment(url=url)
    definitions = definitions_of(load_all([module, *more]))
    needed = url is None or file is not None
    file = file or Path("events.schema.json")
    report = _compared(described(definitions), file, update=update, needed=needed)
    if url is not None:
        known: Schemas = {} if report.file is None else read_schemas(file)
        stored = asyncio.run(_stored(url, schema, definitions, known, sample))
        told = tuple([stored.counted(each) for each in report.changes])
        report = msgspec.structs.replace(
            report, changes=told, store=without_password(url), stored=stored
        )
    if as_json:
        _print(report)
    else:
        _tell(Console(highlight=False), report)
    return 1 if report.problems else 0


def _compared(today: Schemas, file: Path, *, update: bool, needed: bool) -> Report:
    """What the file says; it is written before."""
    there = file.exists()
    if not there and not update and not needed:
        return Report(file=None, updated=False, accepted=(), changes=())
    known: Schemas = {} if update and not there else read_schemas(file)
    found = changes(known, today)
    if not update:
        return Report(file=str(file), updated=False, accepted=(), changes=tuple(found))
    known = merged(known, today)
    updated = write_schemas(file, known)
    left = changes(known, today)
    accepted = [each for each in found if each.breaks and each not in left]
    return Report(file=str(file), updated=updated, accepted=tuple(accepted), changes=tuple(left))


async def _stored(
    url: str,
    schema: str,
    definitions: Mapping[str, Definition],
    known: Schemas,
    sample: int | None,
) -> Stored:
    async with connect(url, schema=schema, migrate=False) as store:
        with bars() as progress:
            return await stored_shapes(
                store.backend, store.codec, definitions, known, sample=sample, progress=progress
            )


def _print(report: Report) -> None:
    print_json({
        "file": report.file,
        "updated": report.updated,
        "store": report.store,
        "compatible": not report.problems,
        "problems": report.problems,
        "notes": report.notes,
        "accepted": report.accepted,
        "events": report.stored and report.stored.events,
        "shapes": report.stored and report.stored.shapes,
    })  # fmt: skip


def _tell(console: Console, report: Report) -> None:
    if report.file is None:
        say(console, "There is no schema file: make one with --update, and commit it.", "yellow")
    elif report.updated:
        say(console, f"{report.file} is written: commit it.")
    if report.stored is not None:
        _tell_stored(console, str(report.store), report.stored)
    _tell_all(console, report.accepted, "Accepted: ", "yellow")
    _tell_all(console, report.problems, "", "red")
    _tell_notes(console, report)
    count = len(report.problems)
    if count:
        say(console, f"{count:,} {'thing breaks' if count == 1 else 'things break'}.", "red")
    elif report.stored is None:
        say(console, "Every event that the file knows can be read.", "green")
    else:
        say(console, "Every event that was read is as the code writes and reads it.", "green")


def _tell_stored(console: Console, where: str, stored: Stored) -> None:
    """Of each type and schema a line; where some break, their shapes too."""
    numbers = ("events", "shapes", "unreadable", "first", "last")
    made = table("aggregate, event", "schema", *numbers, right=("schema", *numbers))
    for (aggregate_type, event_type, schema), shapes in _by_key(stored.shapes).items():
        unreadable = sum(each.undecodable for each in shapes)
        made.add_row(
            cell(f"{aggregate_type}.{event_type}", "red" if _is_bad(shapes) else ""),
            str(schema),
            f"{sum(each.events for each in shapes):,}",
            f"{len(shapes):,}",
            f"{unreadable:,}" if unreadable else "",
            str(min(each.first for each in shapes)),
            str(max(each.last for each in shapes)),
        )
    say(console, f"{where}: {stored.events:,} events read", "bold")
    if stored.shapes:
        console.print(made)
    for (_, event_type, schema), shapes in _by_key(stored.shapes).items():
        if _is_bad(shapes):
            say(console, f"\n{plain(event_type)} of schema {schema}", "bold")
            for each in sorted(shapes, key=lambda one: (not _is_bad([one]), one.first))[:_SHAPES]:
                _tell_shape(console, each)
            if len(shapes) > _SHAPES:
                say(console, f"  … and {len(shapes) - _SHAPES:,} more")


def _tell_shape(console: Console, shape: Shape) -> None:
    if shape.undecodable:
        verdict, style = f"{shape.undecodable:,} unreadable", "red"
    elif shape.faults:
        verdict, style = "not as the code has it", "red"
    else:
        verdict, style = "read", "green"
    where = f"version {shape.version} of {shape.aggregate_id!r}"
    say(console, f"  {shape.events:,} of {plain(shape.shape)}")
    say(console, f"    {verdict}; {shape.first} … {shape.last}, such as {plain(where)}", style)


def _by_key(shapes: Iterable[Shape]) -> dict[tuple[str, str, int], list[Shape]]:
    found: dict[tuple[str, str, int], list[Shape]] = {}
    for each in shapes:
        key = each.aggregate_type, each.event_type, each.schema
        found.setdefault(key, []).append(each)
    return found


def _is_bad(shapes: Sequence[Shape]) -> bool:
    return any(each.undecodable or each.faults for each in shapes)


def _tell_all(console: Console, problems: Sequence[Problem], prefix: str, style: str) -> None:
    for each in problems:
        say(console, f"\n{prefix}{each.kind}: {_place(each)}", style)
        say(console, f"  {plain(each.what)}{_counts(each)}")
        if each.remedy and not prefix:
            say(console, f"  Remedy: {plain(each.remedy)}.", "cyan")


def _place(problem: Problem) -> str:
    name = plain(".".join(filter(None, [problem.aggregate_type, problem.event_type])))
    return name if problem.schema is None else f"{name}, schema {problem.schema}"


def _counts(problem: Problem) -> str:
    if problem.events is None:
        return ""
    events = f"{problem.events:,} event{'' if problem.events == 1 else 's'}"
    if problem.position is not None:
        return f": {events}, the first at position {problem.position}"
    told = f", {problem.undecodable:,} unreadable" if problem.undecodable else ""
    return f": {events} stored{told}"


def _tell_notes(console: Console, report: Report) -> None:
    if report.notes:
        say(console, "\nNotes", "bold")
    for each in report.notes:
        place = _place(each)
        say(console, f"  {f'{place}: ' if place else ''}{plain(each.what)}{_counts(each)}")
    if report.notes or report.problems or report.accepted:
        say(console, "")
