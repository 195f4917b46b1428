"""What happens to a fine: one event class for each activity of the log, with all it tells.

Codes are kept as the force wrote them. Amounts are euros.
"""

from datetime import datetime
from decimal import Decimal

from hitherto import Event


class Dated(Event):
    """The base of a fine's events.

    Attributes:
        at: When it happened, on the clock of the place. Rules and reports need it (a fine of New
            Year's Day belongs to the new year), and `apply` is given the event alone; the
            envelope's `occurred_at` tells the same moment in UTC.
    """

    at: datetime


class FineCreated(Dated):
    """An officer has written the fine.

    Attributes:
        amount: What is to be paid at first.
        resource: The officer's number.
        dismissal: "NIL", or a code for why it is dropped.
        vehicle_class: A letter.
        total_paid: What was paid before; nothing, in all of the log.
        article: Of the traffic law.
        points: Taken off the driving licence.
    """

    amount: Decimal
    resource: str
    dismissal: str
    vehicle_class: str
    total_paid: Decimal
    article: int
    points: int


class FineSent(Dated):
    """It went to the offender by post.

    Attributes:
        expense: The postage, which the offender is to pay too.
    """

    expense: Decimal


class FineNotified(Dated):
    """The offender has received it.

    Attributes:
        notification_type: A letter.
        last_sent: A letter, where one was noted.
    """

    notification_type: str
    last_sent: str | None = None


class PenaltyAdded(Dated):
    """It was not paid in time.

    Attributes:
        amount: What is to be paid from now on; it takes the place of the first amount.
    """

    amount: Decimal


class PaymentReceived(Dated):
    """Some money came in.

    Attributes:
        amount: How much.
        total_paid: The sum so far in the force's books; 60 of the log's payments differ there
            from the sum of the payments.
    """

    amount: Decimal
    total_paid: Decimal


class PrefectureAppealEntered(Dated):
    """The date of an appeal to the prefecture was entered."""


class PrefectureAppealSent(Dated):
    """The appeal was passed to the prefecture.

    Attributes:
        dismissal: "#" where the prefecture dismissed the fine; "NIL" or another code otherwise.
    """

    dismissal: str


class PrefectureResultReceived(Dated):
    """The prefecture's answer has arrived."""


class PrefectureResultNotified(Dated):
    """The offender was told the prefecture's answer."""


class JudgeAppealed(Dated):
    """The offender appealed to a judge.

    Attributes:
        resource: The number of an officer.
        dismissal: "G" where the judge dismissed the fine; "NIL" otherwise.
        registration: The number of a registration ("matricola").
    """

    resource: str
    dismissal: str
    registration: int


class SentToCollection(Dated):
    """It was handed over for credit collection."""


FineEvent = (
    FineCreated
    | FineSent
    | FineNotified
    | PenaltyAdded
    | PaymentReceived
    | PrefectureAppealEntered
    | PrefectureAppealSent
    | PrefectureResultReceived
    | PrefectureResultNotified
    | JudgeAppealed
    | SentToCollection
)
