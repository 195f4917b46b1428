"""What is asked of a backend about the hashes of its events."""

from collections.abc import Sequence
from typing import Protocol

from hitherto.application.chain.links import Head, Link


class Chain(Protocol):
    """Reads the hashes that events were stored with, in the order of their chains.

    Ids are in the order of their bytes. Every method raises `EventStoreUnavailable` when the store
    cannot be reached.
    """

    async def first(self) -> int | None:
        """The position of the first event that has a hash; None: none has.

        It may read everything, and takes as long as that takes.
        """
        ...

    async def links(self, *, after: tuple[str, int] = ("", 0), limit: int = 1000) -> Sequence[Link]:
        """A page of events with their hashes, by aggregate id and version.

        Args:
            after: The id and the version of the last one before the page.
            limit: The most.
        """
        ...

    async def heads(self, *, after: str = "", until: int, limit: int = 1000) -> Sequence[Head]:
        """A page of the last events of aggregates, by aggregate id.

        Args:
            after: The last id before the page.
            until: As if no event were above this position.
            limit: The most.
        """
        ...
