"""`copy_timers`: what an export does not tell of a process."""

from datetime import UTC, datetime

from hitherto.application.alongside import Alongside
from hitherto.application.ports import Backend

_EVER = datetime.max.replace(tzinfo=UTC)
_ALL = 10**9
_CHUNK = 1000


async def copy_timers(source: Backend, target: Backend, process: str) -> int:
    """Set the timers of a process in another store, too; returns how many there are.

    Doing it again sets them again, so do it before the process goes on there.

    Args:
        source: Where they are set.
        target: Another open store's backend.
        process: The process's stored name.

    Raises:
        EventStoreUnavailable: A store cannot be reached; some timers may have been set.
    """
    timers = await source.due_timers(process, until=_EVER, limit=_ALL)
    for begin in range(0, len(timers), _CHUNK):
        await target.append([], alongside=Alongside(timers=timers[begin : begin + _CHUNK]))
    return len(timers)
