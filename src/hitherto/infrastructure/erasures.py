"""`ResilientErasures`: the erasures of a store that may be out for a moment."""

from collections.abc import Sequence

from hitherto.application.ports import Erasures
from hitherto.application.ports.erasures import Erasure
from hitherto.application.records import StoredEvent
from hitherto.infrastructure.looking import Calls


class ResilientErasures:
    """See `Resilient`.

    Args:
        erasures: What does the work.
        call: How it is called.
    """

    def __init__(self, erasures: Erasures, call: Calls) -> None:
        self._erasures = erasures
        self._call = call

    async def erase(self, event: StoredEvent, erasure: Erasure) -> bool:
        """See `Erasures.erase`."""
        return await self._call("erase", lambda: self._erasures.erase(event, erasure))

    async def erasures(self) -> Sequence[Erasure]:
        """See `Erasures.erasures`."""
        return await self._call("erasures", self._erasures.erasures)
