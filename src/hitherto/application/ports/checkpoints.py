"""What is asked of a backend for projections."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

from hitherto.application.checkpoints import (
    Attendance,
    Change,
    Document,
    Generation,
    Lends,
    ParkedEvent,
    Progress,
    ProjectionStatus,
    Work,
)


class Checkpoints(Protocol):
    """Keeps how far each projection has come, who works on it, and the documents of its views.

    Every method raises `EventStoreUnavailable` when the store cannot be reached.

    Attributes:
        lends: What `work`, `setup` and `finish` are given to write with.
    """

    @property
    def lends(self) -> Lends:
        """What `work`, `setup` and `finish` are given to write with."""
        ...

    async def prepare(
        self,
        name: str,
        *,
        version: int,
        partitions: int,
        rebuild: bool,
        setup: Change,
        after: int = 0,
    ) -> Generation:
        """The generation that code of this version is to work on; made if there is none.

        The first one is active at once. A higher version, or a rebuild, fills one beside the
        active one, or goes on with the one that is being filled; one of a lower version is
        retired.

        Args:
            name: The projection's.
            version: Of its code.
            partitions: Of a new generation; an old one keeps its own.
            rebuild: Fill one beside the active one, though that has this version.
            setup: Is called in the transaction that makes one, with the generation that it
                retires, if any.
            after: Of the first generation: it begins behind the last event up to this position,
                up to which every append has ended.

        Raises:
            ProjectionSuperseded: A higher version is active, or is being filled.
        """
        ...

    async def take_inline(self, name: str, *, version: int, setup: Change) -> bool:
        """Have a projection run by appends from now on, in their transactions; by no worker.

        Appends that run it, and `switch`, wait for the end of this, as this waits for theirs.

        Args:
            name: The projection's.
            version: Of its code.
            setup: As in `prepare`; for the first generation.

        Returns:
            Whether it is; not if its checkpoint is behind the log, its view is of a lower version,
            or events of it are set aside, for no worker would try them again.

        Raises:
            ProjectionSuperseded: Its view is of a higher version.
        """
        ...

    async def attend(
        self, generation: Generation, worker: str, *, lease: float, held: Mapping[int, int]
    ) -> Attendance:
        """Say that a worker lives, renew what it holds, and take what is free up to its share.

        Args:
            generation: What it works on.
            worker: Its name, unique among all processes.
            lease: Seconds until others may take over; by the store's clock.
            held: The token of each partition that it holds.

        Returns:
            What it holds now; partitions that were lost are left out.
        """
        ...

    async def begin(self, generation: Generation, held: Mapping[int, int]) -> None:
        """Count an attempt at what follows the checkpoints, before it is made.

        Raises:
            LeaseLost: A partition was taken over.
        """
        ...

    async def advance(self, progress: Progress, work: Work | None = None) -> None:
        """Run `work` and move checkpoints in one transaction, all or nothing.

        Raises:
            LeaseLost: A partition was taken over, or has moved; the generation is retired; or an
                event is parked no more.
            HandlerFailed: `work` raised.
        """
        ...

    async def release(
        self, generation: Generation, worker: str, held: Mapping[int, int], *, leave: bool
    ) -> None:
        """Let partitions go at once; the attempt that is under way there does not count.

        Args:
            generation: What it worked on.
            worker: Who.
            held: The token of each partition.
            leave: Whether the worker takes no further part.
        """
        ...

    async def switch(self, generation: Generation, *, side_effects: bool, finish: Change) -> bool:
        """Make a generation that was filled the active one, in one transaction; retire the other.

        If the other was run by appends, so is this one from now on; then no event of it may be set
        aside.

        Args:
            generation: The new one.
            side_effects: Whether it has handlers that the old one ran up to its own checkpoint;
                then the new one may not be past that, and is silent up to there. Without them it
                may not be behind.
            finish: Is called in that transaction, with the generation that was active.

        Returns:
            Whether it was done; not if the checkpoints do not fit.
        """
        ...

    def has_table(self, connection: Any, name: str) -> Awaitable[bool] | bool:
        """Whether there is a table, in the transaction of a `Change`.

        Args:
            connection: What that was given.
            name: The table's, perhaps with a schema's before a dot.
        """
        ...

    async def reset(self, name: str, *, setup: Change) -> bool:
        """Begin anew with the active generation: from the first event, with no documents.

        Args:
            name: The projection's.
            setup: Is called in that transaction, with the generation as the one that goes.

        Returns:
            Whether the projection is known.
        """
        ...

    async def pause(self, name: str, *, paused: bool) -> bool:
        """Let nobody work on a projection, or let them again; returns whether it is known."""
        ...

    async def status(self, name: str | None = None) -> Sequence[ProjectionStatus]:
        """Of every generation that is not retired; of one projection, if named."""
        ...

    async def position(self, name: str) -> int | None:
        """The lowest checkpoint of the active generation; None: it is not known."""
        ...

    async def parked(self, name: str, generation: int | None = None) -> Sequence[ParkedEvent]:
        """Events set aside, in order; of the active generation if none is named."""
        ...

    async def retry_parked(self, name: str, aggregate_id: str | None, *, skip: bool) -> int:
        """Have events that were set aside tried again, by whoever works on the projection.

        Args:
            name: The projection's.
            aggregate_id: Only those of one aggregate.
            skip: Drop those that have failed, and try what waits behind them.

        Returns:
            How many events that concerns.
        """
        ...

    async def read_documents(
        self, generation: Generation, collection: str, keys: Sequence[str], partition: int | None
    ) -> Mapping[str, str]:
        """Documents by key, of one partition or of all, in which case each key has one."""
        ...

    async def find_documents(
        self,
        name: str,
        collection: str,
        *,
        key: str | None = None,
        equal: Mapping[str, Any] | None = None,
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
    ) -> Sequence[Document]:
        """Documents of the active generation.

        Args:
            name: The projection's.
            collection: Which of its.
            key: Only under this key.
            equal: Only where these fields have these values.
            order_by: A field; left out: by key.
            descending: The greatest first.
            limit: The most.
        """
        ...
