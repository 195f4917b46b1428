"""`given`, when, then: tests of decisions, processes and projections that need no store."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar, overload

from hitherto.application.projection import Projection
from hitherto.application.views import Documents, Totals
from hitherto.domain.aggregate import Aggregate
from hitherto.domain.event import Event
from hitherto.domain.process import Process
from hitherto.testing.clock import START
from hitherto.testing.given_aggregate import Given, given_aggregate
from hitherto.testing.given_process import GivenProcess
from hitherto.testing.given_projection import GivenDocuments, GivenProjection, GivenTotals
from hitherto.testing.timeline import Happening, Timeline

A = TypeVar("A", bound=Aggregate[Any])
D = TypeVar("D")
P = TypeVar("P", bound=Process[Any])


@overload
def given(  # type: ignore[overload-overlap]  # a process is an aggregate, too, but is told here
    subject: type[P], *history: Happening, id: str = ..., at: datetime = ...
) -> GivenProcess[P]: ...
@overload
def given(
    subject: Totals[D, Any],
    *history: Happening,
    id: str = ...,
    at: datetime = ...,
    url: str | None = ...,
) -> GivenTotals[D]: ...
@overload
def given(
    subject: Documents[D, Any],
    *history: Happening,
    id: str = ...,
    at: datetime = ...,
    url: str | None = ...,
) -> GivenDocuments[D]: ...
@overload
def given(
    subject: Projection[Any],
    *history: Happening,
    id: str = ...,
    at: datetime = ...,
    url: str | None = ...,
) -> GivenProjection: ...
@overload
def given(subject: Callable[[str], A], *history: Event, id: str = ...) -> Given[A]: ...
def given(
    subject: Any,
    *history: Any,
    id: str = "given-1",
    at: datetime = START,
    url: str | None = None,
) -> Any:
    """What `history` has happened to: an aggregate, a decider, a process or a projection.

    ::

        def test_a_user_who_left_cannot_leave_again():
            (
                given(User, UserCreated(email="j@x.org", name="J"), UserDeactivated(reason="bye"))
                .when(lambda user: user.deactivate("again"))
                .then_raises(InvalidAggregateState, match="not active")
            )

        def test_an_order_that_is_not_paid_is_reminded_of():
            given(Reminder, OrderPlaced()).when(timedelta(days=14)).then(SendReminder("given-1"))

        def test_a_deposit_raises_the_balance():
            given(Accounts(), Opened()).when(Deposited(5)).then_documents({"given-1": Account(5)})

    Args:
        subject: The class of an aggregate or a process; an instance of a `Decider` or of a
            projection, such as `projection` makes of a function.
        history: Its events, oldest first. For a process and a projection also events of other
            aggregates, as ``("order-2", OrderPlaced())``, and time that passes, as a `timedelta`.
        id: The aggregate's id: of the one that decides, or whose events are given.
        at: The moment of the first event, with a time zone.
        url: For a projection: a PostgreSQL database whose connection its handlers are given, in a
            schema of its own that is never committed; left out: SQLite's, in memory.

    Raises:
        InvalidInput: An event of `history` is not one of the subject's.
    """
    kind = _kind_of(subject)
    if kind is None:
        return given_aggregate(subject, history, id)
    options = {"url": url} if isinstance(subject, Projection) else {}
    begun: Any = kind(subject, Timeline(id, at), **options)
    begun.when(*history)
    if begun.error is not None:
        raise begun.error
    return begun


def _kind_of(subject: object) -> Any:
    if isinstance(subject, type) and issubclass(subject, Process):
        return GivenProcess
    kinds = {Totals: GivenTotals, Documents: GivenDocuments, Projection: GivenProjection}
    return next((kind for base, kind in kinds.items() if isinstance(subject, base)), None)
