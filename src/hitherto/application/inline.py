"""`Inline`: projections that are run by appends, in their own transactions."""

from collections.abc import Awaitable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from hitherto.application.alongside import Alongside
from hitherto.application.fitting import check_fits
from hitherto.application.projection import Projection, batch_of, in_order, stored_nowhere
from hitherto.application.rebuild import drop_and_set_up
from hitherto.application.records import StoredEvent
from hitherto.application.selection import Selection
from hitherto.errors import InvalidInput, ProjectionBehind

if TYPE_CHECKING:
    from hitherto.application.store import Store


class Inline:
    """The inline projections of a store.

    Args:
        store: Whose appends run them.
        projections: They must be the same in every process that appends.

    Raises:
        InvalidInput: One that cannot be inline, or two of one name.
    """

    def __init__(self, store: "Store", projections: Sequence[Projection[Any]]) -> None:
        self._store = store
        self._parts = [
            (each, stored_nowhere(each), Selection(store, each.events)) for each in projections
        ]
        self._names = tuple([(each.name, each.version) for each in projections])
        if len({each.name for each in projections}) != len(projections):
            raise InvalidInput(f"inline: two projections bear one name: {self._names}")
        for each in projections:
            each.check()
            check_fits(each, store.backend.checkpoints.lends)
            if each.elsewhere or each.gathers:
                raise InvalidInput(
                    f"{each.name!r} cannot be inline: its effects are not written through the "
                    "transaction's connection; run it by a worker, and `wait_for` it"
                )

    def __bool__(self) -> bool:
        return bool(self._parts)

    async def open(self) -> None:
        """See that each has seen the whole log, and is run by appends from now on.

        Raises:
            ProjectionBehind: One has not.
            ProjectionSuperseded: A higher version of one is in use.
        """
        checkpoints = self._store.backend.checkpoints
        for projection, *_ in self._parts:
            taken = await checkpoints.take_inline(
                projection.name,
                version=projection.version,
                setup=drop_and_set_up(projection, checkpoints),
            )
            if not taken:
                raise ProjectionBehind(
                    f"{projection.name!r} has not seen all events, or was built by an older "
                    "version: while nothing is appended, fill it with `hitherto projections run "
                    "--until-caught-up`, and retry or skip what `hitherto projections parked` "
                    "tells of, then open the store again"
                )

    def with_effects(self, alongside: Alongside | None) -> Alongside:
        """What an append writes alongside, and these projections' effects."""
        return msgspec.structs.replace(
            alongside or Alongside(), inline=self._names, effects=self._effects
        )

    def _effects(self, stored: Sequence[StoredEvent], connection: Any) -> Awaitable[None] | None:
        return in_order(self._results(stored, connection))

    def _results(self, stored: Sequence[StoredEvent], connection: Any) -> Iterator[Any]:
        for projection, generation, selection in self._parts:
            wanted = filter(selection.wants, stored)
            events = list(chain.from_iterable(map(selection.decode, wanted)))
            if events:
                batch = batch_of(projection, generation, connection, silent=False)
                yield projection.handle(events, batch)
