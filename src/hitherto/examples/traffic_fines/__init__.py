"""Road-traffic fines of an Italian police force, 2000-2013: real histories as aggregates."""

from hitherto.examples.traffic_fines.events import (
    FineCreated,
    FineEvent,
    FineNotified,
    FineSent,
    JudgeAppealed,
    PaymentReceived,
    PenaltyAdded,
    PrefectureAppealEntered,
    PrefectureAppealSent,
    PrefectureResultNotified,
    PrefectureResultReceived,
    SentToCollection,
)
from hitherto.examples.traffic_fines.importing import Imported, history_of, import_fines
from hitherto.examples.traffic_fines.log import (
    ACTIVITIES,
    activity_of,
    fine_of,
    line_of,
    read_lines,
    sample_lines,
)
from hitherto.examples.traffic_fines.model import Fine

__all__ = [
    "ACTIVITIES",
    "Fine",
    "FineCreated",
    "FineEvent",
    "FineNotified",
    "FineSent",
    "Imported",
    "JudgeAppealed",
    "PaymentReceived",
    "PenaltyAdded",
    "PrefectureAppealEntered",
    "PrefectureAppealSent",
    "PrefectureResultNotified",
    "PrefectureResultReceived",
    "SentToCollection",
    "activity_of",
    "fine_of",
    "history_of",
    "import_fines",
    "line_of",
    "read_lines",
    "sample_lines",
]
