# pyright: reportUnknownMemberType=false
# (apsw's stubs name types that they do not import)
"""Somebody's own code in the writer's transaction."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import apsw

from hitherto.application.checkpoints import handler_failed
from hitherto.errors import AggregateLocked, Unavailable
from hitherto.infrastructure.sqlite.connections import PASSING


def run(connection: apsw.Connection, who: str, code: Callable[[], Awaitable[None] | None]) -> None:
    """Run `code`, which is to leave the transaction open.

    Raises:
        HandlerFailed: It raised, is async, or has ended the transaction.
    """
    try:
        result = code()
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                _close(result)
            raise TypeError(
                "on SQLite handlers are plain functions (def): this one gave an awaitable"
            )
        if not connection.in_transaction:
            raise RuntimeError(
                "the transaction was ended: COMMIT and ROLLBACK are not the handler's"
            )
    except (*PASSING, Unavailable, AggregateLocked):  # the disk's fault, or nobody's
        raise
    except Exception as error:
        raise handler_failed(who, error) from error


def _close(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Close what was never awaited, and what it was to await first."""
    for each in inspect.getcoroutinelocals(coroutine).values():
        if inspect.iscoroutine(each):
            each.close()
    coroutine.close()
