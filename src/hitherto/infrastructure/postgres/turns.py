"""Writes that meet each other's locks take turns."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from hitherto.errors import AggregateLocked
from hitherto.infrastructure.opening import Opening

T = TypeVar("T")

_ATTEMPTS = 5
_PATIENCE = 10.0  # seconds after which nothing is tried again


class Turns:
    """Does again what met somebody's lock, one at a time.

    Effects that write the same rows, each in an order of its own, meet in a deadlock; done again
    side by side they would meet in the next.
    """

    def __init__(self) -> None:
        self._turn = Opening()

    async def do(self, write: Callable[[], Awaitable[T]]) -> T:
        """Call `write`, some times if need be, until it meets nobody.

        Raises:
            AggregateLocked: It always did, or for too long.
        """
        until = time.monotonic() + _PATIENCE
        try:
            return await write()
        except AggregateLocked as error:
            failure = error
        async with self._turn.lock():
            for _ in range(1, _ATTEMPTS):
                if time.monotonic() > until:
                    break
                try:
                    return await write()
                except AggregateLocked as error:
                    failure = error
        raise failure
