"""A client like `tests.faults.workload`'s that ends itself by SIGKILL at a named point.

``HITHERTO_DIES_AT=append/sent:3`` lets it die at the third append that it has just sent.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from random import Random
from typing import Any

from tests.faults import workload
from tests.faults.history import Recorder
from tests.faults.statements import Send, asyncpg_statements, disturb_apsw

from hitherto.application.records import Append

DIES_AT = "HITHERTO_DIES_AT"

# "append/answered" is, in SQLite and in a group or a COPY, the moment between two parts.
_SQLITE_POINTS = (
    "append/before",
    "append/answered",
    "commit/before",
    "commit/answered",
    "told/after",
    "snapshot/before",
    "snapshot/answered",
)
_POSTGRES_POINTS = (
    "append/before",
    "append/sent",
    "append/answered",
    "told/after",
    "snapshot/before",
    "snapshot/sent",
    "snapshot/answered",
    "copy/before",
    "copy/sent",
    "copy/answered",
    "commit/before",
    "commit/sent",
    "commit/answered",
)
POINTS = {"sqlite": _SQLITE_POINTS, "postgresql": _POSTGRES_POINTS}
_LONGEST = 0.002  # seconds that a statement which was sent is given


class Fate:
    """Counts how often the point was passed, and kills when it is time.

    Attributes:
        counting: False until the first append: opening a store commits, too.
    """

    def __init__(self, point: str) -> None:
        self.counting = False
        self._point, _, times = point.partition(":")
        self._left = int(times)
        self._pause = Random(f"{sys.argv}").uniform(0, _LONGEST)

    def passes(self, point: str) -> None:
        """This process is at a point."""
        if self.is_due(point):
            os.kill(os.getpid(), signal.SIGKILL)

    def is_due(self, point: str) -> bool:
        """Whether it is to die at this point now."""
        if point != self._point or not self.counting:
            return False
        self._left -= 1
        return not self._left

    async def around(self, _connection: Any, kind: str, send: Send) -> Any:
        """A statement to PostgreSQL."""
        self.passes(f"{kind}/before")
        if self.is_due(f"{kind}/sent"):
            sent = asyncio.ensure_future(send())
            await asyncio.wait([sent], timeout=self._pause)
            os.kill(os.getpid(), signal.SIGKILL)
        result = await send()
        self.passes(f"{kind}/answered")
        return result


def _watch_history(fate: Fate) -> None:
    """See the first append coming; and the moment when the client knows that its save is done."""
    ask, tell = Recorder.invoked, Recorder.ok

    def invoked(self: Recorder, appends: Sequence[Append]) -> int:
        fate.counting = True
        return ask(self, appends)

    def ok(self: Recorder, number: int, positions: Iterable[int]) -> None:
        tell(self, number, positions)
        fate.passes("told/after")

    Recorder.invoked, Recorder.ok = invoked, ok  # type: ignore[method-assign]


def main() -> None:
    """Be the client, until it dies."""
    with ExitStack() as stack:
        point = os.environ.get(DIES_AT)
        if point:
            fate = Fate(point)
            _watch_history(fate)
            disturb_apsw(
                lambda kind: fate.passes(f"{kind}/before"),
                lambda kind: fate.passes(f"{kind}/answered"),
            )
            stack.enter_context(asyncpg_statements(fate.around))
        workload.main()


if __name__ == "__main__":
    main()
