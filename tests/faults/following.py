"""A worker of a view in a process of its own: ``python -m tests.faults.following PLACE VIEW``.

``--at commit/answered:3 --signal SIGSTOP`` lets it stop when it has been told of its third commit;
with SIGKILL it dies there.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from contextlib import ExitStack
from random import Random
from typing import Any

import msgspec
from tests.faults import statements
from tests.faults.backends import Place
from tests.faults.ledger import LEDGER, SUMMARY, Summary, ledger_in
from tests.faults.statements import Send, asyncpg_statements, disturb_apsw

from hitherto import Projection, ProjectionWorker, connect

_SQLITE_POINTS = ("handler/before", "handler/after", "commit/before", "commit/answered")
_POSTGRES_POINTS = (
    *_SQLITE_POINTS,
    "commit/sent",
    "attend/before",
    "attend/sent",
    "attend/answered",
    "attempt/before",
    "attempt/answered",
    "advance/before",
    "advance/sent",
    "advance/answered",
)
POINTS = {"sqlite": _SQLITE_POINTS, "postgresql": _POSTGRES_POINTS}
POISON = "poison"
"""The account whose events end a worker's process, if it is told so."""
DIED_OF_POISON = 66
"""The exit code then."""

_MARKS = {
    "attend_projection(": "attend",
    "attempts = c.attempts + 1": "attempt",
    "advance_projection(": "advance",
}
_LONGEST = 0.002  # seconds that a statement which was sent is given


class Fate:
    """Counts how often a point was passed, and sends this process a signal when it is time.

    Args:
        point: Its name, and behind a colon how often it is to be passed.
        number: The signal.
        poisoned: Whether the poison's events end the process.
    """

    def __init__(self, point: str, number: signal.Signals, *, poisoned: bool) -> None:
        self._counting = False  # Preparing a view commits, too.
        self._point, _, times = point.partition(":")
        self._left = int(times or 1)
        self._signal = number
        self._poisoned = poisoned
        self._pause = Random(f"{sys.argv}").uniform(0, _LONGEST)

    def passes(self, point: str) -> None:
        """This process is at a point, or books an event of an account."""
        self._counting = self._counting or point in {"attend/before", "handler/before"}
        if self._poisoned and point == POISON:
            os._exit(DIED_OF_POISON)
        if self._is_due(point):
            os.kill(os.getpid(), self._signal)

    async def around(self, _connection: Any, kind: str, send: Send) -> Any:
        """A statement to PostgreSQL."""
        self.passes(f"{kind}/before")
        if self._is_due(f"{kind}/sent"):
            sent = asyncio.ensure_future(send())
            await asyncio.wait([sent], timeout=self._pause)
            os.kill(os.getpid(), self._signal)
            return await sent
        result = await send()
        self.passes(f"{kind}/answered")
        return result

    def _is_due(self, point: str) -> bool:
        if point != self._point or not self._counting:
            return False
        self._left -= 1
        return not self._left


def _kind_of(sql: str) -> str:
    """What a worker's statement is for."""
    marked = (kind for mark, kind in _MARKS.items() if mark in sql)
    return next(marked, None) or _other_kind_of(sql)


_other_kind_of = statements.kind_of


async def _work(arguments: argparse.Namespace, fate: Fate) -> None:
    place = msgspec.json.decode(arguments.place, type=Place)
    view: Projection[Any] = {LEDGER: lambda: ledger_in(place)(fate.passes), SUMMARY: Summary}[
        arguments.view
    ]()
    async with connect(place.url, **place.settings) as store:
        worker = ProjectionWorker(
            store,
            view,
            spread=arguments.spread,
            batch=arguments.batch,
            lease=arguments.lease,
            attempts=arguments.attempts,
            rebuild=arguments.rebuild,
        )
        await (worker.catch_up() if arguments.rebuild else worker.run())


def main() -> None:
    """Work until it is killed; with ``--rebuild`` until the new view is in place."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("place", help="as JSON")
    parser.add_argument("view", choices=[LEDGER, SUMMARY])
    parser.add_argument("--spread", action="store_true")
    parser.add_argument("--rebuild", action="store_true")
    parser.add_argument("--poisoned", action="store_true")
    parser.add_argument("--lease", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--attempts", type=int, default=1000, help="each kill is one")
    parser.add_argument("--at", default="")
    parser.add_argument("--signal", type=lambda name: signal.Signals[name], default="SIGKILL")
    arguments = parser.parse_args()
    fate = Fate(arguments.at, arguments.signal, poisoned=arguments.poisoned)
    logging.basicConfig(level=logging.INFO)
    statements.kind_of = _kind_of
    with ExitStack() as stack:
        if arguments.at:
            stack.enter_context(asyncpg_statements(fate.around))
            disturb_apsw(
                lambda kind: fate.passes(f"{kind}/before"),
                lambda kind: fate.passes(f"{kind}/answered"),
            )
        asyncio.run(_work(arguments, fate))


if __name__ == "__main__":
    main()
