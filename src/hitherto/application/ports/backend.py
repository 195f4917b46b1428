"""What is asked of a backend, all in one."""

from collections.abc import Sequence
from typing import Protocol

from hitherto.application.findings import Finding
from hitherto.application.ports.archive import Archive
from hitherto.application.ports.chain import Chain
from hitherto.application.ports.checkpoints import Checkpoints
from hitherto.application.ports.erasures import Erasures
from hitherto.application.ports.event_store import EventStore, SnapshotStore
from hitherto.application.ports.looking import Looking
from hitherto.application.ports.personal import PersonalData


class Inspection(Protocol):
    """Looks for damage."""

    async def inspect(self) -> Sequence[Finding]:
        """What is wrong with all that is stored, as far as it can be told without its classes.

        It reads everything, and takes as long as that takes. A store that nobody has meddled with
        gives nothing.
        """
        ...


class Backend(EventStore, SnapshotStore, Inspection, Protocol):
    """All in one: what `connect` opens.

    Attributes:
        checkpoints: Those of projections.
        looking: For people who look into it.
        chain: The hashes of its events.
        personal: The keys of personal fields.
        archive: Moves closed aggregates aside.
        erasures: Replaces payloads that must go.
    """

    @property
    def checkpoints(self) -> Checkpoints:
        """Those of projections, kept in the same place."""
        ...

    @property
    def looking(self) -> Looking:
        """For people who look into it."""
        ...

    @property
    def chain(self) -> Chain:
        """The hashes of its events."""
        ...

    @property
    def personal(self) -> PersonalData:
        """The keys of personal fields, kept in the same place."""
        ...

    @property
    def archive(self) -> Archive:
        """Moves closed aggregates aside."""
        ...

    @property
    def erasures(self) -> Erasures:
        """Replaces payloads that must go."""
        ...
