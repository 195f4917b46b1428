"""`Waiters`: tasks that wait for the next piece of news."""

import asyncio


class Waiters:
    """Any number of tasks that are woken together; it belongs to no event loop."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self) -> None:
        """Wait until `wake` is called."""
        woken = asyncio.get_running_loop().create_future()
        self._waiting.add(woken)
        try:
            await woken
        finally:
            self._waiting.discard(woken)

    def wake(self) -> None:
        """Wake those who wait now."""
        for woken in self._waiting:
            if not woken.done():
                woken.set_result(None)
