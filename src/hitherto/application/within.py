"""A transaction of the caller's: what is handed over, and which backends can work in it."""

import copy
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from hitherto.application.ports import Backend
from hitherto.application.turns import Turns
from hitherto.errors import ConfigurationError

if TYPE_CHECKING:
    from hitherto.application.store import Store

S = TypeVar("S", bound="Store")
T = TypeVar("T")


class Run(Protocol):
    """Runs where the store's own connections are, and waits for the end."""

    def __call__(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives."""
        ...


class CallersTransaction(msgspec.Struct, frozen=True):
    """A transaction that the caller begins and ends.

    Attributes:
        handed: The connection or session that has it.
        run: Given where that one blocks; nothing is truly awaited there, only run by this.
    """

    handed: Any
    run: Run | None = None


def within(backend: Backend, transaction: CallersTransaction) -> Backend:
    """A backend that works in the transaction.

    Raises:
        ConfigurationError: This one cannot.
    """
    take_part: Callable[[CallersTransaction], Backend] | None = getattr(backend, "within", None)
    if take_part is None:
        raise ConfigurationError(
            f"a {type(backend).__name__} cannot append in a transaction of yours: connect to the "
            "PostgreSQL database that holds your tables, or write them by an inline projection"
        )
    return take_part(transaction)


def store_within(store: S, transaction: CallersTransaction) -> S:
    """A store that works in the transaction; see `Store.within`."""
    other = copy.copy(store)
    other.outer = store
    other.backend = within(store.backend, transaction)
    other.sealed = getattr(other.backend, "sealed", other.backend)
    other.turn = Turns().turn  # One could wait for the other's commit.
    if transaction.run is not None:
        other.patience = nullcontext
    return other
