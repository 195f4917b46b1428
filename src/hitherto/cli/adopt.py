"""`hitherto adopt`: the rows of a table of before, as aggregates."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal, TypeAlias, cast

from cyclopts import Parameter

from hitherto import Adoption, ConfigurationError, InvalidInput, Store
from hitherto.application.adopting import InStep, LegacyTable, Mapped, adopt, compare
from hitherto.cli import adopt_telling as telling
from hitherto.cli.adopt_mapping import load_mapping
from hitherto.cli.connecting import connect
from hitherto.cli.loading import Kind, load_one
from hitherto.cli.options import AsJson, Schema, Url
from hitherto.cli.progress import bars
from hitherto.cli.projections.working import work
from hitherto.connect import Settings
from hitherto.infrastructure.legacy import legacy_table

Flag: TypeAlias = Annotated[bool, Parameter(negative="", show_default=False)]


def adopt_table(
    table: str,
    /,
    *,
    aggregate: str,
    mapping: str,
    source: Annotated[str | None, Parameter(name="--from")] = None,
    url: Url = None,
    schema: Schema = "public",
    compare: Flag = False,
    capture: Literal["install", "run", "remove"] | None = None,
    until_caught_up: Flag = False,
    yes: Flag = False,
    show: int = 10,
    as_json: AsJson = False,
) -> int:
    """Take the rows of an existing table over, an event for each, and keep both sides in step.

    Each row without an aggregate gets one, which begins with the event that the mapping gives. What
    was broken off may be run again, and goes on; rows that are refused are told:

        hitherto adopt users --aggregate shop.users:User --mapping shop.users:Users
        --from postgresql://localhost/shop --url postgresql://localhost/shop

    With --capture install each write to the table is captured from then on; --capture run takes
    these changes over as events, and writes what new code does to aggregates into the table, until
    SIGINT or SIGTERM. With --compare it is told whether rows and aggregates are the same.

    The exit status is 1 if a row or a change was refused, or if a comparison found a difference.

    Parameters
    ----------
    table:
        The table, on PostgreSQL perhaps as SCHEMA.TABLE.
    aggregate:
        The aggregate, as MODULE:NAME.
    mapping:
        A class derived from hitherto.Adoption, or a function that makes an event of a row, as
        MODULE:NAME.
    source:
        The URL of the table's database, PostgreSQL or SQLite; by default the store's.
    compare:
        Only compare rows and aggregates.
    capture:
        Install the capture of changes, run it, or remove it.
    until_caught_up:
        With --capture run: end when all that was there has got to the other side.
    yes:
        With --capture remove: drop changes that are not taken over.
    show:
        Of how many rows to tell what is wrong.
    """
    if compare and capture is not None:
        raise ConfigurationError("--compare and --capture are two commands: give one of them")
    if until_caught_up and capture != "run":
        raise ConfigurationError("--until-caught-up is for --capture run: give that, too")
    if yes and capture != "remove":
        raise ConfigurationError("--yes is for --capture remove: give that, too")
    if show < 0:
        raise InvalidInput(f"--show {show}: give at least 0")
    kind, adoption = load_one(aggregate), load_mapping(mapping)
    place = source or Settings.from_environment(url=url).url
    rows = legacy_table(place, table, key=adoption.key)
    may_migrate = capture is None and not compare
    store = connect(url, schema=schema, migrate=may_migrate)
    adopting = _Command(rows, kind, adoption, store, show=show)
    if capture == "install":
        return asyncio.run(adopting.install(as_json=as_json))
    if capture == "remove":
        return asyncio.run(adopting.remove(force=yes, as_json=as_json))
    if capture == "run":
        return asyncio.run(adopting.keep_in_step(catch_up=until_caught_up, as_json=as_json))
    run = adopting.compare if compare else adopting.adopt
    return asyncio.run(run(as_json=as_json))


class _Command:
    def __init__(
        self,
        table: LegacyTable,
        kind: Kind,
        adoption: Adoption[Any],
        store: Store,
        *,
        show: int,
    ) -> None:
        self._table = table
        self._kind = kind
        self._adoption = adoption
        self._store = store
        self._show = show

    async def adopt(self, *, as_json: bool) -> int:
        async with self._mapped() as mapped:
            with bars() as progress:
                result = await adopt(mapped, show=self._show, progress=progress)
        telling.tell_adopted(self._table.name, result, as_json=as_json)
        return 1 if result.refused else 0

    async def compare(self, *, as_json: bool) -> int:
        async with self._mapped() as mapped:
            with bars() as progress:
                result = await compare(mapped, show=self._show, progress=progress)
        telling.tell_compared(self._table.name, result, as_json=as_json)
        return 0 if result.equal else 1

    async def keep_in_step(self, *, catch_up: bool, as_json: bool) -> int:
        async with self._mapped() as mapped:
            both = InStep(mapped)
            await both.check()
            if not as_json:
                telling.tell_begun(self._table.name)
            ending = await work([cast("Any", both)], catch_up=catch_up)
            refused = await self._table.refused(self._show)
            written = both.capture.written + both.back.written
        telling.tell_kept(both.capture.taken, written, *refused, as_json=as_json)
        return 1 if refused[0] or ending == "cancelled" else 0

    async def install(self, *, as_json: bool) -> int:
        async with self._opened():
            await self._table.install()
        telling.tell_captured(self._table.name, captured=True, as_json=as_json)
        return 0

    async def remove(self, *, force: bool, as_json: bool) -> int:
        async with self._opened():
            await self._table.remove(force=force)
        telling.tell_captured(self._table.name, captured=False, as_json=as_json)
        return 0

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[None]:
        try:
            await self._table.open()
            yield
        finally:
            await self._table.close()

    @asynccontextmanager
    async def _mapped(self) -> AsyncGenerator[Mapped]:
        async with self._opened(), self._store:
            yield Mapped(self._store, self._kind, self._adoption, self._table)
