"""Views of the fines: each one's document, what is outstanding by year and article, the top unpaid.

Filled and kept up to date by::

    hitherto projections run hitherto.examples.traffic_fines.views:Fines --url sqlite:///fines.db
"""

from collections.abc import Mapping
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from hitherto import Amounts, Key, RecordedEvent, Store, Totals
from hitherto.examples.traffic_fines.events import (
    FineCreated,
    FineEvent,
    FineSent,
    JudgeAppealed,
    PaymentReceived,
    PenaltyAdded,
    PrefectureAppealSent,
)
from hitherto.examples.traffic_fines.model import NOTHING


class FineDocument(msgspec.Struct, kw_only=True, frozen=True):
    """What is known of a fine.

    Attributes:
        year: In which it was written, on the clock of the place.
        article: Of the traffic law.
        amount: What the offence costs now.
        expense: The postage.
        paid: The sum of the payments.
        outstanding: What is still to be paid.
        dismissed: Whether it was dropped.
        last_step: The name of its latest event.
    """

    year: int
    article: int
    amount: Decimal
    expense: Decimal = NOTHING
    paid: Decimal = NOTHING
    outstanding: Decimal
    dismissed: bool = False
    last_step: str


class Fines(Totals[FineDocument, FineEvent], name="fines"):
    """A document for each fine, and the totals by year and article."""

    def evolve(
        self, document: FineDocument | None, recorded: RecordedEvent[FineEvent]
    ) -> FineDocument | None:
        """The fine's document after one more of its events."""
        event = recorded.event
        step = type(event).__name__
        match event:
            case FineCreated(at=at, article=article, amount=amount):
                return FineDocument(
                    year=at.year,
                    article=article,
                    amount=amount,
                    outstanding=amount,
                    last_step=step,
                )
            case _ if document is None:
                return None
            case FineSent(expense=expense):
                changed = replace(document, expense=expense)
            case PenaltyAdded(amount=amount):
                changed = replace(document, amount=amount)
            case PaymentReceived(amount=amount):
                changed = replace(document, paid=document.paid + amount)
            case PrefectureAppealSent(dismissal="#") | JudgeAppealed(dismissal="G"):
                changed = replace(document, dismissed=True)
            case _:
                changed = document
        owed = NOTHING if changed.dismissed else changed.amount + changed.expense
        return replace(changed, outstanding=max(owed - changed.paid, NOTHING), last_step=step)

    def amounts(self, document: FineDocument) -> Mapping[Key, Amounts]:
        """What one fine adds to its year and article."""
        unpaid = int(document.outstanding > 0)
        amounts: Amounts = {"fines": 1, "unpaid": unpaid, "outstanding": document.outstanding}
        return {(document.year, document.article): amounts}


async def outstanding(store: Store) -> Mapping[Key, Amounts]:
    """Fines, unpaid fines and outstanding euros, by year and article."""
    return await store.totals(Fines).all()


async def document(store: Store, fine_id: str) -> FineDocument | None:
    """What is known of one fine."""
    return await store.documents(Fines).get(fine_id)


async def top_unpaid(store: Store, limit: int = 10) -> dict[str, FineDocument]:
    """The fines of which most is outstanding, by id, the greatest first."""
    return await store.documents(Fines).find(order_by="outstanding", descending=True, limit=limit)
