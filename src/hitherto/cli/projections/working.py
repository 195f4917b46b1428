"""Workers in this process, which a signal stops."""

import asyncio
import signal
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

from hitherto.application.worker import ProjectionWorker

Ending: TypeAlias = Literal["done", "stopped", "cancelled"]
"""How the work ended: by itself, after a first signal, or at once, by a second one."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def work(workers: Sequence[ProjectionWorker[Any]], *, catch_up: bool) -> Ending:
    """Let workers work until all have ended, one fails, or a signal comes.

    Args:
        workers: Each of another projection.
        catch_up: Whether they end when they have caught up.

    Raises:
        HithertoError: What a worker has raised, when the others have stopped.
    """
    ending: Ending = "done"
    tasks = [asyncio.create_task(each.catch_up() if catch_up else each.run()) for each in workers]

    def stop() -> None:
        nonlocal ending
        ending = "stopped"
        for each in workers:
            each.stop()

    def cancel() -> None:
        nonlocal ending
        ending = "cancelled"
        for each in tasks:
            each.cancel()

    with _signalled(stop, cancel):
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for each in workers:
            each.stop()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
    return ending


@contextmanager
def _signalled(first: Callable[[], None], further: Callable[[], None]) -> Generator[None]:
    """Call `first` at the first signal within the block, and `further` at the next ones."""
    loop = asyncio.get_running_loop()
    steps = iter([first])

    def step() -> None:
        next(steps, further)()

    for each in _SIGNALS:
        loop.add_signal_handler(each, step)
    try:
        yield
    finally:
        for each in _SIGNALS:
            loop.remove_signal_handler(each)
