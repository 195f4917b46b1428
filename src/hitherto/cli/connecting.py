"""`connect` as the commands call it: a program around them can give what they leave out."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

import hitherto

_given: ContextVar[Mapping[str, Any]] = ContextVar("given", default=MappingProxyType({}))


def connect(url: str | None = None, **settings: Any) -> hitherto.Store:
    """See `hitherto.connect`."""
    given = dict(_given.get())
    if url is not None:
        given.pop("listen_url", None)  # It is another store's.
    return hitherto.connect(url, **given | settings)


@contextmanager
def giving(settings: Mapping[str, Any]) -> Generator[None]:
    """Give these settings to each `connect` inside the block that leaves them out."""
    token = _given.set(settings)
    try:
        yield
    finally:
        _given.reset(token)
