"""`reached`: a projection has come so far."""

import asyncio

from hitherto.application.ports import Checkpoints

_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.05  # seconds between looks at a checkpoint


async def reached(checkpoints: Checkpoints, name: str, position: int) -> None:
    """Return when the projection has come to the position, however long that takes."""
    pause = _FIRST_PAUSE
    while (await checkpoints.position(name) or 0) < position:
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
