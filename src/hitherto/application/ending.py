"""`ending_is_told`: what ends a worker is logged at once, and the store's health tells of it."""

import logging
from collections.abc import Generator
from contextlib import contextmanager

from hitherto.application.logging import log_event
from hitherto.application.store import Store


@contextmanager
def ending_is_told(store: Store, projection: str) -> Generator[None]:
    """Around the work on a projection, which may be in a task that nobody awaits before the end.

    Args:
        store: What it works on.
        projection: The projection's name.
    """
    store.ended.pop(projection, None)
    try:
        yield
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        store.ended[projection] = f"the worker of {projection!r} in this process has ended: {told}"
        level = logging.ERROR
        log_event(store.logger, level, "projection_ended", projection=projection, error=told)
        raise
